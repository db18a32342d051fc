"""Bad input: each way to be wrong has its named problem and a pointer, and hurts nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from risk.domain.times import rfc3339
from tests.support.http import Site

URL = "/v1/decisions"
JSON = {"Content-Type": "application/json"}
DAY_MS = 24 * 60 * 60 * 1000


async def send(site: Site, body: bytes, url: str = URL) -> tuple[int, dict[str, Any]]:
    answer = await site.client.post(url, content=body, headers={**site.key(), **JSON})
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("change", "status", "code", "pointer"),
    [
        ({"id": None}, 422, "MISSING_FIELD", "/id"),
        ({"account": None}, 422, "MISSING_FIELD", "/account"),
        ({"amount_minor": None}, 422, "MISSING_FIELD", "/amount_minor"),
        ({"colour": "blue"}, 422, "UNKNOWN_FIELD", "/colour"),
        ({"type": "gift"}, 422, "UNKNOWN_TYPE", "/type"),
        ({"type": "decided"}, 422, "UNKNOWN_TYPE", "/type"),
        ({"schema_version": 2}, 422, "UNSUPPORTED_VERSION", "/schema_version"),
        ({"amount_minor": "12"}, 422, "WRONG_TYPE", "/amount_minor"),
        ({"amount_minor": 12.5}, 422, "WRONG_TYPE", "/amount_minor"),
        ({"account": 7}, 422, "WRONG_TYPE", "/account"),
        ({"account": {"deep": [1]}}, 422, "WRONG_TYPE", "/account"),
        ({"amount_minor": -1}, 422, "OUT_OF_RANGE", "/amount_minor"),
        ({"amount_minor": 10**15}, 422, "OUT_OF_RANGE", "/amount_minor"),
        ({"amount_minor": 10**30}, 422, "OUT_OF_RANGE", "/amount_minor"),
        ({"account": ""}, 422, "OUT_OF_RANGE", "/account"),
        ({"account": "a" * 129}, 422, "OUT_OF_RANGE", "/account"),
        ({"account": "a\x00b"}, 422, "OUT_OF_RANGE", "/account"),
        ({"lat": 91.0, "lon": 0.0}, 422, "OUT_OF_RANGE", "/lat"),
        ({"currency": "XXX"}, 422, "UNKNOWN_CURRENCY", "/currency"),
        ({"currency": "eur"}, 422, "OUT_OF_RANGE", "/currency"),
        ({"country": "XX"}, 422, "UNKNOWN_COUNTRY", "/country"),
        ({"account": "4111111111111111"}, 422, "CARD_NUMBER", "/account"),
        ({"card": "4111 1111 1111 1111"}, 422, "CARD_NUMBER", "/card"),
        ({"id": "1234567890123"}, 422, "CARD_NUMBER", "/id"),
        ({"attributes": {"note": "4111-1111-1111-1111"}}, 422, "CARD_NUMBER", "/attributes/note"),
        ({"attributes": {"n": 4111111111111111}}, 422, "CARD_NUMBER", "/attributes/n"),
        ({"attributes": {"n": {"deeper": 1}}}, 422, "WRONG_TYPE", "/attributes"),
        ({"occurred_at": "yesterday"}, 422, "INVALID_TIME", "/occurred_at"),
        ({"occurred_at": "2026-01-31T12:00:00"}, 422, "INVALID_TIME", "/occurred_at"),
        ({"occurred_at": "1970-01-01T00:00:00Z"}, 422, "INVALID_TIME", "/occurred_at"),
        ({"occurred_at": "9999-12-31T23:59:59Z"}, 422, "INVALID_TIME", "/occurred_at"),
        ({"payment_id": "other"}, 422, "INCONSISTENT", "/payment_id"),
        ({"lat": 1.0}, 422, "INCONSISTENT", "/lat"),
    ],
)
async def test_a_wrong_field_is_named(
    site: Site, change: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    body = json.dumps(site.payment(**change)).encode()
    got_status, got = await send(site, body)
    assert (got_status, got["code"]) == (status, code), got
    assert str(got["pointer"]).startswith(pointer)
    assert got["operator"]
    assert site.engine.batches == [], "nothing reached the engine"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "INVALID_JSON"),
        (b"{", 400, "INVALID_JSON"),
        (b"nonsense", 400, "INVALID_JSON"),
        (b"{} trailing", 422, "MISSING_FIELD"),
        (b'{"type":"payment","id":"\xff\xfe"}', 400, "INVALID_UTF8"),
        (b"null", 422, "WRONG_TYPE"),
        (b"[]", 422, "WRONG_TYPE"),
        (b'"payment"', 422, "WRONG_TYPE"),
        (b"{}", 422, "MISSING_FIELD"),
    ],
)
async def test_a_body_that_is_no_event(site: Site, body: bytes, status: int, code: str) -> None:
    got_status, got = await send(site, body)
    assert (got_status, got["code"]) == (status, code), got


async def test_an_event_followed_by_more_is_refused(site: Site) -> None:
    body = json.dumps(site.payment()).encode()
    status, got = await send(site, body + body)
    assert (status, got["code"]) == (400, "INVALID_JSON")


async def test_deep_nesting_is_refused(site: Site) -> None:
    for body in (
        b"[" * 16_000,
        b'{"type":"payment","attributes":' + b'{"a":' * 2_500 + b"1" + b"}" * 2_500 + b"}",
        b'{"type":"payment","x":' + b"[" * 7_900 + b"]" * 7_900 + b"}",
        b'{"x":' + b"[" * 7_900 + b"]" * 7_900 + b',"type":"payment"}',
    ):
        status, got = await send(site, body)
        assert status in (400, 422), got
        assert got["code"] in ("WRONG_TYPE", "UNKNOWN_FIELD", "TOO_DEEP", "INVALID_JSON"), got


async def test_a_megabyte_is_refused_before_it_is_read(site: Site) -> None:
    status, got = await send(site, b" " * 1_000_000)
    assert (status, got["code"], got["pointer"]) == (413, "TOO_LARGE", "")


async def test_a_body_without_a_length_is_counted_while_it_comes(site: Site) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 10**7:
            sent += 4096
            yield b" " * 4096

    answer = await site.client.post(URL, content=endless(), headers={**site.key(), **JSON})
    assert answer.status_code == 413
    assert answer.json()["code"] == "TOO_LARGE"
    assert answer.headers["connection"] == "close"


async def test_a_body_of_exactly_the_limit_is_read(site: Site) -> None:
    body = json.dumps(site.payment()).encode()
    answer = await site.client.post(
        URL, content=body + b" " * (16 * 1024 - len(body)), headers={**site.key(), **JSON}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("offset_ms", "accepted"),
    [(4 * 60_000, True), (6 * 60_000, False), (-DAY_MS + 60_000, True), (-DAY_MS - 60_000, False)],
)
async def test_the_live_world_has_a_present(site: Site, offset_ms: int, accepted: bool) -> None:
    at = rfc3339(site.runtime.clock.now_ms() + offset_ms)
    answer = await site.client.post(URL, json=site.payment(occurred_at=at), headers=site.key())
    if accepted:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 422
        assert (answer.json()["code"], answer.json()["pointer"]) == ("INVALID_TIME", "/occurred_at")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": ""},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_only_plain_json_is_read(site: Site, headers: dict[str, str]) -> None:
    answer = await site.client.post(URL, content=b"{}", headers={**site.key(), **headers})
    assert answer.status_code == 415
    assert answer.json()["code"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "/v1/nothing", 404, "NOT_FOUND"),
        ("POST", "/v1/decisions/", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/../etc/passwd", 404, "NOT_FOUND"),
        ("PUT", "/v1/decisions", 405, "METHOD_NOT_ALLOWED"),
        ("OPTIONS", "/v1/decisions", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/healthz", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_what_is_not_there_is_a_problem_too(
    site: Site, method: str, path: str, status: int, code: str
) -> None:
    answer = await site.client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    if status == 405:
        assert answer.headers["allow"]


async def test_bad_input_among_good_delays_nobody(site: Site) -> None:
    key = {**site.key(), **JSON}
    good = [json.dumps(site.payment(id=f"pay_{n}")).encode() for n in range(100)]
    bad = [b"[" * 10_000, b"\xff", b"{}", b" " * 20_000]

    async def post(body: bytes) -> int:
        return (await site.client.post(URL, content=body, headers=key)).status_code

    mixed = [body for n, one in enumerate(good) for body in (one, bad[n % len(bad)])]
    statuses = await asyncio.gather(*(post(body) for body in mixed))
    assert statuses[::2] == [200] * 100
    assert all(status in (400, 413, 422) for status in statuses[1::2])
    assert sum(site.engine.batches) == 100


async def test_a_card_number_is_not_repeated_to_anybody(site: Site) -> None:
    body = json.dumps(site.payment(account="4111111111111111")).encode()
    answer = await site.client.post(URL, content=body, headers={**site.key(), **JSON})
    assert "4111" not in answer.text
