"""Tables with values of the wrong unit, row by row, and with what only looks like a number."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from integration_home import Home

from harness.cli import main
from harness.core.errors import UsageError
from harness.datasets import hat, nasbench201, ofa
from harness.datasets.plausible import Plausibility
from harness.datasets.training_sets import device_values
from harness.devices.table import TableDevice, find_device
from harness.store import Store
from modnas.spaces import Architecture, Space, get_space

pytestmark = pytest.mark.usefixtures("home")
CELLS = get_space("nasbench201")
MOBILE = get_space("mobilenetv3")
SENTENCES = get_space("transformer")
SEVEN = (0, 1, 2, 4, 5, 7, 9)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(arguments)
    output, errors = capsys.readouterr()
    return code, output, errors


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code, output, errors = run(capsys, *arguments, "--json")
    assert code == 0, errors
    return json.loads(output)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line of a command that is refused; no table was stored."""
    code, output, errors = run(capsys, *arguments)
    assert (code, output) == (2, "") and errors.startswith("error: ") and errors.count("\n") == 1, errors
    return errors


def plain(space: Space, scale: float = 1.0) -> list[float]:
    """What a device takes for the references: something fixed, something by work, and its own ways."""
    work = space.multiply_adds(space.references)
    assert work is not None
    ways = (1.0, 1.3, 0.8, 1.1, 0.9, 1.5, 0.7, 1.0, 1.2, 0.85)
    return [scale * (1.0 + w / 2e7) * way for w, way in zip(work.tolist(), ways, strict=True)]


def table(path: Path, archs: tuple[Architecture, ...], values: list[float]) -> str:
    rows = (f"{a.string},{value!r}\n" for a, value in zip(archs, values, strict=True))
    path.write_text("arch,value\n" + "".join(rows))
    return str(path)


def wrong(values: list[float], rows: tuple[int, ...], factor: float) -> list[float]:
    return [value * factor if n in rows else value for n, value in enumerate(values)]


def lines(rows: tuple[int, ...]) -> list[str]:
    return [f"line {row + 2}: " for row in rows]


@pytest.mark.parametrize(
    ("space", "metric", "rows", "factor", "unit"),
    [
        (CELLS, "latency", (3,), 1000, "us"),
        (CELLS, "latency", (0, 4, 8), 1000, "us"),
        (CELLS, "latency", (1, 3, 5, 7, 9), 1000, "us"),
        (CELLS, "latency", SEVEN, 1000, "us"),
        (CELLS, "latency", (0, 1, 2, 3, 4, 5, 6, 7, 9), 1000, "us"),
        (CELLS, "latency", SEVEN, 1024, "us"),
        (CELLS, "latency", SEVEN, 1e6, "ns"),
        (CELLS, "latency", SEVEN, 1e-3, "s"),
        (CELLS, "latency", (2, 6), 1e-3, "s"),
        (CELLS, "latency", (9,), 100, None),
        (MOBILE, "latency", SEVEN, 1000, "us"),
        (MOBILE, "latency", (5,), 1e-3, "s"),
        (SENTENCES, "latency", SEVEN, 1000, "us"),
        (SENTENCES, "latency", (0,), 1e-3, "s"),
        (CELLS, "energy", (1, 2), 1000, "uJ"),
        (CELLS, "energy", SEVEN, 1e6, "nJ"),
        (CELLS, "energy", (8,), 1e-3, "J"),
        (CELLS, "energy", (8,), 1e-6, "kJ"),
    ],
)
def test_rows_of_another_unit_are_named_and_not_stored(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    *,
    space: Space,
    metric: str,
    rows: tuple[int, ...],
    factor: float,
    unit: str | None,
) -> None:
    scale = 30.0 if metric == "energy" else 1.0
    path = table(tmp_path / "t.csv", space.references, wrong(plain(space, scale), rows, factor))
    command = ("dataset", "import", "--device", "board", "--space", space.name, "--metric", metric, path)
    shown = refused(capsys, *command)
    assert [line for line in lines(tuple(range(10))) if line in shown] == lines(rows)
    assert path in shown and f"{len(rows)} of 10" in shown and "--accept-implausible" in shown
    assert ("is it in" in shown) == (unit is not None) and (unit is None or f"is it in {unit}?" in shown)
    with Store() as store:
        assert store.counts()["tables"] == 0
    kept = document(capsys, *command, "--accept-implausible")
    assert kept["added"] == 10 and len(kept["devices"][0]["warnings"]) == len(rows)


