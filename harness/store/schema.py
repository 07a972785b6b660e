"""The schema of a store: which version a database has, and bringing an older one up to this version's.

Migrations are Alembic's, in `migrations/versions`. A database from before there were versions has all its
tables already; the first migrations create only what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from harness.store.models import Base

# The newest migration; a test holds it against the files.
HEAD = "0003"
_VERSIONS = "alembic_version"
# Of PostgreSQL's advisory lock: whoever prepares the same database takes the same number.
_LOCK = 0x6D6F646E6173


class NewerSchemaError(Exception):
    """The database was written by a newer version; the message is its schema's."""


class ChangedSchemaError(Exception):
    """The tables are not those of the version that the database names; the message is how they differ."""


def prepare(engine: Engine) -> None:
    """Create the tables, or bring those of an older version up to date. Any number of processes may call it.

    Raises:
        NewerSchemaError: this version does not know the database's.
        ChangedSchemaError: a table or column is missing or was added.
    """
    with engine.connect() as connection:
        if _version(connection) == HEAD:  # nothing is written, and Alembic not imported
            _check_columns(connection)
            return
    with _alone(engine) as connection:
        if _version(connection) != HEAD:
            _upgrade(connection)
        _check_columns(connection)


def _check_columns(connection: Connection) -> None:
    found = {table: columns for (_, table), columns in inspect(connection).get_multi_columns().items()}
    differences = []
    for name, table in Base.metadata.tables.items():
        if name not in found:
            differences.append(f"table {name} is missing")
            continue
        have, want = {column["name"] for column in found[name]}, set(table.columns.keys())
        differences += [f"column {name}.{column} is missing" for column in sorted(want - have)]
        differences += [f"column {name}.{column} was added" for column in sorted(have - want)]
    if differences:
        raise ChangedSchemaError(", ".join(differences))


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSIONS):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalar()
    return None if found is None else str(found)


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that no other process prepares the database beside."""
    if engine.dialect.name == "sqlite":
        # The driver's own transactions begin too late: two would both see a database without tables.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("BEGIN IMMEDIATE"))
            try:
                yield connection
            except BaseException:
                connection.execute(text("ROLLBACK"))
                raise
            connection.execute(text("COMMIT"))
        return
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        yield connection


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    found = _version(connection)
    known = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
    if found is not None and found not in known:
        raise NewerSchemaError(found)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
