"""Table devices: importing them, and using them like any other device."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from harness_helpers import TINY, MakeRow
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.cli import main
from harness.core.errors import UsageError
from harness.datasets import nasbench201
from harness.datasets.importing import Imported, Table, import_tables
from harness.datasets.training_sets import (
    device_features,
    device_table,
    device_values,
    measured_devices,
    thinned,
)
from harness.datasets.value_files import read_values
from harness.devices import table as devices
from harness.devices.table import TableDevice, find_device, measurable, stored_table
from harness.runs.run import Run
from harness.store import Store
from modnas.spaces import Space, get_space

PUBLISHED = get_space("nasbench201")
NAMES = [a.string for a in PUBLISHED.references]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(arguments)
    output, errors = capsys.readouterr()
    return code, output, errors


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code, output, errors = run(capsys, *arguments, "--json")
    assert code == 0, errors
    return json.loads(output)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The one line of a command that ends with `code` and prints nothing else."""
    found, output, errors = run(capsys, *arguments)
    assert (found, output) == (code, "") and errors.startswith("error: ") and errors.count("\n") == 1, errors
    return errors


def csv_of(path: Path, entries: dict[str, float]) -> Path:
    path.write_text("arch,value\n" + "".join(f"{arch},{value!r}\n" for arch, value in entries.items()))
    return path


def references(factor: float = 1.0) -> dict[str, float]:
    return {name: factor * (n + 1) for n, name in enumerate(NAMES)}


def table(entries: dict[str, float], device: str = "board", metric: str = "latency") -> Table:
    return Table(device, metric, {"latency": "ms", "energy": "mj"}[metric], "somewhere", entries)


# Reading a file.


def test_file_with_prefixes_blanks_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(f"\ufeffarch, value\r\nnasbench201:{NAMES[0]}, 1.5\r\n\r\n{NAMES[1]},2e1\r\n".encode())
    assert read_values(path, PUBLISHED) == {NAMES[0]: 1.5, NAMES[1]: 20.0}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is empty"),
        ("arch,value\n", "is empty"),
        ("arch,latency\n", "line 1: the header"),
        (f"{NAMES[0]},1\n", "line 1: the header"),
        (f"arch,value\n{NAMES[0]},1\n{NAMES[1]}\n", "line 3: expected an architecture and a value, not 1"),
        (f"arch,value\n{NAMES[0]},1,2\n", "line 2: expected an architecture and a value, not 3"),
        (f"arch,value\n\n{NAMES[0]},fast\n", "line 3: 'fast' is not a number"),
        (f"arch,value\n{NAMES[0]},1_0\n", "line 2: '1_0' is not a number"),
        (f"arch,value\n{NAMES[0]},\n", "line 2: '' is not a number"),
        (f"arch,value\n{NAMES[0]},0\n", "line 2: 0 is not a positive number"),
        (f"arch,value\n{NAMES[0]},-1\n", "line 2: -1 is not a positive number"),
        (f"arch,value\n{NAMES[0]},nan\n", "line 2: nan is not a positive number"),
        (f"arch,value\n{NAMES[0]},1\n|none~0|,2\n", "line 3: not a NAS-Bench-201 cell"),
        (f"arch,value\n{NAMES[0]},1\nnasbench201:{NAMES[0]},2\n", "line 3: .* occurs twice"),
        (f'arch,value\n"{NAMES[0]},1\n', "cannot be read"),
        ("arch,value\n\0", "t.csv"),
    ],
)
def test_bad_file_is_one_line_and_nothing_is_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=complaint) as caught:
        read_values(path, PUBLISHED)
    assert str(path) in str(caught.value)
    assert refused(capsys, "dataset", "import", "--device", "board", str(path)) == f"error: {caught.value}\n"
    with Store() as store:
        assert store.counts()["tables"] == 0


def test_file_that_is_missing_or_not_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"arch,value\n\xff\xfe")
    for name in ("t.csv", "absent.csv", "."):
        with pytest.raises(UsageError, match="cannot be read"):
            read_values(tmp_path / name, PUBLISHED)