@pytest.mark.parametrize("factor", [1e6, 1e-3])
def test_a_file_that_is_wrong_as_a_whole_is_stored_with_a_warning(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, factor: float
) -> None:
    path = table(tmp_path / "t.csv", CELLS.references, [factor * value for value in plain(CELLS, 0.7)])
    done = document(capsys, "dataset", "import", "--device", "board", path)
    (warning,) = done["devices"][0]["warnings"]
    assert "times" in warning and "see whether they are in ms" in warning


def test_the_name_of_a_file_need_not_be_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = Path(table(tmp_path / "t.csv", CELLS.references, plain(CELLS)))
    odd = path.rename(os.fsdecode(os.fsencode(tmp_path) + b"/t\xff.csv"))
    document(capsys, "dataset", "import", "--device", "board", str(odd))
    assert document(capsys, "devices", "show", "board")["tables"][0]["files"] == [f"{tmp_path}/t\\xff.csv"]


def test_two_units_wrong_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    values = wrong(wrong(plain(CELLS), (1, 5), 1e3), (7,), 1e-3)
    shown = refused(
        capsys, "dataset", "import", "--device", "board", table(tmp_path / "t.csv", CELLS.references, values)
    )
    assert "3 of 10" in shown and shown.count("in us?") == 2 and shown.count("in s?") == 1


def test_what_is_stored_of_the_device_counts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    values = plain(CELLS)
    command = ("dataset", "import", "--device", "board")
    # Of these few rows alone, nobody could tell: the others were imported before.
    document(capsys, *command, table(tmp_path / "a.csv", CELLS.references[:6], values[:6]))
    rest = table(tmp_path / "b.csv", CELLS.references[6:], wrong(values[6:], (0, 1, 2, 3), 1000))
    shown = refused(capsys, *command, rest)
    assert "4 of 4" in shown and "dataset remove --device board" in shown
    good = table(tmp_path / "c.csv", CELLS.references[6:], values[6:])
    assert document(capsys, *command, good)["devices"][0]["warnings"] == []
    # The same rows, corrected, replace wrong ones without a word.
    bad = table(tmp_path / "d.csv", CELLS.references, wrong(values, SEVEN, 1000))
    document(capsys, *command, bad, "--accept-implausible")
    whole = table(tmp_path / "e.csv", CELLS.references, values)
    assert document(capsys, *command, whole)["devices"][0]["warnings"] == []


