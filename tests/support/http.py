"""A real application over the twin engine, with keys, behind httpx's ASGI transport."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from api.app import build_app
from api.desks import Desks
from risk.domain.clock import SystemClock
from risk.domain.times import rfc3339
from risk.keys import SCOPES, ApiKey, KeyRing, make_key
from risk.settings import Settings
from tests.support.engine_twin import TwinEngine, TwinRuntime

SECRET = b"a secret of the tests, long enough 0123456789"


class KeysInMemory:
    """Follows ``risk.keys.KeyStore``."""

    def __init__(self) -> None:
        self.keys: dict[str, ApiKey] = {}

    def add(self, key: ApiKey) -> None:
        self.keys[key.key_id] = key

    def all(self) -> list[ApiKey]:
        return list(self.keys.values())

    def revoke(self, key_id: str, now_ms: int) -> bool:
        return self.keys.pop(key_id, None) is not None

    def note_use(self, used_at_ms: dict[str, int]) -> None:
        pass


@dataclass
class Site:
    """The application, its parts, and a client that speaks to it."""

    app: FastAPI
    runtime: TwinRuntime
    engine: TwinEngine
    store: KeysInMemory
    client: httpx.AsyncClient

    def key(
        self, *scopes: str, tenant: str = "main", rate_per_s: int = 10_000, name: str = "test"
    ) -> dict[str, str]:
        """Headers with a new key."""
        key, token = make_key(
            secret=SECRET,
            tenant=tenant,
            name=name,
            scopes=scopes or SCOPES,
            now_ms=self.runtime.clock.now_ms(),
            rate_per_s=rate_per_s,
        )
        self.store.add(key)
        self.app.state.door.keys = KeyRing(self.store, SECRET, self.runtime.clock)
        return {"Authorization": f"Bearer {token}"}

    def payment(self, **change: Any) -> dict[str, Any]:
        """A payment of now, as JSON."""
        now_ms = self.runtime.clock.now_ms()
        body = {
            "type": "payment", "id": "pay_1", "occurred_at": rfc3339(now_ms),
            "account": "acc_1", "amount_minor": 1250, "currency": "EUR",
        }  # fmt: skip
        return {name: value for name, value in (body | change).items() if value is not None}


@asynccontextmanager
async def open_site(
    home: Path, client_host: str = "127.0.0.1", desks: Desks | None = None, **settings: Any
) -> AsyncIterator[Site]:
    """A site of its own; ``settings`` are those of ``Settings``."""
    runtime = TwinRuntime(SystemClock())
    store = KeysInMemory()
    given = Settings(home=home, **settings)
    app = build_app(runtime, given, KeyRing(store, SECRET, runtime.clock), desks)
    transport = httpx.ASGITransport(app, client=(client_host, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield Site(app, runtime, runtime.engine, store, client)
        await app.state.door.drain()
