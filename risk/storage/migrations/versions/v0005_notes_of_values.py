"""An index, so that what was noted of one value of a list is found at once."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it."""
    op.create_index("ix_list_notes_value", "list_notes", ["world", "list", "value"])


def downgrade() -> None:
    """Take it away."""
    op.drop_index("ix_list_notes_value", table_name="list_notes")