@pytest.mark.parametrize(
    ("content", "command"),
    [
        (b"\x80\x04\x95pickled", "modnas-hw search --devices NAME --weights"),
        (b"\x08\x08\x12\x04made by somebody", "harness.profile"),
        (b"\x1f\x8b\x08compressed", "gunzip -k"),
    ],
)
def test_a_table_of_another_kind_is_told_with_what_takes_it(
    tmp_path: Path, content: bytes, command: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"t\.csv") as caught:
        read_values(path, PUBLISHED)
    assert command in str(caught.value)


ENTRIES = st.dictionaries(
    st.tuples(*[st.integers(0, 4)] * 6).map(lambda choices: PUBLISHED.architecture(choices).string),
    st.floats(1e-9, 1e9),
    min_size=1,
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(ENTRIES)
def test_file_round_trip(tmp_path: Path, entries: dict[str, float]) -> None:
    assert read_values(csv_of(tmp_path / "t.csv", entries), PUBLISHED) == entries


# Importing.


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(ENTRIES, min_size=1, max_size=4))
def test_imports_add_up_and_the_newest_value_counts(imports: list[dict[str, float]]) -> None:
    expected: dict[str, float] = {}
    with Store("sqlite://") as store:
        for entries in imports:
            new = sum(expected.get(arch) != value for arch, value in entries.items())
            for again in (new, 0):
                (report,) = import_tables(store, PUBLISHED, [table(entries)])
                assert report == Imported("board", "latency", len(entries), again)
            expected.update(entries)
        found = stored_table(store, "board", PUBLISHED, "latency")
        assert found is not None and found.values == expected and found.variant == PUBLISHED.variant


def test_same_file_again_adds_nothing_and_a_change_appends(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = csv_of(tmp_path / "t.csv", references())
    command = ["dataset", "import", "--device", "board", "--space", "nasbench201"]
    command += ["--metric", "latency", "--unit", "ms", str(path)]
    assert document(capsys, *command)["added"] == 10
    assert document(capsys, *command)["added"] == 0
    with Store() as store:
        assert store.counts()["tables"] == 1
    csv_of(path, {**references(), NAMES[3]: 99.0})
    assert document(capsys, *command)["added"] == 1
    with Store() as store:
        assert device_values(store, "board", PUBLISHED, "latency")[PUBLISHED.references[3]] == 99.0
        assert store.counts()["tables"] == 2, "the row that was there is still there"


def test_all_tables_of_an_import_or_none(home_folder: Path) -> None:
    (home_folder / "devices").mkdir(parents=True)
    (home_folder / "devices" / "mine.yaml").write_text("name: mine")
    with Store() as store:
        with pytest.raises(UsageError, match="'mine' is ambiguous"):
            import_tables(store, PUBLISHED, [table(references()), table(references(), device="mine")])
        assert store.counts()["tables"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["nasbench201"],
        ["file.csv"],
        ["ofa", "--from", "."],
        ["nasbench201", "--from", "."],
        ["nasbench201", "--from", ".", "--device", "board"],
        ["file.csv", "--device", "board", "--unit", "us"],
        ["file.csv", "--device", "board", "--metric", "beauty"],
        ["file.csv", "--device", "board", "--space", "nope"],
        ["file.csv", "--device", "bad name"],
        ["file.csv", "--device", "../board"],
        ["file.csv", "--device", "cpu"],
        [],
    ],
    ids=str,
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str]) -> None:
    path = csv_of(tmp_path / "file.csv", references())
    refused(capsys, "dataset", "import", *[str(path) if a == "file.csv" else a for a in arguments])
    with Store() as store:
        assert store.counts()["tables"] == 0


# Which device a name means.


def test_table_hides_the_shipped_profile_of_a_board(monkeypatch: pytest.MonkeyPatch) -> None:
    board = SimpleNamespace(name="board", transport="ssh")
    for name, answer in (("device_names", ["board"]), ("get_profile", board), ("is_user_profile", False)):
        monkeypatch.setattr(devices, name, lambda *_, answer=answer: answer)
    with Store() as store:
        assert find_device("board", store) is board
        import_tables(store, PUBLISHED, [table(references())])
        assert find_device("board", store) == TableDevice("board")
        assert "hides the profile" in devices.describe_tables(store)[0][1]


