"""Who calls, and whether the route allows it. A route without a declared access is refused."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog
from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.door import Door, door_of
from api.problems import Problem
from risk.domain.errors import BadConfiguration, Unavailable
from risk.keys import ApiKey, InvalidKey, Scope

Access = Literal["public"] | Scope
# With none of these a request came straight from this machine, not through a proxy on it.
_PROXY_HEADERS: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_VERIFY_S: Final = 2.0
_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}

_log = structlog.get_logger("api")


@dataclass(frozen=True, slots=True)
class Allow:
    """A route's declaration: who may call it. Put it into the route's ``dependencies``.

    ``loopback`` also lets callers on this machine in without a key.
    """

    access: Access
    loopback: bool = False

    async def __call__(self, request: Request) -> None:
        """Admit the caller, or raise a Problem; the key is then ``key_of(request)``."""
        if self.access == "public" or (self.loopback and from_this_machine(request)):
            return
        door = door_of(request)
        key = await _key(door, request)
        metrics = door.runtime.metrics
        if self.access not in key.scopes:
            metrics.count("weir_http_refused_total", cause="scope")
            raise Problem("FORBIDDEN", f"the key lacks the scope {self.access}")
        wait_s = door.rates.wait_s(key.key_id, key.rate_per_s)
        if wait_s > 0:
            metrics.count("weir_http_refused_total", cause="rate")
            raise Problem(
                "RATE_LIMITED",
                f"the key may send {key.rate_per_s} requests per second",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )
        request.state.key = key


def key_of(request: Request) -> ApiKey:
    """The key that ``Allow`` admitted."""
    key = request.state.key
    assert isinstance(key, ApiKey)
    return key


async def still_admitted(request: Request, access: Scope) -> bool:
    """Whether the key of a long answer is still in force and has the scope; nothing is counted."""
    try:
        key = await _key(door_of(request), request)
    except (Problem, Unavailable):
        return False
    return access in key.scopes


def from_this_machine(request: Request) -> bool:
    """True for a caller on loopback that no proxy speaks for."""
    host = request.client.host if request.client else ""
    named = request.url.hostname or ""
    # The name in the address is checked too: a foreign page may point its own at 127.0.0.1.
    return (
        host in _LOOPBACK
        and named in _LOOPBACK
        and not any(name in request.headers for name in _PROXY_HEADERS)
    )


def check_declared(app: FastAPI) -> None:
    """Refuse to serve a route that does not say exactly once who may call it."""
    for route in app.routes:
        declared = _declared(route.dependant) if isinstance(route, APIRoute) else []
        if len(declared) != 1:
            path = getattr(route, "path", route)
            raise BadConfiguration(f"route {path} must declare its access once, with Allow(...)")


def access_of(route: APIRoute) -> Allow:
    """The declaration of ``route``."""
    (declared,) = _declared(route.dependant)
    return declared


def _declared(dependant: Dependant) -> list[Allow]:
    calls: list[Any] = [inner.call for inner in dependant.dependencies]
    return [call for call in calls if isinstance(call, Allow)]


async def _key(door: Door, request: Request) -> ApiKey:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        door.runtime.metrics.count("weir_http_refused_total", cause="authentication")
        raise Problem("UNAUTHENTICATED", "no bearer key was sent", headers=_CHALLENGE)
    ring = door.keys
    key = ring.cached(token)
    if key is not None:
        if ring.stale():
            door.refresh_keys()
        return key
    try:
        async with asyncio.timeout(_VERIFY_S):
            return await asyncio.to_thread(ring.verify, token)
    except InvalidKey as error:
        door.runtime.metrics.count("weir_http_refused_total", cause="authentication")
        _log.warning("key refused", code=error.code)
        raise Problem("UNAUTHENTICATED", str(error), headers=_CHALLENGE) from None
    except TimeoutError:
        raise Unavailable("sql", "the keys could not be read in time") from None
