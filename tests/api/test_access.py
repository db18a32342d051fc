"""Keys and scopes: nothing but health and the contract is open, and every route says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import text

from api.app import build_app
from api.auth import Allow, access_of, check_declared
from risk.domain.clock import SystemClock
from risk.domain.errors import BadConfiguration
from risk.keys import SCOPES, ApiKey
from risk.settings import Settings
from risk.storage.api_keys import SqlKeyStore, create_key
from risk.storage.sql import connection, open_store
from tests.support.engine_twin import TwinRuntime
from tests.support.http import Site, open_site

PUBLIC = {"/healthz", "/readyz", "/openapi.json", "/docs"}
REQUESTS = {
    ("POST", "/v1/decisions"): "decide",
    ("GET", "/v1/decisions/pay_1"): "read",
    ("POST", "/v1/events"): "events",
    ("POST", "/v1/labels"): "events",
    ("GET", "/v1/books"): "read",
    ("POST", "/v1/books/check"): "read",
    ("POST", "/v1/books/proposals"): "rules",
    ("POST", "/v1/books/rollback"): "rules",
    ("POST", "/v1/books/proposals/abc/approve"): "approve",
    ("POST", "/v1/books/proposals/abc/publish"): "approve",
    ("GET", "/metrics"): "admin",
}


def test_every_route_declares_its_access(site: Site) -> None:
    routes = [route for route in site.app.routes if isinstance(route, APIRoute)]
    assert len(routes) == len(site.app.routes), "no mount, no route without a declaration"
    declared = {route.path: access_of(route).access for route in routes}
    assert {path for path, access in declared.items() if access == "public"} == PUBLIC


def test_a_route_without_a_declaration_is_not_served() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/open")
    async def opened() -> None:
        return None

    with pytest.raises(BadConfiguration, match="/open"):
        check_declared(app)


def test_two_declarations_are_one_too_many() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/twice", dependencies=[Depends(Allow("public")), Depends(Allow("admin"))])
    async def twice() -> None:
        return None

    with pytest.raises(BadConfiguration, match="/twice"):
        check_declared(app)


@pytest.mark.parametrize(("request_", "scope"), REQUESTS.items())
async def test_each_scope_opens_its_own_routes_only(
    tmp_path: Path, request_: tuple[str, str], scope: str
) -> None:
    async with open_site(tmp_path, client_host="10.0.0.9") as site:
        for held in SCOPES:
            answer = await site.client.request(*request_, headers=site.key(held))
            if held == scope:
                assert answer.status_code not in (401, 403), answer.text
            else:
                assert answer.status_code == 403
                assert scope in answer.json()["detail"]


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer weir_" + "a" * 43},
        {"Authorization": "Basic d2Vpcjpwdw=="},
        {"Authorization": "Bearer " + "x" * 5_000},
        {"X-API-Key": "weir_" + "a" * 43},
    ],
)
async def test_without_a_key_in_force_nothing_opens(
    tmp_path: Path, request_: tuple[str, str], headers: dict[str, str]
) -> None:
    async with open_site(tmp_path, client_host="10.0.0.9") as site:
        answer = await site.client.request(*request_, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["code"] == "UNAUTHENTICATED"
        assert answer.headers["www-authenticate"] == "Bearer"
        refused = site.runtime.metrics.value("weir_http_refused_total", cause="authentication")
        assert refused == 1


async def test_a_revoked_key_closes(site: Site) -> None:
    headers = site.key("read")
    assert (await site.client.get("/v1/decisions/x", headers=headers)).status_code == 404
    (key_id,) = site.store.keys
    site.store.revoke(key_id, 0)
    site.key("read")  # a new key ring, as if five seconds had passed
    assert (await site.client.get("/v1/decisions/x", headers=headers)).status_code == 401


async def test_a_key_has_its_rate(site: Site) -> None:
    headers = site.key("read", rate_per_s=5)
    answers = [await site.client.get("/v1/decisions/x", headers=headers) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [404] * 5 + [429] * 3
    assert answers[-1].json()["code"] == "RATE_LIMITED"
    assert int(answers[-1].headers["retry-after"]) >= 1
    other = await site.client.get("/v1/decisions/x", headers=site.key("read"))
    assert other.status_code == 404


async def test_metrics_are_open_on_this_machine_only(site: Site) -> None:
    answer = await site.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"weir_decisions_total" in answer.content
    proxied = await site.client.get("/metrics", headers={"X-Forwarded-For": "10.0.0.9"})
    assert proxied.status_code == 401
    rebound = await site.client.get("/metrics", headers={"Host": "elsewhere.example"})
    assert rebound.status_code == 401


async def test_every_answer_has_safe_headers(site: Site) -> None:
    for path in ("/healthz", "/docs", "/nothing", "/v1/decisions/x", "/openapi.json"):
        headers = (await site.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert not any(name.startswith("access-control") for name in headers)


async def test_the_page_loads_nothing_from_elsewhere(site: Site) -> None:
    answer = await site.client.get("/docs")
    assert answer.status_code == 200
    assert "POST /v1/decisions" in answer.text
    for forbidden in ("<script", "http://", "https://cdn", "src=", "@import"):
        assert forbidden not in answer.text


@asynccontextmanager
async def own_store(home: Path) -> AsyncIterator[tuple[Settings, ApiKey, httpx.AsyncClient]]:
    """A door that opened its own SQL store, and a client with a key of it."""
    settings, clock = Settings(home=home), SystemClock()
    key, token = create_key(settings, name="shop", scopes=["read"], now_ms=clock.now_ms())
    app = build_app(TwinRuntime(clock), settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://127.0.0.1",
            headers={"Authorization": f"Bearer {token}"},
        ) as client,
    ):
        yield settings, key, client


async def test_a_revocation_reaches_a_busy_door_within_five_seconds(tmp_path: Path) -> None:
    clock = SystemClock()
    async with own_store(tmp_path) as (settings, key, client):
        assert (await client.get("/v1/decisions/x")).json()["code"] == "UNKNOWN_PAYMENT"
        engine = open_store(settings)
        assert SqlKeyStore(engine).revoke(key.key_id, clock.now_ms())
        engine.dispose()
        began_s = clock.monotonic_s()
        while (await client.get("/v1/decisions/x")).status_code != 401:
            assert clock.monotonic_s() - began_s < 5.0
            await asyncio.sleep(0.05)


async def test_without_the_store_keys_are_trusted_for_seconds_only(tmp_path: Path) -> None:
    async with own_store(tmp_path) as (settings, _, client):
        assert (await client.get("/v1/decisions/x")).status_code == 404
        engine = open_store(settings)
        with connection(engine) as link:
            link.execute(text("DROP TABLE api_keys"))
        engine.dispose()
        codes = []
        while 503 not in codes:
            codes.append((await client.get("/v1/decisions/x")).status_code)
            await asyncio.sleep(0.05)
        assert set(codes) == {404, 503}
