"""A store in PostgreSQL, on a server of the tests' own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from harness_helpers import TINY, FakeAgent, assert_one_line
from postgres_server import PASSWORD, PostgresServer, programs, running_server
from sqlalchemy import create_engine, text

from harness.cli import main
from harness.store import Measurement, Store, StoreError, schema

MakeRow = Callable[..., Measurement]
_PROGRAMS = programs()
pytestmark = [
    pytest.mark.skipif(
        _PROGRAMS is None, reason="no PostgreSQL server is installed (apt install postgresql)"
    ),
    pytest.mark.skipif(
        importlib.util.find_spec("psycopg") is None, reason="psycopg is not installed (extra postgres)"
    ),
]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    assert _PROGRAMS is not None
    with running_server(_PROGRAMS) as running:
        yield running


@pytest.fixture
def database(server: PostgresServer, request: pytest.FixtureRequest) -> str:
    """The name of a database of this test alone, empty."""
    name = f"db{abs(hash(request.node.nodeid))}"
    server.run(f"CREATE DATABASE {name}")
    return name


@pytest.fixture
def url(server: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty database, which MODNAS_STORE names."""
    found = server.url(database)
    monkeypatch.setenv("MODNAS_STORE", found)
    return found


OPEN_TEN = """
import sys
from harness.store import Store
for url in sys.argv[1:]:
    print(flush=True)
    sys.stdin.read(1)
    Store(url).close()
print(flush=True)
"""


@pytest.mark.slow
def test_six_processes_set_up_one_database_at_once_ten_times(server: PostgresServer) -> None:
    urls = []
    for trial in range(10):
        server.run(f"CREATE DATABASE trial{trial}")
        urls.append(server.url(f"trial{trial}"))
    started = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_TEN, *urls],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(6)
    ]
    for _ in urls:
        for process in started:  # all stand before the same empty database
            assert process.stdout is not None
            process.stdout.readline()
        for process in started:
            assert process.stdin is not None
            process.stdin.write(b"x")
            process.stdin.flush()
    answers = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 6, answers
    for url in urls:
        with Store(url) as store:
            assert store.check() is None


def test_rows_come_back_whatever_their_texts_are(url: str, make_row: MakeRow) -> None:
    long = "long ü " * 20_000
    row = make_row(key="k" * 400, variant=long[:900], message=f"nul \0 and \udcff {long}")
    row.record = {"text": f"nul \0 and \udcff {long}"}
    with Store(url) as store:
        store.add(row)
        found = store.measurements([row.key])[row.key]
        assert (found.message, found.record) == (f"nul \ufffd and \ufffd {long}", row.record)
        assert store.devices(row.space, long[:900]) == [row.device]
        assert store.check() is None


def test_lengths_of_an_older_database_are_lifted(url: str, make_row: MakeRow) -> None:
    Store(url).close()
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE measurements ALTER COLUMN variant TYPE VARCHAR(128)"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    engine.dispose()
    with Store(url) as store:
        store.add(make_row(key="k", variant="v" * 500))
        assert store.measurements(["k"])["k"].variant == "v" * 500
    with create_engine(url.replace("postgresql:", "postgresql+psycopg:")).connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == schema.HEAD


