"""Stores of other versions: older ones open with all their rows, newer ones are refused."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from harness_helpers import TINY, FakeAgent, assert_one_line
from sqlalchemy import create_engine

from harness.cli import main
from harness.store import Store, StoreError, schema
from harness.store.models import Base

FIRST_VERSION = Path(__file__).parent / "data" / "store-0.1.0.sql"


@pytest.fixture
def old_store(home_folder: Path) -> Path:
    """A store as version 0.1.0 left it."""
    home_folder.mkdir(parents=True, exist_ok=True)
    path = home_folder / "store.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(FIRST_VERSION.read_text())
    connection.close()
    return path


def versions(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    found = [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]
    connection.close()
    return found


def test_the_newest_migration_is_the_one_that_is_looked_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).with_name("migrations")))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


@pytest.mark.parametrize("begin_with", ["nothing", "0.1.0"])
def test_migrations_lead_to_the_models(tmp_path: Path, begin_with: str) -> None:
    path = tmp_path / "store.sqlite"
    if begin_with == "0.1.0":
        connection = sqlite3.connect(path)
        connection.executescript(FIRST_VERSION.read_text())
        connection.close()
    Store(f"sqlite:///{path}").close()
    with create_engine(f"sqlite:///{path}").connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_store_of_the_first_version_keeps_all_its_rows(old_store: Path) -> None:
    for _ in range(2):
        with Store() as store:
            assert store.counts() == {"measurements": 2, "evaluations": 1, "tables": 1}
            rows = store.measurements(["k1", "k2"])
            assert (rows["k1"].latency_ms, rows["k1"].record) == (1.5, {"latency": {"median_ms": 1.5}})
            assert (rows["k2"].status, rows["k2"].reason) == ("error", "crashed")
            assert store.evaluations(["e1"])["e1"].losses == [1.0, 0.5]
            (table,) = store.tables("board")
            assert table.entries == {"a": 1.25, "b": 2.5}
    with Store() as store:
        store.remove_tables(*store.tables("board"))
        assert store.tables("board") == [] and versions(old_store) == [schema.HEAD]


def test_a_newer_store_is_refused_in_one_line(old_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Store().close()
    with sqlite3.connect(old_store) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = old_store.read_bytes()
    with pytest.raises(StoreError, match=r"newer modnas-hw \(its schema is 9999\): install that version"):
        Store()
    assert main(["devices", "list"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert old_store.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE measurements DROP COLUMN memory_mb", r"column measurements\.memory_mb is missing"),
        ("ALTER TABLE evaluations ADD COLUMN x TEXT NOT NULL DEFAULT ''", r"column evaluations\.x was added"),
        ("DROP TABLE table_removals", "table table_removals is missing"),
    ],
)
def test_a_changed_store_is_refused_before_anything_is_measured(
    old_store: Path, fake_agents: list[FakeAgent], capsys: pytest.CaptureFixture[str], change: str, told: str
) -> None:
    Store().close()
    with sqlite3.connect(old_store) as connection:
        connection.execute(change)
    connection.close()
    with pytest.raises(StoreError, match=told):
        Store()
    assert main(["profile", "--device", "cpu", "--space", "nasbench201", "--archs", "1", *TINY]) == 1
    assert_one_line(capsys.readouterr().err)
    assert not any(agent.requests for agent in fake_agents)


def test_what_a_kill_left_is_finished(old_store: Path) -> None:
    with sqlite3.connect(old_store) as connection:
        connection.execute("DROP TABLE evaluations")
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    connection.close()
    with Store() as store:
        assert store.counts() == {"measurements": 2, "evaluations": 0, "tables": 1}


def test_a_store_of_this_version_is_opened_without_writing_or_alembic(home_folder: Path) -> None:
    Store().close()
    code = "import sys; from harness.store import Store; Store().close(); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
@pytest.mark.parametrize("begin_with", ["nothing", "0.1.0"])
def test_six_processes_open_one_store_at_once(home_folder: Path, begin_with: str) -> None:
    home_folder.mkdir(parents=True, exist_ok=True)
    if begin_with == "0.1.0":
        with sqlite3.connect(home_folder / "store.sqlite") as connection:
            connection.executescript(FIRST_VERSION.read_text())
        connection.close()
    code = (
        "import sys; from harness.store import Store; print(flush=True); sys.stdin.read(1); Store().close()"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(6)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    answers = [process.communicate(b"x", timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 6, answers
