"""Turns of those who make books live, and the book that a proposal is to replace."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them. What was proposed before has no base, so it must be proposed again."""
    op.create_table(
        "book_turns",
        sa.Column("world", sa.String(64), nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("taken_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("world", name="pk_book_turns"),
    )
    base = sa.Column("base", sa.String(64), nullable=False, server_default="")
    op.add_column("book_proposals", base)


def downgrade() -> None:
    """Take them away."""
    op.drop_column("book_proposals", "base")
    op.drop_table("book_turns")