def test_other_devices_tell_which_rows_are_right(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Devices a thousand times slower than any usual one: beside them, the slow rows are the right ones."""
    for name, scale in (("slow", 2000.0), ("slower", 5000.0)):
        path = table(tmp_path / f"{name}.csv", CELLS.references, plain(CELLS, scale))
        document(capsys, "dataset", "import", "--device", name, path)
    values = wrong(plain(CELLS, 3000.0), (2, 3), 1e-3)
    shown = refused(
        capsys, "dataset", "import", "--device", "board", table(tmp_path / "t.csv", CELLS.references, values)
    )
    assert "2 of 10" in shown and "the 2 other devices" in shown and shown.count("in s?") == 2


@pytest.mark.parametrize(
    "text",
    [
        "\uff11\uff12.5",
        "\u0661\u0662",
        "\u096712",
        "1\u0660",
        "1_000",
        "1_0.5",
        "0x10",
        "1,5",
        "1.000.000",
        "1 000",
        "1'000",
        "12.5ms",
        "12.5 ms",
        "\u221212",
        "\u00bd",
        "1e",
        "e5",
        ".",
        "++1",
        "\u00a012",
        "12\u2009",
        "nan",
        "-nan",
        "inf",
        "Infinity",
        "1e999",
        "-3",
        "0",
        "0.0",
        "-0",
        "1e-999",
        "",
        " ",
        "None",
        "1\x00",
    ],
)
def test_what_is_no_positive_number_is_refused_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    path = tmp_path / "t.csv"
    names = [a.string for a in CELLS.references]
    path.write_text(f'arch,value\n{names[0]},12\n{names[1]},"{text}"\n', encoding="utf-8")
    shown = refused(capsys, "dataset", "import", "--device", "board", str(path))
    assert "line 3" in shown and "number" in shown and shown[:-1].isprintable()
    with Store() as store:
        assert store.counts()["tables"] == 0


@pytest.mark.parametrize("text", ["12", "12.5", "12.", ".5", "1.25e1", "1E1", "+12", " 12.5", "12.5\t"])
def test_what_is_a_number_is_taken(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"arch,value\n{CELLS.references[0].string},{text}\n")
    assert document(capsys, "dataset", "import", "--device", "board", str(path))["added"] == 1


@pytest.mark.parametrize(
    ("metric", "unit", "taken"),
    [
        ("latency", "ms", True),
        ("energy", "mJ", True),
        ("energy", "mj", True),
        ("latency", "us", False),
        ("latency", "s", False),
        ("latency", "Ms", False),
        ("latency", "mJ", False),
        ("latency", "\uff4d\uff53", False),
        ("energy", "MJ", False),
        ("energy", "J", False),
        ("energy", "ms", False),
        ("energy", "", False),
    ],
)
def test_units(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, metric: str, unit: str, taken: bool
) -> None:
    path = table(tmp_path / "t.csv", CELLS.references, plain(CELLS))
    code, _, errors = run(
        capsys, "dataset", "import", "--device", "board", "--metric", metric, "--unit", unit, path
    )
    assert (code == 0) == taken, errors
    assert taken or (code == 2 and "--unit" in errors)


@pytest.mark.parametrize("again", ["{},12", "{},13", "nasbench201:{},13", " {} ,13"])
def test_a_row_twice_is_refused_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, again: str
) -> None:
    name = CELLS.references[0].string
    (tmp_path / "t.csv").write_text(f"arch,value\n{name},12\n\n{again.format(name)}\n")
    shown = refused(capsys, "dataset", "import", "--device", "board", str(tmp_path / "t.csv"))
    assert "line 4" in shown and "twice" in shown


@pytest.mark.parametrize(
    ("space", "text"),
    [
        ("transformer", SENTENCES.references[0].string.replace("0", "\u0660")),
        ("mobilenetv3", MOBILE.references[0].string.replace("3", "\uff13")),
    ],
)
def test_digits_of_other_scripts_name_no_network(space: str, text: str) -> None:
    with pytest.raises(ValueError, match="not a "):
        get_space(space).parse(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("features", "--device", "cpu", "--set", "channels=\uff11\uff16"),
        ("features", "--device", "cpu", "--set", "channels=1_6"),
        ("features", "--device", "cpu", "--set", "input=3x\u0663\u0662x32"),
        ("features", "--device", "cpu@\uff18"),
        ("search", "--devices", "cpu", "--constraint", "latency=\u0660.2"),
        ("search", "--devices", "cpu", "--constraint", "latency=0_1.0"),
    ],
    ids=str,
)
def test_numbers_of_options_are_plain_too(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    refused(capsys, *arguments)


# Published tables are taken without a word.


@pytest.mark.slow
def test_published_tables_are_plausible(data_dir: Path) -> None:
    cells, networks = nasbench201.load(data_dir), ofa.load(data_dir)
    mobile = [a.string for a in networks.architectures]
    for space, metric, archs, devices in (
        (CELLS, "latency", cells.archs, cells.latency_ms),
        (CELLS, "energy", cells.archs, cells.energy_mj),
        (networks.space, "latency", mobile, networks.latency_ms),
    ):
        plausibility = Plausibility(space, metric)
        for device, values in devices.items():
            found = plausibility.judge(dict(zip(archs, values.tolist(), strict=True)), {})
            assert (found.doubts, found.off) == ((), 1.0), device


def test_published_latencies_of_transformers_are_usual(data_dir: Path) -> None:
    """HAT's rows name no architecture; their smallest and largest stand for the smallest and largest here."""
    ends = [a.string for a in SENTENCES.references[:2]]
    for device, rows in hat.load(data_dir).tables.items():
        values = [float(rows.latency_ms.max()), float(rows.latency_ms.min())]
        found = Plausibility(SENTENCES, "latency").judge(dict(zip(ends, values, strict=True)), {})
        assert found.doubts == () and found.off < 20, device


@pytest.mark.parametrize("factor", [1e3, 1e-3, 1e6])
def test_seven_wrong_references_of_every_published_device(data_dir: Path, factor: float) -> None:
    published = nasbench201.load(data_dir)
    names = [a.string for a in CELLS.references]
    rows = [published.archs.index(name) for name in names]
    for device, latencies in published.latency_ms.items():
        others = [
            {name: float(values[row]) for name, row in zip(names, rows, strict=True)}
            for other, values in published.latency_ms.items()
            if other != device
        ]
        values = wrong([float(latencies[row]) for row in rows], SEVEN, factor)
        for peers in ([], others[:1], others):
            found = Plausibility(CELLS, "latency", peers).judge(dict(zip(names, values, strict=True)), {})
            assert [doubt.arch for doubt in found.doubts] == [names[n] for n in SEVEN], device


def test_a_space_that_tells_nothing_of_work_is_judged_by_the_values_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type(CELLS), "multiply_adds", lambda *_: None)
    names = [a.string for a in CELLS.references]
    values = wrong(plain(MOBILE), (3, 7), 1000)
    found = Plausibility(CELLS, "latency").judge(dict(zip(names, values, strict=True)), {})
    assert [doubt.arch for doubt in found.doubts] == [names[3], names[7]] and found.off == 1.0


