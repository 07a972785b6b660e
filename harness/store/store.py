"""The store: an append-only record of measurements and evaluations, looked up before anything is repeated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import ColumnElement, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from harness.core.errors import ModnasHwError, UsageError
from harness.core.home import store_url
from harness.store.models import Base, Evaluation, ImportedTable, Measurement, TableRemoval
from harness.store.schema import NewerSchemaError, prepare

# The metric under which the accuracies of a task lie, which are no device's.
ERROR_METRIC = "error"


class StoreError(ModnasHwError):
    """The database cannot be opened, read or written."""

    code = "store"


def content_key(parts: Mapping[str, Any]) -> str:
    """Hash of a JSON-able mapping, independent of the order of its keys."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _set_sqlite_options(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=30000")  # first: switching to WAL may have to wait too
    # WAL: a reader never blocks the writer, and a kill costs at most the row that was being written.
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _in_force() -> ColumnElement[bool]:
    """The imported tables that were not removed."""
    return ImportedTable.id.not_in(select(TableRemoval.table_id))


class Store:
    """Access to one database. Use as a context manager or call `close`."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url or store_url()
        try:
            self._engine: Engine = create_engine(self.url)
            if self._engine.dialect.name == "sqlite":
                event.listen(self._engine, "connect", _set_sqlite_options)
            prepare(self._engine)
        except NewerSchemaError as error:
            raise StoreError(
                f"store {self._shown_url()} was written by a newer modnas-hw (its schema is {error}): "
                "install that version, or name another store with MODNAS_STORE or MODNAS_HOME"
            ) from error
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
            raise UsageError(f"MODNAS_STORE is no usable SQLAlchemy URL: {error}") from error
        except DBAPIError as error:
            raise StoreError(f"store {self._shown_url()} cannot be opened: {error.orig}") from error

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release all connections."""
        self._engine.dispose()

    def add(self, *rows: Measurement | Evaluation | ImportedTable | TableRemoval) -> None:
        """Append rows, all or none; they are on disk when this returns."""
        try:
            with Session(self._engine, expire_on_commit=False) as session:
                session.add_all(rows)
                session.commit()
        except DBAPIError as error:
            raise StoreError(f"store {self._shown_url()} cannot be written: {error.orig}") from error

    def measurements(self, keys: Iterable[str]) -> dict[str, Measurement]:
        """Newest stored row of each key that has one."""
        return {row.key: row for row in self._newest(Measurement, keys)}

    def evaluations(self, keys: Iterable[str]) -> dict[str, Evaluation]:
        """Newest stored row of each key that has one."""
        return {row.key: row for row in self._newest(Evaluation, keys)}

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
        with self._reading() as session:
            return list(session.scalars(query))

    def devices(self, space: str, variant: str) -> list[str]:
        """Devices with rows for a space at one network size, sorted."""
        query = (
            select(Measurement.device)
            .where(Measurement.space == space, Measurement.variant == variant)
            .distinct()
            .order_by(Measurement.device)
        )
        with self._reading() as session:
            return list(session.scalars(query))

    def tables(self, device: str, space: str | None = None, metric: str | None = None) -> list[ImportedTable]:
        """Imported tables of a device in force, of all spaces and metrics or of one, oldest first."""
        query = select(ImportedTable).where(ImportedTable.device == device, _in_force())
        query = query.order_by(ImportedTable.id)
        if space is not None:
            query = query.where(ImportedTable.space == space)
        if metric is not None:
            query = query.where(ImportedTable.metric == metric)
        with self._reading() as session:
            return list(session.scalars(query))

    def table_devices(self, space: str | None = None, variant: str | None = None) -> list[str]:
        """Devices with an imported table in force, of any space or of one at one network size, sorted."""
        of_devices = ImportedTable.metric != ERROR_METRIC
        query = select(ImportedTable.device).where(_in_force(), of_devices)
        query = query.distinct().order_by(ImportedTable.device)
        if space is not None:
            query = query.where(ImportedTable.space == space, ImportedTable.variant == variant)
        with self._reading() as session:
            return list(session.scalars(query))

    def remove_tables(self, *tables: ImportedTable) -> None:
        """Put imports out of force, all or none. Their rows stay; importing the same again starts anew."""
        now = datetime.now(timezone.utc)
        self.add(*(TableRemoval(table_id=table.id, created_at=now) for table in tables))

    def counts(self) -> dict[str, int]:
        """Number of rows of each table."""
        with self._reading() as session:
            return {
                model.__tablename__: session.scalar(select(func.count()).select_from(model)) or 0
                for model in (Measurement, Evaluation, ImportedTable)
            }

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
            return str(error.orig)

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        """A session to read with. Raises StoreError."""
        try:
            with Session(self._engine, expire_on_commit=False) as session:
                yield session
        except DBAPIError as error:
            raise StoreError(f"store {self._shown_url()} cannot be read: {error.orig}") from error

    def _newest(self, model: Any, keys: Iterable[str]) -> list[Any]:
        wanted = list(keys)
        rows: list[Any] = []
        with self._reading() as session:
            for start in range(0, len(wanted), 500):  # databases limit the parameters of one statement
                chunk = wanted[start : start + 500]
                newest = select(func.max(model.id)).where(model.key.in_(chunk)).group_by(model.key)
                rows.extend(session.scalars(select(model).where(model.id.in_(newest))))
        return rows

    def _shown_url(self) -> str:
        return make_url(self.url).render_as_string(hide_password=True)
