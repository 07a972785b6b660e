"""The tables of version 0.1.0: measurements, evaluations, imported tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "measurements",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("space", sa.String(64), nullable=False),
        sa.Column("variant", sa.String(128), nullable=False),
        sa.Column("arch", sa.Text(), nullable=False),
        sa.Column("device", sa.String(128), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("backend", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32)),
        sa.Column("message", sa.Text()),
        sa.Column("latency_ms", sa.Float()),
        sa.Column("latency_p10_ms", sa.Float()),
        sa.Column("latency_p90_ms", sa.Float()),
        sa.Column("latency_ci_low_ms", sa.Float()),
        sa.Column("latency_ci_high_ms", sa.Float()),
        sa.Column("latency_n", sa.Integer()),
        sa.Column("energy_mj", sa.Float()),
        sa.Column("memory_mb", sa.Float()),
        sa.Column("max_abs_diff", sa.Float()),
        sa.Column("artifact_sha256", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_measurements_key", "measurements", ["key"], if_not_exists=True)
    op.create_index(
        "ix_measurements_device_space", "measurements", ["device", "space", "variant"], if_not_exists=True
    )
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("space", sa.String(64), nullable=False),
        sa.Column("variant", sa.String(128), nullable=False),
        sa.Column("arch", sa.Text(), nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("error", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("losses", sa.JSON(), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_evaluations_key", "evaluations", ["key"], if_not_exists=True)
    op.create_table(
        "tables",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("device", sa.String(128), nullable=False),
        sa.Column("space", sa.String(64), nullable=False),
        sa.Column("variant", sa.String(128), nullable=False),
        sa.Column("metric", sa.String(32), nullable=False),
        sa.Column("unit", sa.String(16), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entries", sa.JSON(), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_tables_device_space", "tables", ["device", "space"], if_not_exists=True)