# Removing a table.


def imported(capsys: pytest.CaptureFixture[str], tmp_path: Path, device: str = "board", *more: str) -> None:
    path = table(tmp_path / "t.csv", CELLS.references, plain(CELLS))
    document(capsys, "dataset", "import", "--device", device, path, *more)


def test_a_removed_table_is_gone_and_can_be_imported_anew(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    imported(capsys, tmp_path)
    imported(capsys, tmp_path, "board", "--metric", "energy")
    imported(capsys, tmp_path, "other")
    done = document(capsys, "dataset", "remove", "--device", "board", "--metric", "energy")
    assert [one["metric"] for one in done["removed"]] == ["energy"] and done["other_tables"]
    assert [one["metric"] for one in document(capsys, "devices", "show", "board")["tables"]] == ["latency"]
    done = document(capsys, "dataset", "remove", "--device", "board")
    assert [one["architectures"] for one in done["removed"]] == [10] and not done["other_tables"]
    names = {one["name"] for one in document(capsys, "devices", "list")["devices"]}
    assert "board" not in names and "other" in names
    assert "board" in refused(capsys, "features", "--device", "board")
    refused(capsys, "dataset", "remove", "--device", "board")
    with Store() as store:
        assert device_values(store, "board", CELLS, "latency") == {} and store.tables("board") == []
        assert store.counts()["tables"] == 3, "the rows stay"
    # What the removed table said neither counts nor mixes in.
    short = table(tmp_path / "short.csv", CELLS.references[:2], [500.0, 900.0])
    assert document(capsys, "dataset", "import", "--device", "board", short)["added"] == 2
    with Store() as store:
        assert list(device_values(store, "board", CELLS, "latency").values()) == [500.0, 900.0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--device", "nobody"),
        ("--device", "cpu"),
        ("--device", "board", "--metric", "beauty"),
        ("--device", "board", "--metric", "energy"),
        ("--device", "board", "--space", "nope"),
        ("--device", "board", "--space", "transformer"),
        ("--device", "board", "--space", "nasbench201", "--set", "channels=8"),
        ("--device", "board", "--set", "channels=16"),
        (),
    ],
    ids=str,
)
def test_removing_what_is_not_there_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    imported(capsys, tmp_path)
    refused(capsys, "dataset", "remove", *arguments)
    with Store() as store:
        assert len(store.tables("board")) == 1


