"""The tables of the SQL store, as SQLAlchemy sees them. Migrations make them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table

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
