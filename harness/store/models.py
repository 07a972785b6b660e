"""Tables of the store. Rows are only ever added."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Float, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def _text(length: int) -> Text:
    """A text of any length. SQLite's tables were made with one that it does not heed."""
    return Text().with_variant(String(length), "sqlite")


class Base(DeclarativeBase):
    """Base of all tables."""


class Measurement(Base):
    """One architecture measured (or failed) on one device. What was not measured is NULL.

    `key` is the hash of everything that must be equal for a stored row to answer a new request.
    `request` is what was asked, `record` everything the agent saw. `energy_mj` is an inference's measured
    energy net of the idle power; gross energy and sensor are in `record["energy"]`.
    """

    __tablename__ = "measurements"
    __table_args__ = (Index("ix_measurements_device_space", "device", "space", "variant"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(_text(64), index=True)
    space: Mapped[str] = mapped_column(_text(64))
    variant: Mapped[str] = mapped_column(_text(128))
    arch: Mapped[str] = mapped_column(Text)
    device: Mapped[str] = mapped_column(_text(128))
    fingerprint: Mapped[str] = mapped_column(_text(64))
    batch: Mapped[int] = mapped_column(Integer)
    backend: Mapped[str] = mapped_column(_text(64))
    status: Mapped[str] = mapped_column(_text(16))
    reason: Mapped[str | None] = mapped_column(_text(32))
    message: Mapped[str | None] = mapped_column(Text)
    latency_ms: Mapped[float | None] = mapped_column(Float)
    latency_p10_ms: Mapped[float | None] = mapped_column(Float)
    latency_p90_ms: Mapped[float | None] = mapped_column(Float)
    latency_ci_low_ms: Mapped[float | None] = mapped_column(Float)
    latency_ci_high_ms: Mapped[float | None] = mapped_column(Float)
    latency_n: Mapped[int | None] = mapped_column(Integer)
    energy_mj: Mapped[float | None] = mapped_column(Float)
    memory_mb: Mapped[float | None] = mapped_column(Float)
    max_abs_diff: Mapped[float | None] = mapped_column(Float)
    artifact_sha256: Mapped[str] = mapped_column(_text(64))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    record: Mapped[dict[str, Any]] = mapped_column(JSON)


class ImportedTable(Base):
    """Values of one metric on a device that nobody here measures, as one import brought them.

    `entries`: by canonical string of the architecture. Later rows of the same device, space, variant and
    metric add to earlier ones and replace what they repeat.
    """

    __tablename__ = "tables"
    __table_args__ = (Index("ix_tables_device_space", "device", "space"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    device: Mapped[str] = mapped_column(_text(128))
    space: Mapped[str] = mapped_column(_text(64))
    variant: Mapped[str] = mapped_column(_text(128))
    metric: Mapped[str] = mapped_column(_text(32))
    unit: Mapped[str] = mapped_column(_text(16))
    source: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    entries: Mapped[dict[str, float]] = mapped_column(JSON)


class TableRemoval(Base):
    """An import that was taken back: its row in `tables` stays, but nothing reads it any more."""

    __tablename__ = "table_removals"

    id: Mapped[int] = mapped_column(primary_key=True)
    table_id: Mapped[int] = mapped_column(Integer, index=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Evaluation(Base):
    """One architecture trained and tested on a task, once or several times.

    `error` is in percent, on the test split; `losses` by epoch; both are means over the trainings.
    """

    __tablename__ = "evaluations"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(_text(64), index=True)
    space: Mapped[str] = mapped_column(_text(64))
    variant: Mapped[str] = mapped_column(_text(128))
    arch: Mapped[str] = mapped_column(Text)
    task: Mapped[str] = mapped_column(_text(64))
    error: Mapped[float] = mapped_column(Float)
    seconds: Mapped[float] = mapped_column(Float)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    recipe: Mapped[dict[str, Any]] = mapped_column(JSON)
    losses: Mapped[list[float]] = mapped_column(JSON)
