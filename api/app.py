"""The HTTP door as a FastAPI application. Nothing is opened on import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import auth, problems
from api.contract import bare_app
from api.desks import Desks
from api.door import Door
from api.runtime import Runtime
from risk.keys import KeyRing
from risk.secret import load_secret
from risk.settings import Settings
from risk.storage.api_keys import SqlKeyStore
from risk.storage.sql import open_store


def build_app(
    runtime: Runtime,
    settings: Settings,
    keys: KeyRing | None = None,
    desks: Desks | None = None,
) -> FastAPI:
    """The application over opened parts; the caller opens and closes ``runtime`` and ``desks``.

    ``keys`` is read from the SQL store of ``settings`` where it is not given. Raises
    BadConfiguration for a weak secret or a route without access, Unavailable without SQL.
    """
    store = None
    if keys is None:
        store = open_store(settings)
        keys = KeyRing(SqlKeyStore(store), load_secret(settings), runtime.clock)
    door = Door(runtime, settings, keys, desks)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await door.drain()
        if store is not None:
            store.dispose()

    app = bare_app(lifespan)
    app.state.door = door
    problems.install(app, runtime.metrics)
    auth.check_declared(app)
    return app