def test_name_of_a_table_and_of_a_users_profile_is_ambiguous(home_folder: Path) -> None:
    with Store() as store:
        import_tables(store, PUBLISHED, [table(references())])
        assert find_device("board", store) == TableDevice("board")
        with pytest.raises(UsageError, match="imported table"):
            measurable("board", store)
        assert measurable("cpu@4", store).batch == 4
        (home_folder / "devices").mkdir(exist_ok=True)
        (home_folder / "devices" / "board.yaml").write_text("name: board")
        with pytest.raises(UsageError, match="'board' is ambiguous"):
            find_device("board", store)


def test_table_devices_are_listed_and_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = csv_of(tmp_path / "t.csv", references())
    document(capsys, "dataset", "import", "--device", "board", str(path))
    listed = {row["name"]: row for row in document(capsys, "devices", "list")["devices"]}
    assert listed["board"]["kind"] == "table" and listed["cpu"]["kind"] == "profile"
    shown = document(capsys, "devices", "show", "board")
    assert shown["tables"] == [
        {
            "space": "nasbench201",
            "variant": PUBLISHED.variant,
            "metric": "latency",
            "unit": "ms",
            "architectures": 10,
            "files": [str(path)],
        }
    ]


def test_tables_are_not_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = csv_of(tmp_path / "t.csv", references())
    document(capsys, "dataset", "import", "--device", "board", str(path))
    for command in (["devices", "check", "board"], ["profile", "--device", "board"]):
        assert "imported table" in refused(capsys, *command)
    assert "front --run" in refused(capsys, "search", "--devices", "board")


# Sizes of networks.


def test_sizes_are_never_mixed(space: Space) -> None:
    with Store("sqlite://") as store:
        import_tables(store, PUBLISHED, [table(references())])
        assert device_features(store, "board", space).values == tuple(references().values())
        assert measured_devices(store, PUBLISHED) == ["board"]
        assert measured_devices(store, space) == [], "a table of another size is used only by name"
        import_tables(store, space, [table({NAMES[0]: 7.0})])
        assert device_values(store, "board", space, "latency") == {space.references[0]: 7.0}
        assert device_features(store, "board", PUBLISHED).values == tuple(references().values())
        third = get_space("nasbench201", channels=2)
        with pytest.raises(UsageError, match="several for other sizes"):
            device_values(store, "board", third, "latency")


def test_rows_measured_under_a_tables_name_do_not_mix_in(make_row: MakeRow, space: Space) -> None:
    with Store("sqlite://") as store:
        store.add(*(make_row(a, 50.0, device="board", key=a.string) for a in space.references))
        import_tables(store, PUBLISHED, [table(references(), metric="energy")])
        assert device_values(store, "board", space, "latency") == {}
        assert measured_devices(store, space) == []


def test_thinned_table_keeps_pairs(space: Space) -> None:
    cells = space.sample(50, torch.Generator().manual_seed(0))
    with Store("sqlite://") as store:
        entries = {**references(), **{a.string: float(n + 20) for n, a in enumerate(cells)}}
        import_tables(store, space, [table(entries)])
        whole = device_table(store, "board", space)
    part = thinned(whole, 20, seed=1)
    assert len(part.architectures) == len(np.asarray(part.values)) == 20
    for architecture, value in zip(part.architectures, np.asarray(part.values), strict=True):
        assert entries[architecture.string] == value
    assert thinned(whole, 20, seed=1).architectures == part.architectures
    assert thinned(whole, 1000, seed=1) is whole


def test_features_of_the_state_that_was_asked_for(make_row: MakeRow, space: Space) -> None:
    with Store("sqlite://") as store:
        for fingerprint, value in (("old", 1.0), ("new", 2.0)):
            for n, cell in enumerate(space.references):
                key = f"{fingerprint}{n}"
                store.add(make_row(cell, value * (n + 1), key=key, fingerprint=fingerprint))
        old = store.measurements(["old0"])["old0"]
        assert device_features(store, "cpu", space).values[0] == 2.0
        assert device_features(store, "cpu", space, like=old).values[0] == 1.0


# With predictors, searches and verification.