def test_sizes_are_removed_one_by_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    small = ("--set", "channels=8")
    imported(capsys, tmp_path)
    imported(capsys, tmp_path, "board", *small)
    done = document(capsys, "dataset", "remove", "--device", "board", "--space", "nasbench201", *small)
    assert [one["variant"] for one in done["removed"]] == ["c8n5-3x32x32-10"]
    with Store() as store:
        assert store.table_devices("nasbench201", CELLS.variant) == ["board"]


def test_a_store_from_before_removals_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, home: Home
) -> None:
    imported(capsys, tmp_path)
    with sqlite3.connect(home.folder / "store.sqlite") as database:
        database.execute("DROP TABLE table_removals")
        database.execute("DROP TABLE alembic_version")  # stores had no version then
    with Store() as store:
        assert store.table_devices() == ["board"] and store.check() is None
    document(capsys, "dataset", "remove", "--device", "board")


# Names that profiles have.


def test_a_table_hides_a_shipped_profile_only_when_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = table(tmp_path / "t.csv", CELLS.references, plain(CELLS))
    for device in ("raspi4", "jetson", "raspi4@8"):
        command = ("dataset", "import", "--device", device, path)
        assert "--replace" in refused(capsys, *command)
        with Store() as store:
            assert not isinstance(find_device(device, store), TableDevice)
        document(capsys, *command, "--replace")
        document(capsys, *command)  # it is hidden already
        with Store() as store:
            assert isinstance(find_device(device, store), TableDevice)
        document(capsys, "dataset", "remove", "--device", device)
        with Store() as store:
            assert not isinstance(find_device(device, store), TableDevice)
    for device in ("cpu", "gpu", "quick"):
        assert "ambiguous" in refused(capsys, "dataset", "import", "--device", device, path, "--replace")


def test_a_profile_does_not_make_a_table_ambiguous(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, home: Home
) -> None:
    imported(capsys, tmp_path)
    assert "dataset remove --device board" in refused(
        capsys, "devices", "add", "board", "--ssh", "pi@127.0.0.1"
    )
    (home.folder / "devices" / "board.yaml").write_text("name: board")
    with Store() as store, pytest.raises(UsageError, match="dataset remove --device board"):
        find_device("board", store)
    document(capsys, "dataset", "remove", "--device", "board")
    with Store() as store:
        assert not isinstance(find_device("board", store), TableDevice)


@pytest.mark.slow
def test_published_devices_with_a_name_that_is_taken_are_left_out(
    capsys: pytest.CaptureFixture[str], home: Home, data_dir: Path
) -> None:
    (home.folder / "devices" / "fpga.yaml").write_text("name: fpga")
    command = ("dataset", "import", "nasbench201", "--from", str(data_dir))
    done = document(capsys, *command)
    assert set(done["left_out"]) == {"raspi4", "fpga"} and "--replace" in done["left_out"]["raspi4"]
    assert len({one["device"] for one in done["devices"]}) == 17
    assert not any(one["warnings"] for one in done["devices"])
    assert set(document(capsys, *command, "--replace")["left_out"]) == {"fpga"}
    with Store() as store:
        assert len(store.table_devices()) == 18
