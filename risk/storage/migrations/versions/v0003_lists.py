"""The tables of lists, their entries, and what was done to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "list_turns",
        sa.Column("world", sa.String(64), nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("world", name="pk_list_turns"),
    )
    op.create_table(
        "lists",
        sa.Column("world", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("effect", sa.String(16), nullable=False),
        sa.Column("fields", sa.String(256), nullable=False),
        sa.Column("sentence", sa.String(300), nullable=False),
        sa.Column("segments", sa.Text, nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("world", "name", name="pk_lists"),
    )
    op.create_table(
        "list_entries",
        sa.Column("world", sa.String(64), nullable=False),
        sa.Column("list", sa.String(64), nullable=False),
        sa.Column("value", sa.String(128), nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("world", "list", "value", name="pk_list_entries"),
    )
    op.create_table(
        "list_notes",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("world", sa.String(64), nullable=False),
        sa.Column("list", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("value", sa.String(128), nullable=False),
        sa.Column("entries", sa.Integer, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("file", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_list_notes"),
    )


def downgrade() -> None:
    """Take the tables away, with every entry and the record."""
    for table in ("list_notes", "list_entries", "lists", "list_turns"):
        op.drop_table(table)
