"""The store: an append-only record of measurements and evaluations, looked up before anything is repeated."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import JSON, ColumnElement, String, func, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, make_transient
from sqlalchemy.sql.elements import KeyedColumnElement

from harness.core.errors import ModnasHwError, UsageError
from harness.core.home import store_address
from harness.store.engine import is_interruption, make_engine, parse_address, shown, sql_state, told
from harness.store.models import Base, Evaluation, ImportedTable, Measurement, TableRemoval
from harness.store.schema import ChangedSchemaError, NewerSchemaError, prepare

Row: TypeAlias = Measurement | Evaluation | ImportedTable | TableRemoval
Result = TypeVar("Result")

# The metric under which the accuracies of a task lie, which are no device's.
ERROR_METRIC = "error"
# Between the tries while a server restarts: it has about a minute.
_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# Databases limit the parameters of one statement, and a row takes some 20 KB of memory.
ROWS_AT_ONCE = 200
_INSUFFICIENT_PRIVILEGE = "42501"
_READ_ONLY = "25006"
_IN_MEMORY = (None, "", ":memory:")


class StoreError(ModnasHwError):
    """The database cannot be opened, read or written."""

    code = "store"


def content_key(parts: Mapping[str, Any]) -> str:
    """Hash of a JSON-able mapping, independent of the order of its keys."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _in_force() -> ColumnElement[bool]:
    """The imported tables that were not removed."""
    return ImportedTable.id.not_in(select(TableRemoval.table_id))


