"""Pages of HTML: what is put into one is text, whatever it looks like."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
import pytest

from harness.bench import plots
from harness.bench.claims import Claim

EVIL = "</script><script>alert(1)</script><b>&"


@pytest.fixture
def page(tmp_path: Path) -> str:
    figure = go.Figure()
    figure.add_scatter(x=[1.0], y=[2.0], name=EVIL, text=[EVIL])
    path = plots.write_figures(
        tmp_path / "new" / "folder",
        "main",
        [(f"title {EVIL}", figure)],
        notes=[f"note {EVIL}"],
        claims=[Claim(f"claim {EVIL}", "confirmed", f"figures {EVIL}")],
    )
    assert path == tmp_path / "new" / "folder" / "main.html"
    return path.read_text(encoding="utf-8")


def test_names_are_escaped_on_the_page_of_an_experiment(page: str) -> None:
    assert EVIL not in page and "<script>alert(1)" not in page
    for part in ("title", "note", "claim", "figures"):
        assert f"{part} &lt;/script&gt;&lt;script&gt;alert(1)" in page, part


def test_the_page_of_an_experiment_draws_its_figures_and_loads_nothing(page: str) -> None:
    assert page.count('class="plotly-graph-div"') == 1
    assert "<script src" not in page and "<link" not in page
    assert "<b>confirmed</b>" in page
