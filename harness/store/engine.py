"""From a store's address to SQLAlchemy's engine, and what may be said of either: never a secret."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SAWarning

from harness.core.errors import UsageError

# psycopg2 takes the same addresses as psycopg does, which takes its place.
_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "postgresql+psycopg2": "postgresql+psycopg",
}
_CONNECT_TIMEOUT_S = 30
# PostgreSQL's: an administrator or a crash ends the connection, or the server is about to start or stop.
_RESTARTING = ("57P01", "57P02", "57P03")


def parse_address(address: str | Path) -> URL:
    """The URL of a store: SQLite's file, or what MODNAS_STORE says. Raises UsageError."""
    if isinstance(address, Path):
        return URL.create("sqlite", database=str(address))
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        # Not what SQLAlchemy says: with a special character in it, a password's end reads as a port.
        raise UsageError(f"MODNAS_STORE is no URL of a database: {_EXAMPLES}") from None
    if url.drivername not in _DRIVERS:
        raise UsageError(
            f"MODNAS_STORE names a database of {url.drivername}, but a store is one of SQLite or PostgreSQL: "
            f"{_EXAMPLES}"
        )
    if _DRIVERS[url.drivername] == "sqlite":
        is_clear = not (url.host or url.username or url.password)
    else:
        # Else the end of a password reads as a host, a database or an option, which are told.
        is_clear = set("/?#@").isdisjoint(address.partition("://")[2].rpartition("@")[0])
    if not is_clear:
        raise UsageError(f"MODNAS_STORE is no URL of a {url.drivername} database: {_EXAMPLES}")
    return url.set(drivername=_DRIVERS[url.drivername])


_EXAMPLES = (
    "write sqlite:////FOLDER/FILE or postgresql://USER:PASSWORD@HOST/DATABASE, "
    "special characters percent-encoded (@ is %40, / is %2F)"
)


def make_engine(url: URL) -> Engine:
    """An engine that has not connected yet. Raises UsageError: the driver is absent, or an option unknown."""
    try:
        if url.get_backend_name() == "sqlite":
            with warnings.catch_warnings():
                warnings.simplefilter("error", SAWarning)  # an option that would be ignored
                engine = create_engine(url)
        else:
            timeout = {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_TIMEOUT_S}
            # Whoever waited for another process' migration has to see it, whatever the server's default is.
            engine = create_engine(
                url, pool_pre_ping=True, isolation_level="READ COMMITTED", connect_args=timeout
            )
    except ImportError:
        raise UsageError(
            "MODNAS_STORE names a PostgreSQL database, and its driver is not installed: "
            'run pip install "modnas-hw[postgres]"'
        ) from None
    except (ArgumentError, SAWarning, TypeError, ValueError):
        raise UsageError(f"MODNAS_STORE has an option that is not understood: {_EXAMPLES}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_sqlite_options)
    return engine


def _set_sqlite_options(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=30000")  # first: switching to WAL may have to wait too
    # WAL: a reader never blocks the writer, and a kill costs at most the row that was being written.
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def shown(url: URL) -> str:
    """A store's URL without what could be secret: its password, and all its options."""
    return url.set(query={}).render_as_string(hide_password=True)


def told(error: DBAPIError, url: URL) -> str:
    """What the driver says of a failure, in one line, with every secret of the URL masked."""
    text = " ".join(str(error.orig).split())
    for secret in sorted(set(_spellings(url)), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _spellings(url: URL) -> Iterator[str]:
    for name, value in (("password", url.password or ""), *url.query.items()):
        if re.search("pass|pwd|secret|token|options", name, re.IGNORECASE):
            for secret in (value,) if isinstance(value, str) else value:
                forms = (secret, quote(secret, safe=""), quote_plus(secret), quote(secret))
                yield from (form for form in (*forms, json.dumps(secret)[1:-1], repr(secret)[1:-1]) if form)


def sql_state(error: DBAPIError) -> str | None:
    """SQL's code of a failure, where the server gave one."""
    return getattr(error.orig, "sqlstate", None)


def is_interruption(error: DBAPIError) -> bool:
    """Whether the server is gone or just restarting, so that the same may work in a while."""
    state = sql_state(error)
    gone = state is None or state.startswith("08") or state in _RESTARTING
    return error.connection_invalidated or (isinstance(error, OperationalError) and gone)
