"""The HTML report."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from harness.core.errors import UsageError
from harness.report import write_report
from harness.runs.run import Run, RunConfig
from harness.store import Measurement, Store
from modnas.spaces import Space
from modnas.spaces.nasbench201.presets import PRESETS

EVIL = "</script><script>alert(1)</script><b>&"
MakeRow = Callable[..., Measurement]


class Page(HTMLParser):
    """Tags with attributes, and the text outside of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text += data


def entry(arch: str, measured: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "arch": arch,
        "preference": [0.25, 0.75],
        "predicted": {"error": 12.345, "latency_ms": 0.6789},
    }
    return found if measured is None else {**found, "measured": measured}


MEASURED = {
    "error": 23.456,
    "latency_ms": 0.7891,
    "latency_interval_ms": [0.7, 0.9],
    "latency_ci_ms": [0.78, 0.7999],
}
UNSURE = {**MEASURED, "latency_ci_ms": [None, None], "warnings": ["too few samples <3>"]}
FAILED = {"error": 34.567, "latency_ms": None, "failure": "memory: out of <memory>"}


@pytest.fixture
def run(space: Space) -> Run:
    """A run with a front of two devices, one of them with a name no profile could have."""
    config = RunConfig(
        space="nasbench201",
        task="digits",
        devices=("cpu", EVIL),
        preset="quick",
        settings=PRESETS["quick"],
    )
    run = Run.start(config, "mine")
    arch = space.references[0].id
    run.write_json(
        "front.json",
        {
            "space": "nasbench201",
            "variant": space.variant,
            "best_epoch": 2,
            "devices": {"cpu": [entry(arch), entry(EVIL)], EVIL: [entry(arch)]},
        },
    )
    epochs = [
        {"epoch": n, "task_loss": 2.0 - n, "entropy": 0.9, "hypervolume": {"cpu": 0.1 * n, EVIL: 0.2}}
        for n in range(2)
    ]
    run.write_json("epochs.json", epochs)
    run.write_json("predictor.json", {"latency": {"cpu": {"spearman": 0.98765}, EVIL: {"spearman": 0.5}}})
    return run


def verification(*measured: dict[str, Any], spearman: float | None = 0.4321) -> dict[str, Any]:
    found = [entry(f"{EVIL}{n}" if n else "nasbench201:x", one) for n, one in enumerate(measured)]
    return {
        "cpu": {
            "device": "cpu",
            "architectures": found,
            "random": [{"arch": "nasbench201:r", "measured": MEASURED}],
            "hypervolume": {"front": 0.8765, "random": 0.3456},
            "spearman": {"latency": spearman},
        }
    }


def render(run: Run) -> Page:
    with Store() as store:
        path = write_report(run, store)
    assert path == run.path / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def figures(page: Page) -> int:
    return sum(tag == "div" and "plotly-graph-div" in (a.get("class") or "") for tag, a in page.tags)


def test_report_before_verification(run: Run) -> None:
    page = render(run)
    assert "Not verified" in page.text
    assert "12.35" in page.text and "0.6789" in page.text and "0.9877" in page.text
    assert figures(page) == 4, "a front for each device, and two curves of the search"


def test_report_after_verification(run: Run, make_row: MakeRow, space: Space) -> None:
    run.write_json("verification.json", verification(MEASURED, UNSURE, FAILED))
    with Store() as store:
        store.add(make_row(request={"options": {"threads": 7}, "runtime_version": "9.8.7"}))
    page = render(run)
    for number in ("0.8765", "0.3456", "0.432", "23.46", "0.7891", "0.7800", "0.7999", "34.57", "9.8.7"):
        assert number in page.text, number
    assert "out of <memory>" in page.text and "too few samples <3>" in page.text
    assert figures(page) == 5, "predicted against measured comes in addition"


def test_report_when_nothing_was_measured(run: Run) -> None:
    run.write_json("verification.json", verification(FAILED, spearman=None))
    assert "undefined" in render(run).text


def test_single_latencies_are_drawn(run: Run, make_row: MakeRow) -> None:
    with Store() as store:
        store.add(make_row(record={"latency": {"samples_ms": [1.0, 2.0, 3.0]}}))
    assert figures(render(run)) == 5


def test_report_loads_nothing(run: Run) -> None:
    run.write_json("verification.json", verification(MEASURED))
    page = render(run)
    html = (run.path / "report.html").read_text()
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base"), tag
        assert "src" not in attributes and "href" not in attributes, (tag, attributes)
    style = "".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL))
    assert "url(" not in style and "@import" not in style


def test_names_are_escaped(run: Run) -> None:
    run.write_json("verification.json", verification(MEASURED, UNSURE, FAILED))
    page = render(run)
    html = (run.path / "report.html").read_text()
    assert EVIL not in html and "<script>alert(1)" not in html
    assert EVIL in page.text, "shown as the text that it is"


def test_report_without_a_front(run: Run) -> None:
    (run.path / "front.json").unlink()
    with Store() as store, pytest.raises(UsageError, match=r"front\.json"):
        write_report(run, store)


def test_report_says_whether_the_search_pays(run: Run) -> None:
    fronts = run.read_json("front.json")
    volumes = {"read-off": 0.61234, "refined": 0.7, "refined-from-random": 0.69}
    for pays, said in ((True, "The search pays"), (False, "does not pay for itself")):
        reading = {"way": "refined", "search_pays": pays, "hypervolume": {"cpu": volumes, EVIL: volumes}}
        run.write_json("front.json", {**fronts, "reading": reading})
        page = render(run)
        assert said in page.text and "0.6123" in page.text
        assert EVIL in page.text
