"""The tables of the SQL store, as SQLAlchemy sees them. Migrations make them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Times are integer milliseconds UTC. ``key_hash`` is HMAC-SHA256 in hex, never the key.
API_KEYS: Final = Table(
    "api_keys",
    METADATA,
    Column("key_id", String(32), primary_key=True),
    Column("tenant", String(32), nullable=False),
    Column("name", String(128), nullable=False),
    Column("scopes", String(128), nullable=False),
    Column("key_hash", String(64), nullable=False, unique=True),
    Column("rate_per_s", Integer, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger),
    Column("last_used_at_ms", BigInteger),
)

# ``subject`` is the digest that is signed: of book, evidence and range of data.
BOOK_PROPOSALS: Final = Table(
    "book_proposals",
    METADATA,
    Column("world", String(64), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("book", String(64), nullable=False),
    Column("evidence", String(64), nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("author", String(128), nullable=False),
    Column("proposed_at_ms", BigInteger, nullable=False),
    Column("base", String(64), nullable=False),
    Column("approver", String(128), nullable=False),
    Column("approved_at_ms", BigInteger, nullable=False),
    Column("signature", String(64), nullable=False),
)

# One row for each world. Who makes a book live has taken the turn at ``taken_at_ms`` (0: nobody).
BOOK_TURNS: Final = Table(
    "book_turns",
    METADATA,
    Column("world", String(64), primary_key=True),
    Column("turn", BigInteger, nullable=False),
    Column("taken_at_ms", BigInteger, nullable=False),
)

# Rows are only ever added.
BOOK_NOTES: Final = Table(
    "book_notes",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("world", String(64), nullable=False),
    Column("action", String(32), nullable=False),
    Column("book", String(64), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("reason", String(1000), nullable=False),
)

# One row for each world; whoever changes lists holds it, so that changes take turns.
LIST_TURNS: Final = Table(
    "list_turns",
    METADATA,
    Column("world", String(64), primary_key=True),
    Column("turn", BigInteger, nullable=False),
)

# ``segments`` is JSON: what the list is made of on the control topic, the oldest first.
LISTS: Final = Table(
    "lists",
    METADATA,
    Column("world", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("type", String(32), nullable=False),
    Column("effect", String(16), nullable=False),
    Column("fields", String(256), nullable=False),
    Column("sentence", String(300), nullable=False),
    Column("segments", Text, nullable=False),
    Column("author", String(128), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

LIST_ENTRIES: Final = Table(
    "list_entries",
    METADATA,
    Column("world", String(64), primary_key=True),
    Column("list", String(64), primary_key=True),
    Column("value", String(128), primary_key=True),
    Column("author", String(128), nullable=False),
    Column("reason", String(300), nullable=False),
    Column("added_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
)

# Rows are only ever added. ``version`` is the digest of all lists after the change, ``file``
# the SHA-256 of an imported file.
LIST_NOTES: Final = Table(
    "list_notes",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("world", String(64), nullable=False),
    Column("list", String(64), nullable=False),
    Column("action", String(32), nullable=False),
    Column("value", String(128), nullable=False),
    Column("entries", Integer, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("actor", String(128), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("reason", String(300), nullable=False),
    Column("version", String(64), nullable=False),
    Column("file", String(64), nullable=False),
    Index("ix_list_notes_value", "world", "list", "value"),
)
