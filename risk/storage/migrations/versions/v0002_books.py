"""The tables of proposed books and of what was done to books."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "book_proposals",
        sa.Column("world", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("book", sa.String(64), nullable=False),
        sa.Column("evidence", sa.String(64), nullable=False),
        sa.Column("from_ms", sa.BigInteger, nullable=False),
        sa.Column("to_ms", sa.BigInteger, nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("proposed_at_ms", sa.BigInteger, nullable=False),
        sa.Column("approver", sa.String(128), nullable=False),
        sa.Column("approved_at_ms", sa.BigInteger, nullable=False),
        sa.Column("signature", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("world", "subject", name="pk_book_proposals"),
    )
    op.create_table(
        "book_notes",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("world", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("book", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_book_notes"),
    )


def downgrade() -> None:
    """Take the tables away, with every approval and the record."""
    op.drop_table("book_notes")
    op.drop_table("book_proposals")
