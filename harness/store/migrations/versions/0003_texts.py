"""On PostgreSQL every text may be as long as on SQLite, which does not heed the lengths."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TEXTS = {
    "measurements": [
        "key",
        "space",
        "variant",
        "device",
        "fingerprint",
        "backend",
        "status",
        "reason",
        "artifact_sha256",
    ],
    "evaluations": ["key", "space", "variant", "task"],
    "tables": ["device", "space", "variant", "metric", "unit"],
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, columns in _TEXTS.items():
            for column in columns:
                op.alter_column(table, column, type_=sa.Text())