class Store:
    """Access to one database. Use as a context manager or call `close`."""

    def __init__(self, url: str | Path | None = None) -> None:
        """Open a store, by default the one that the environment names; a new one is set up.

        Raises:
            UsageError: the address is none of a database that a store can be.
            StoreError: it cannot be opened, or its tables are not this version's.
        """
        self._url = parse_address(url or store_address())
        if url is None and self._url.get_backend_name() == "sqlite" and self._url.database in _IN_MEMORY:
            raise UsageError(
                "MODNAS_STORE names a store in memory, which ends with the command: "
                "write sqlite:////FOLDER/FILE"
            )
        self._engine = make_engine(self._url)
        self._is_closed = False
        try:
            prepare(self._engine)
        except NewerSchemaError as error:
            raise StoreError(
                f"store {shown(self._url)} was written by a newer modnas-hw (its schema is {error}): "
                "install that version, or name another store with MODNAS_STORE or MODNAS_HOME"
            ) from error
        except ChangedSchemaError as error:
            raise StoreError(
                f"store {shown(self._url)} was changed from outside ({error}): undo the change, "
                "or name another store with MODNAS_STORE or MODNAS_HOME"
            ) from error
        except DBAPIError as error:
            raise self._failure("opened", error) from None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release all connections. Rows that were found can be read still: each time a connection is made."""
        self._is_closed = True
        self._engine.dispose()

    def add(self, *rows: Row) -> None:
        """Append rows, all or none; they are on disk when this returns.

        A text's NUL, which PostgreSQL cannot keep, becomes U+FFFD, and so does what is no Unicode.
        """
        for row in rows:
            _make_storable(row)
        kept = [_values(row) for row in rows]
        tried = False

        def append(session: Session) -> None:
            nonlocal tried
            if tried:
                for row, values in zip(rows, kept, strict=True):
                    _renew(row, values)
                if rows and _stored_id(session, rows[0]) is not None:  # what was lost was only the answer
                    for row in rows:
                        row.id = _stored_id(session, row)  # type: ignore[assignment]  # all or none are there
                    return
            tried = True
            session.add_all(rows)
            session.commit()

        self._run("written", append)

    def check_writable(self) -> None:
        """Add a row of each kind that is measured, and take it back. Raises StoreError where that fails.

        For whoever is about to measure for hours what could not be kept.
        """

        def try_to_add(session: Session) -> None:
            session.add_all(_trial_rows())
            session.flush()
            session.rollback()

        self._run("written", try_to_add)

    def measurements(self, keys: Iterable[str]) -> dict[str, Measurement]:
        """Newest stored row of each key that has one."""
        return {row.key: row for row in self.each_measurement(keys)}

    def each_measurement(self, keys: Iterable[str]) -> Iterator[Measurement]:
        """The same one after another, in no order: only a few hundred of them are in memory at a time."""
        return self._each_newest(Measurement, keys)

    def read_measurements(self, ids: Sequence[int]) -> list[Measurement]:
        """Rows by their ids, in that order. Raises StoreError where one is gone."""
        query = select(Measurement).where(Measurement.id.in_(ids))
        found = {row.id: row for row in self._run("read", lambda session: list(session.scalars(query)))}
        if lost := [number for number in ids if number not in found]:
            raise StoreError(f"store {shown(self._url)} has lost row {lost[0]}, which it had a while ago")
        return [found[number] for number in ids]

    def evaluations(self, keys: Iterable[str]) -> dict[str, Evaluation]:
        """Newest stored row of each key that has one."""
        return {row.key: row for row in self._each_newest(Evaluation, keys)}

    def device_measurements(self, device: str, space: str, variant: str) -> list[Measurement]:
        """Newest successful or failed row of each key of one device, space and network size, oldest first."""
        wanted = select(func.max(Measurement.id)).where(
            Measurement.device == device, Measurement.space == space, Measurement.variant == variant
        )
        query = (
            select(Measurement)
            .where(Measurement.id.in_(wanted.group_by(Measurement.key)))
            .order_by(Measurement.id)
        )
        return self._run("read", lambda session: list(session.scalars(query)))

    def newest_measurement(self, device: str, space: str, variant: str) -> Measurement | None:
        """Newest row of a device, space and network size."""
        query = (
            select(Measurement)
            .where(Measurement.device == device, Measurement.space == space, Measurement.variant == variant)
            .order_by(Measurement.id.desc())
            .limit(1)
        )
        return self._run("read", lambda session: session.scalars(query).first())

    def devices(self, space: str, variant: str) -> list[str]:
        """Devices with rows for a space at one network size, sorted."""
        query = (
            select(Measurement.device)
            .where(Measurement.space == space, Measurement.variant == variant)
            .distinct()
            .order_by(Measurement.device)
        )
        return self._run("read", lambda session: list(session.scalars(query)))

    def tables(self, device: str, space: str | None = None, metric: str | None = None) -> list[ImportedTable]:
        """Imported tables of a device in force, of all spaces and metrics or of one, oldest first."""
        query = select(ImportedTable).where(ImportedTable.device == device, _in_force())
        query = query.order_by(ImportedTable.id)
        if space is not None:
            query = query.where(ImportedTable.space == space)
        if metric is not None:
            query = query.where(ImportedTable.metric == metric)
        return self._run("read", lambda session: list(session.scalars(query)))

    def table_devices(self, space: str | None = None, variant: str | None = None) -> list[str]:
        """Devices with an imported table in force, of any space or of one at one network size, sorted."""
        of_devices = ImportedTable.metric != ERROR_METRIC
        query = select(ImportedTable.device).where(_in_force(), of_devices)
        query = query.distinct().order_by(ImportedTable.device)
        if space is not None:
            query = query.where(ImportedTable.space == space, ImportedTable.variant == variant)
        return self._run("read", lambda session: list(session.scalars(query)))

    def remove_tables(self, *tables: ImportedTable) -> None:
        """Put imports out of force, all or none. Their rows stay; importing the same again starts anew."""
        now = datetime.now(timezone.utc)
        self.add(*(TableRemoval(table_id=table.id, created_at=now) for table in tables))

    def counts(self) -> dict[str, int]:
        """Number of rows of each table."""

        def count(session: Session) -> dict[str, int]:
            return {
                model.__tablename__: session.scalar(select(func.count()).select_from(model)) or 0
                for model in (Measurement, Evaluation, ImportedTable)
            }

        return self._run("read", count)

    def check(self) -> str | None:
        """What is wrong with the database, or None (SQLite: its pages; others: that the tables exist)."""
        try:
            with self._engine.connect() as connection:
                if self._engine.dialect.name == "sqlite":
                    answer = str(connection.execute(text("PRAGMA integrity_check")).scalar())
                    return None if answer == "ok" else answer
                missing = set(Base.metadata.tables) - set(inspect(connection).get_table_names())
                return f"tables missing: {', '.join(sorted(missing))}" if missing else None
        except DBAPIError as error:
            return told(error, self._url)

    def _run(self, verb: str, work: Callable[[Session], Result]) -> Result:
        """Work in a session, again while the server restarts. Raises StoreError."""
        try:
            return self._tried(verb, work)
        finally:
            if self._is_closed:
                self._engine.dispose()

    def _tried(self, verb: str, work: Callable[[Session], Result]) -> Result:
        for wait_s in (*_WAITS_S, None):
            try:
                with Session(self._engine, expire_on_commit=False) as session:
                    return work(session)
            except DBAPIError as error:
                if wait_s is None or self._engine.dialect.name == "sqlite" or not is_interruption(error):
                    raise self._failure(verb, error) from None
                time.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    def _failure(self, verb: str, error: DBAPIError) -> StoreError:
        """What a failure is told as. Its cause is left out: --debug would print the URL's secrets with it."""
        said = f"store {shown(self._url)} cannot be {verb}: {told(error, self._url)}"
        if sql_state(error) == _INSUFFICIENT_PRIVILEGE:
            role = f'"{self._url.username}"' if self._url.username else "your role"
            said += f"; its owner has to let {role} create tables in its schema, read and write them (GRANT)"
        if sql_state(error) == _READ_ONLY:
            said += "; name another store with MODNAS_STORE, or ask its owner to let it be written"
        elif verb == "opened":
            is_file = self._url.get_backend_name() == "sqlite"
            said += "; move away what is there" if is_file else "; start that server"
            said += ", or name another store with MODNAS_STORE"
        return StoreError(said)

    def _each_newest(self, model: type[Result], keys: Iterable[str]) -> Iterator[Result]:
        wanted = list(keys)
        table: Any = model

        def read(session: Session) -> list[Result]:
            newest = select(func.max(table.id)).where(table.key.in_(chunk)).group_by(table.key)
            return list(session.scalars(select(model).where(table.id.in_(newest))))

        for start in range(0, len(wanted), ROWS_AT_ONCE):
            chunk = wanted[start : start + ROWS_AT_ONCE]
            yield from self._run("read", read)