@pytest.mark.slow
@pytest.mark.usefixtures("fake_agents")
def test_front_of_an_imported_device_without_a_search(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_preset: str
) -> None:
    document(capsys, "search", "--devices", "cpu", "--preset", tiny_preset, "--run", "mine", "--no-verify")
    path = csv_of(tmp_path / "t.csv", references(3.0))
    document(capsys, "dataset", "import", "--device", "board", str(path))
    front = document(capsys, "front", "--run", "mine", "--device", "board")
    assert front["device"] == "board" and front["table"]["variant"] == PUBLISHED.variant
    assert front["architectures"]
    for entry in front["architectures"]:
        assert entry["predicted"]["latency_ms"] > 0 and 0 <= entry["predicted"]["error"] <= 100
    verified = document(capsys, "verify", "--run", "mine", "--device", "board")
    assert verified["measured_now"] == 0 and verified["table"]["source"] == "table"
    for entry in verified["architectures"]:
        known = references(3.0).get(entry["arch"].partition(":")[2])
        assert entry["measured"]["latency_ms"] == known and entry["measured"]["error"] >= 0
        assert ("failure" in entry["measured"]) == (known is None)
    code, _, errors = run(capsys, "front", "--run", "mine", "--device", "board")
    assert code == 0 and "not measured here" in errors and PUBLISHED.variant in errors


@pytest.mark.slow
def test_front_needs_all_references(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_preset: str, fake_agents: list[Any]
) -> None:
    document(capsys, "search", "--devices", "cpu", "--preset", tiny_preset, "--run", "mine", "--no-verify")
    path = csv_of(tmp_path / "t.csv", dict(list(references().items())[:9]))
    document(capsys, "dataset", "import", "--device", "board", str(path))
    error = refused(capsys, "front", "--run", "mine", "--device", "board", code=1)
    assert "1 of 10 reference" in error and "dataset import" in error


@pytest.mark.slow
@pytest.mark.usefixtures("fake_agents")
def test_published_tables_from_import_to_report(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path, tiny_preset: str
) -> None:
    command = ["dataset", "import", "nasbench201", "--from", str(data_dir), "--replace"]
    first = document(capsys, *command)
    assert not first["left_out"] and not any(one["warnings"] for one in first["devices"])
    assert first["variant"] == PUBLISHED.variant and first["added"] == 21 * 15625
    assert len({one["device"] for one in first["devices"]}) == 19
    assert document(capsys, *command)["added"] == 0

    published = nasbench201.load(data_dir)
    with Store() as store:
        raspi = device_values(store, "raspi4", PUBLISHED, "latency")
        assert list(raspi) == PUBLISHED.all()
        assert list(raspi.values()) == published.latency_ms["raspi4"].tolist()
        energy = stored_table(store, "fpga", PUBLISHED, "energy")
        assert energy is not None and "modelled" in energy.sources[0]

    trained = document(
        capsys, "predictor", "evaluate", "--device", "raspi4", "--device", "gold_6226", "--limit", "60"
    )
    assert trained["holdout"]["raspi4"]["spearman"] > 0.8

    found = document(capsys, "search", "--devices", "raspi4,cpu", "--preset", tiny_preset, "--run", "mixed")
    assert set(found["fronts"]) == {"raspi4", "cpu"}
    verified = found["verification"]["raspi4"]
    for entry in (*verified["architectures"], *verified["random"]):
        text = entry["arch"].partition(":")[2]
        assert entry["measured"]["latency_ms"] == raspi[PUBLISHED.parse(text)]
        assert entry["measured"]["source"] == "table"
    assert found["verification"]["cpu"]["measured_now"] > 0
    assert set(Run.open("mixed").read_json("front.json")["tables"]) == {"raspi4"}
    html = Path(found["report"]).read_text()
    assert "imported table, not measured here" in html and PUBLISHED.variant in html

    refused(capsys, "features", "--device", "raspi4", "--metric", "beauty")
    assert len(document(capsys, "features", "--device", "raspi4", *TINY)["latency_ms"]) == 10


def test_whole_space_is_the_most_that_can_be_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    for count in (15285, 15626, 10**9):
        error = refused(capsys, "profile", "--device", "cpu", "--archs", str(count))
        assert "15284" in error and str(count) in error
