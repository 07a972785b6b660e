"""The store of measurements."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
from harness_helpers import TINY, FakeAgent, assert_one_line, damaged_store
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from harness.cli import main
from harness.core.errors import UsageError
from harness.store import Evaluation, Measurement, Store, StoreError, content_key

MakeRow = Callable[..., Measurement]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=5), st.randoms())
def test_content_key_does_not_depend_on_order(parts: dict[str, object], random: object) -> None:
    shuffled = list(parts.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert content_key(dict(shuffled)) == content_key(parts)
    assert content_key({**parts, "one more": 1}) != content_key({**parts, "one more": 2})


def test_content_key_is_fixed_and_refuses_what_is_not_json() -> None:
    # sha256 of {"a":1}
    assert content_key({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    for value in (math.nan, math.inf, object()):
        with pytest.raises((ValueError, TypeError)):
            content_key({"a": value})


def test_rows_are_added_and_the_newest_answers(make_row: MakeRow) -> None:
    with Store() as store:
        for value in (1.0, 2.0, 3.0):
            store.add(make_row(key="k", value=value))
        store.add(make_row(key="other", value=9.0))
        found = store.measurements(["k", "absent"])
        assert {key: row.latency_ms for key, row in found.items()} == {"k": 3.0}
        assert store.counts()["measurements"] == 4, "older rows stay"
    with Store() as store:
        assert store.measurements(["k"])["k"].latency_ms == 3.0


def test_more_keys_than_a_statement_takes(make_row: MakeRow) -> None:
    keys = [f"k{n}" for n in range(1201)]
    with Store() as store:
        for key in keys[::100]:
            store.add(make_row(key=key))
        assert set(store.measurements(keys)) == set(keys[::100])


def test_device_measurements_select_and_order(make_row: MakeRow) -> None:
    with Store() as store:
        for key, value, fields in (
            ("a", 1.0, {}),
            ("b", 2.0, {}),
            ("a", 3.0, {}),
            ("c", 4.0, {"device": "other"}),
            ("d", 5.0, {"variant": "other"}),
            ("e", 6.0, {"space": "other"}),
        ):
            store.add(make_row(key=key, value=value, **fields))
        space, variant = make_row().space, make_row().variant
        assert [row.latency_ms for row in store.device_measurements("cpu", space, variant)] == [2.0, 3.0]
        assert store.devices(space, variant) == ["cpu", "other"]


def test_evaluations(make_row: MakeRow) -> None:
    row = Evaluation(
        key="k",
        space="s",
        variant="v",
        arch="a",
        task="t",
        error=12.5,
        seconds=1.0,
        created_at=datetime.now(timezone.utc),
        recipe={"epochs": 1},
        losses=[2.0, 1.0],
    )
    with Store() as store:
        store.add(row)
        found = store.evaluations(["k"])["k"]
        assert (found.error, found.losses, found.recipe) == (12.5, [2.0, 1.0], {"epochs": 1})
        assert store.counts() == {"measurements": 0, "evaluations": 1, "tables": 0}


def test_sqlite_runs_in_wal_mode(home_folder: Path, make_row: MakeRow) -> None:
    import sqlite3

    with Store() as store:
        store.add(make_row())
    with sqlite3.connect(home_folder / "store.sqlite") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_damage_is_found(home_folder: Path, make_row: MakeRow) -> None:
    damaged_store(home_folder, make_row)
    with Store() as store:
        assert store.check() is not None
        for read in (
            lambda: store.measurements([f"{n:064d}" for n in range(200)]),
            lambda: store.device_measurements("cpu", "nasbench201", make_row().variant),
        ):
            with pytest.raises(StoreError, match=r"store\.sqlite"):
                read()


def test_file_that_is_no_database(home_folder: Path) -> None:
    home_folder.mkdir()
    (home_folder / "store.sqlite").write_text("this is no database, however long the text may be " * 50)
    with pytest.raises(StoreError, match=r"store\.sqlite"):
        Store()


def test_database_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="absent"):
        Store(f"sqlite:///{tmp_path / 'absent' / 'store.sqlite'}")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "foo://user:secret@host/db",
        "postgresql+nosuchdriver://user:secret@host/db",
        "sqlite://user:secret@host/db",
        "postgresql://user:secret@host:port/db",
        "user:secret@host",
        "postgresql://user:a@secret@host/db",
        "postgresql://user:a@b?c=secret@host/db",
        "mysql+pymysql://user:secret@host/db",
        "sqlite+pysqlcipher://:secret@/file",
    ],
)
def test_bad_url_is_an_input_error_that_hides_the_password(url: str) -> None:
    with pytest.raises(UsageError, match="MODNAS_STORE") as caught:
        Store(url)
    assert "secret" not in str(caught.value)


def test_password_is_hidden_when_the_database_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No server is at hand: an engine that cannot connect either stands in for the one the URL asks for.
    unreachable = create_engine(f"sqlite:///{tmp_path / 'absent' / 'db'}")
    monkeypatch.setattr("harness.store.engine.create_engine", lambda *_, **__: unreachable)
    with pytest.raises(StoreError, match=r"user:\*\*\*@host/db") as caught:
        Store("postgresql://user:secret@host/db")
    assert "secret" not in str(caught.value)


def test_absent_driver_is_told_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError, match=r'pip install "modnas-hw\[postgres\]"') as caught:
        Store("postgresql://user:secret@host/db")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["a b", "50%41", "why?x=1", "c#d", "ä ö 名", "a:b@c", "it's", "file:x", 'q"q', "a&b;c"]
)
def test_home_may_be_any_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_row: MakeRow, name: str
) -> None:
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / name))
    with Store() as store:
        store.add(make_row(key="k"))
    assert (tmp_path / name / "store.sqlite").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name], "nothing lies elsewhere"
    with Store() as store:
        assert store.measurements(["k"]) and store.check() is None


def test_texts_that_no_database_keeps(make_row: MakeRow) -> None:
    with Store() as store:
        store.add(make_row(key="k", message="nul \0 and \udcff"))
        assert store.measurements(["k"])["k"].message == "nul \ufffd and \ufffd"


WRITER = """
import sys
from datetime import datetime, timezone
from harness.store import Measurement, Store
start = sys.stdin.readline()
with Store() as store:
    for n in range(60):
        store.add(Measurement(key=f"{sys.argv[1]}-{n}", space="s", variant="v", arch="a", device="d",
            fingerprint="f", batch=1, backend="b", status="ok", artifact_sha256="",
            created_at=datetime.now(timezone.utc), request={}, record={}))
"""


@pytest.mark.slow
def test_processes_write_to_a_new_store_at_once() -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(n)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for n in range(3)
    ]
    for writer in writers:  # all of them reach the missing database together
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [("", 0)] * 3
    with Store() as store:
        assert store.counts()["measurements"] == 180
        assert len(store.measurements(f"{w}-{n}" for w in range(3) for n in range(60))) == 180
        assert store.check() is None


def test_a_store_that_takes_no_rows_is_told_before_anything_is_measured(
    home_folder: Path,
    fake_agents: list[FakeAgent],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Store().close()
    path = home_folder / "store.sqlite"
    monkeypatch.setenv("MODNAS_STORE", f"sqlite:///file:{path}?mode=ro&uri=true")
    assert main(["profile", "--device", "cpu", "--space", "nasbench201", "--archs", "1", *TINY]) == 1
    errors = capsys.readouterr().err
    assert_one_line(errors)
    assert "readonly" in errors
    assert not any(request["op"] == "measure" for agent in fake_agents for request in agent.requests)


def test_a_trial_leaves_nothing(make_row: MakeRow) -> None:
    with Store() as store:
        store.check_writable()
        store.add(make_row())
        assert store.counts() == {"measurements": 1, "evaluations": 0, "tables": 0}