def _trial_rows() -> list[Measurement | Evaluation]:
    """Rows that say nothing."""
    now = datetime.now(timezone.utc)
    texts = dict.fromkeys(("key", "space", "variant", "arch"), "")
    device = dict.fromkeys(("device", "fingerprint", "backend", "status", "artifact_sha256"), "")
    return [
        Measurement(**texts, **device, batch=1, created_at=now, request={}, record={}),
        Evaluation(**texts, task="", error=0.0, seconds=0.0, created_at=now, recipe={}, losses=[]),
    ]


def _columns(row: Row) -> list[KeyedColumnElement[Any]]:
    """Those of a row's table that the row itself sets."""
    return [column for column in type(row).__table__.columns if not column.primary_key]


def _make_storable(row: Row) -> None:
    for column in _columns(row):
        value = getattr(row, column.key)
        if isinstance(column.type, String) and isinstance(value, str):
            kept = value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            if kept != value:
                setattr(row, column.key, kept)


def _values(row: Row) -> dict[str, Any]:
    """What was set of a row."""
    return {column.key: vars(row)[column.key] for column in _columns(row) if column.key in vars(row)}


def _renew(row: Row, values: dict[str, Any]) -> None:
    """Make a row new again after a session that failed, which may have taken it for stored."""
    make_transient(row)
    row.id = None  # type: ignore[assignment]  # the database gives another
    for name, value in values.items():
        setattr(row, name, value)


def _stored_id(session: Session, row: Row) -> int | None:
    """Of the row with these values, if it is there; its time is to the microsecond."""
    compared = [column for column in _columns(row) if not isinstance(column.type, JSON)]
    equal = (column.is_not_distinct_from(getattr(row, column.key)) for column in compared)
    return session.scalar(select(func.max(type(row).id)).where(*equal))