def test_a_role_that_may_not_create_tables_is_told_so_in_one_line(
    server: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.run(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
    server.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC", database)
    monkeypatch.setenv("MODNAS_STORE", server.url(database, "reader"))
    assert main(["devices", "list"]) == 1
    errors = capsys.readouterr().err
    assert_one_line(errors)
    assert "reader" in errors and "GRANT" in errors


PROFILE = ["profile", "--device", "cpu", "--space", "nasbench201", *TINY]
READ = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
WRITE = "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {role}"
COUNT = "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
SLEEP = "ALTER ROLE {role} SET default_transaction_read_only = on"


def measured(agents: list[FakeAgent]) -> bool:
    return any(request["op"] == "measure" for agent in agents for request in agent.requests)


def use_role(server: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch, *grants: str) -> None:
    """A role of its own that may not create tables has the store from here on."""
    role = f"role_{database}"
    server.run(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    server.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC", database)
    for grant in grants:
        server.run(grant.format(role=role), database)
    monkeypatch.setenv("MODNAS_STORE", server.url(database, role))


@pytest.mark.parametrize(
    ("grants", "told"),
    [
        ([READ], ["permission denied for table", "GRANT"]),
        ([WRITE], ["permission denied for sequence", "GRANT"]),
        ([WRITE, COUNT, SLEEP], ["read-only transaction", "name another store with MODNAS_STORE"]),
        ([], ["permission denied", "GRANT"]),
    ],
    ids=["reads", "counts not", "sleeps", "nothing"],
)
def test_a_role_that_may_not_write_is_told_before_anything_is_measured(
    *,
    server: PostgresServer,
    url: str,
    database: str,
    fake_agents: list[FakeAgent],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    grants: list[str],
    told: list[str],
) -> None:
    assert main([*PROFILE, "--archs", "1"]) == 0
    fake_agents.clear()
    capsys.readouterr()
    use_role(server, database, monkeypatch, *grants)
    assert main([*PROFILE, "--archs", "2"]) == 1
    errors = capsys.readouterr().err
    assert_one_line(errors)
    assert all(part in errors for part in told) and not measured(fake_agents)


def test_a_role_that_only_reads_is_answered_from_the_store(
    server: PostgresServer,
    url: str,
    database: str,
    fake_agents: list[FakeAgent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main([*PROFILE, "--archs", "3"]) == 0
    fake_agents.clear()
    use_role(server, database, monkeypatch, READ)
    assert main([*PROFILE, "--archs", "3"]) == 0 and not measured(fake_agents)


def test_a_role_that_only_adds_rows_is_enough(
    server: PostgresServer,
    url: str,
    database: str,
    fake_agents: list[FakeAgent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Store(url).close()
    use_role(server, database, monkeypatch, WRITE, COUNT)
    assert main([*PROFILE, "--archs", "3"]) == 0 and measured(fake_agents)
    with Store(url) as store:
        assert store.counts() == {"measurements": 3, "evaluations": 0, "tables": 0}, "trials leave nothing"


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [False, True])
def test_a_store_outlives_a_restart_of_its_server(
    server: PostgresServer, url: str, make_row: MakeRow, at_once: bool
) -> None:
    written = 0
    stop = threading.Event()

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            row = make_row(key=f"k{written}")
            store.add(row)
            assert row.latency_ms == 1.0, "the row itself is still whole"
            written += 1

    with Store(url) as store, ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        time.sleep(0.3)
        server.stop(at_once=at_once)
        before = written
        time.sleep(1)
        server.start()
        time.sleep(3)
        stop.set()
        writer.result(120)
        assert before < written
        assert len(store.measurements(f"k{n}" for n in range(written))) == written > 0
        assert store.counts()["measurements"] == written, "none is there twice"


def test_a_row_whose_confirmation_was_lost_is_not_written_again(
    server: PostgresServer, url: str, make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.orm import Session

    commit, lost = Session.commit, []

    def commit_and_lose(session: Session) -> None:
        commit(session)
        if not lost:
            lost.append(True)
            server.stop(at_once=True)
            server.start()
            session.execute(text("SELECT 1"))
            session.connection().invalidate()
            raise_lost()

    def raise_lost() -> None:
        from psycopg import OperationalError as Driver
        from sqlalchemy.exc import OperationalError

        raise OperationalError("COMMIT", {}, Driver("server closed the connection unexpectedly"))

    with Store(url) as store:
        monkeypatch.setattr(Session, "commit", commit_and_lose)
        rows = make_row(key="a"), make_row(key="b")
        store.add(*rows)
        assert store.counts()["measurements"] == 2 and lost
        found = store.read_measurements([row.id for row in rows])
        assert [row.key for row in found] == ["a", "b"], "each knows which it is"


def test_a_profile_goes_on_when_the_server_restarts(
    server: PostgresServer,
    url: str,
    fake_agents: list[FakeAgent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add, restarts = Store.add, []

    def restart_before(store: Store, *rows: Measurement) -> None:
        if not restarts:
            server.stop()
            restarts.append(threading.Thread(target=server.start))
            restarts[0].start()
        add(store, *rows)

    monkeypatch.setattr(Store, "add", restart_before)
    options = ["--space", "nasbench201", "--set", "channels=4", "--set", "cells=1", "--archs", "3"]
    assert main(["profile", "--device", "cpu", *options]) == 0
    restarts[0].join()
    with Store(url) as store:
        assert store.counts()["measurements"] >= 3


def spellings(url: str, server: PostgresServer, database: str) -> Iterator[str]:
    wrong = "sécret/w:o?r#d\" %'"
    every = "".join(f"%{byte:02x}" for byte in wrong.encode())
    for password in (quote(wrong, safe=""), every):
        yield f"postgresql://owner:{password}@127.0.0.1:{server.port}/{database}"
        yield f"postgresql://owner@127.0.0.1:{server.port}/{database}?password={password}"
        yield f"postgresql://owner@127.0.0.1:{server.port}/{database}?pass%77ord={password}&nonsense=1"
        yield f"postgresql://owner:{password}@127.0.0.1:1/{database}"
        yield f"postgresql://owner:{password}@127.0.0.1:{server.port}/absent"
        yield f"mysql://owner:{password}@127.0.0.1/{database}"
        yield f"postgresql://owner:{password}@127.0.0.1:port/{database}"
    yield f"postgresql://owner:sécret/w:o?r#d@ab@127.0.0.1/{database}"
    yield f"postgresql://127.0.0.1:{server.port}/{database}?password=x@sécret"
    yield f"postgresql://owner@127.0.0.1/{database}?sslpassword=sécret&connect_timeout=nonsense"
    yield f"postgresql://owner:x@sécret/w:o?r#d@127.0.0.1/{database}"


def test_no_spelling_of_a_password_is_told(
    server: PostgresServer,
    url: str,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for spelled in spellings(url, server, database):
        monkeypatch.setenv("MODNAS_STORE", spelled)
        for options in ([], ["--json"], ["--debug"]):
            assert main([*options[1:], "devices", "list", *options]) in (1, 2), spelled
            output, errors = capsys.readouterr()
            for secret in ("cret", "w:o", "r#d", "w%3Ao", "w%3ao", "%23d", "ecret"):
                assert secret not in output + errors, (spelled, output, errors)
            if "--debug" not in options:
                assert_one_line(errors)


@pytest.mark.slow
def test_no_file_of_a_run_holds_the_password(
    url: str, tiny_preset: str, fake_agents: list[FakeAgent], home_folder: Path
) -> None:
    assert main(["search", "--devices", "cpu", "--preset", tiny_preset, "--run", "mine"]) == 0
    files = {path: path.read_bytes() for path in home_folder.rglob("*") if path.is_file()}
    assert {path.name for path in files} >= {"config.json", "front.json", "verification.json", "report.html"}
    spelled = {PASSWORD.encode(), quote(PASSWORD, safe="").encode(), PASSWORD[:6].encode(), b"p%40ss"}
    assert not [path for path, content in files.items() if any(one in content for one in spelled)]


def test_a_changed_table_is_told(server: PostgresServer, url: str, database: str) -> None:
    Store(url).close()
    server.run("ALTER TABLE measurements DROP COLUMN memory_mb", database)
    with pytest.raises(StoreError, match=r"measurements\.memory_mb is missing"):
        Store(url)
