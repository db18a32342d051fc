"""API keys in the SQL store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, Row, insert, or_, select, update

from risk.keys import LIFETIME_MS_DEFAULT, RATE_PER_S_DEFAULT, SCOPES, ApiKey, make_key
from risk.secret import load_secret
from risk.settings import Settings
from risk.storage.sql import connection, open_store
from risk.storage.tables import API_KEYS


class SqlKeyStore:
    """Implements ``risk.keys.KeyStore``. Keys are never deleted, so the list stays a record."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, key: ApiKey) -> None:
        """Store a new key."""
        with connection(self._engine) as link:
            link.execute(
                insert(API_KEYS).values(
                    key_id=key.key_id,
                    tenant=key.tenant,
                    name=key.name,
                    scopes=" ".join(sorted(key.scopes)),
                    key_hash=key.key_hash,
                    rate_per_s=key.rate_per_s,
                    created_at_ms=key.created_at_ms,
                    expires_at_ms=key.expires_at_ms,
                )
            )

    def all(self) -> list[ApiKey]:
        """Every key, newest first."""
        query = select(API_KEYS).order_by(API_KEYS.c.created_at_ms.desc(), API_KEYS.c.key_id)
        with connection(self._engine) as link:
            return [_key(row) for row in link.execute(query)]

    def revoke(self, key_id: str, now_ms: int) -> bool:
        """End a key; False where no such key is in force."""
        change = (
            update(API_KEYS)
            .where(API_KEYS.c.key_id == key_id, API_KEYS.c.revoked_at_ms.is_(None))
            .values(revoked_at_ms=now_ms)
        )
        with connection(self._engine) as link:
            return link.execute(change).rowcount == 1

    def note_use(self, used_at_ms: dict[str, int]) -> None:
        """Raise the last use of each key id to the given time."""
        with connection(self._engine) as link:
            for key_id, at_ms in sorted(used_at_ms.items()):
                last = API_KEYS.c.last_used_at_ms
                link.execute(
                    update(API_KEYS)
                    .where(API_KEYS.c.key_id == key_id, or_(last.is_(None), last < at_ms))
                    .values(last_used_at_ms=at_ms)
                )


def create_key(
    settings: Settings,
    *,
    name: str,
    scopes: Sequence[str],
    now_ms: int,
    tenant: str = "main",
    lifetime_ms: int = LIFETIME_MS_DEFAULT,
    rate_per_s: int = RATE_PER_S_DEFAULT,
) -> tuple[ApiKey, str]:
    """Make and store a key; the token is returned once and never again.

    Raises BadConfiguration as ``risk.keys.make_key`` and ``risk.secret.load_secret``.
    """
    key, token = make_key(
        secret=load_secret(settings),
        tenant=tenant,
        name=name,
        scopes=scopes,
        now_ms=now_ms,
        lifetime_ms=lifetime_ms,
        rate_per_s=rate_per_s,
    )
    engine = open_store(settings)
    try:
        SqlKeyStore(engine).add(key)
    finally:
        engine.dispose()
    return key, token


def _key(row: Row[Any]) -> ApiKey:
    stored = row._mapping
    return ApiKey(
        key_id=stored["key_id"],
        tenant=stored["tenant"],
        name=stored["name"],
        scopes=frozenset(scope for scope in SCOPES if scope in stored["scopes"].split()),
        key_hash=stored["key_hash"],
        rate_per_s=stored["rate_per_s"],
        created_at_ms=stored["created_at_ms"],
        expires_at_ms=stored["expires_at_ms"],
        revoked_at_ms=stored["revoked_at_ms"],
        last_used_at_ms=stored["last_used_at_ms"],
    )
