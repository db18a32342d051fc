"""Pages and streams of alerts over HTTP: filters, cursors, resuming, bounds, and whose they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from api.contract import openapi
from api.streams import StreamLimits, Streams
from risk.alerts.alert import Alert, encode_alert
from risk.alerts.feed import Feed
from tests.support.alerting import alert
from tests.support.http import Site

PATH = "/v1/alerts"
STREAM = "/v1/alerts/stream"


def put(site: Site, *alerts: Alert, partition: int = 0, first: int = 0) -> None:
    for offset, one in enumerate(alerts, start=first):
        site.runtime.alerts.memory.add(partition, offset, one, encode_alert(one))


async def page(site: Site, **query: Any) -> dict[str, Any]:
    answer = await site.client.get(PATH, params=query, headers=site.key("read"))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def numbers(told: dict[str, Any]) -> list[int]:
    return [int(one["id"], 16) for one in told["alerts"]]


async def test_pages_are_newest_first_and_stand_still(site: Site) -> None:
    put(site, *(alert(n) for n in range(1, 8)))
    first = await page(site, limit=3)
    assert (numbers(first), first["complete"]) == ([7, 6, 5], True)
    put(site, *(alert(n) for n in range(8, 20)), first=7)
    second = await page(site, limit=3, cursor=first["next"])
    third = await page(site, limit=3, cursor=second["next"])
    assert (numbers(second), numbers(third), third["next"]) == ([4, 3, 2], [1], None)
    document = openapi()
    schema = {"$ref": "#/components/schemas/Alerts", "components": document["components"]}
    Draft202012Validator(schema).validate(first)


async def test_filters(site: Site) -> None:
    put(
        site, alert(1, severity="low"), alert(2, severity="high", rule="other"),
        alert(3, severity="critical", group="card c-9"), alert(4, type="rate"),
    )  # fmt: skip
    assert numbers(await page(site, severity="high")) == [3, 2]
    assert numbers(await page(site, type="rate")) == [4]
    assert numbers(await page(site, rule="other")) == [2]
    assert numbers(await page(site, group="card c-9")) == [3]
    at = alert(2).at
    assert numbers(await page(site, since=at)) == [4, 3, 2]
    assert numbers(await page(site, until=at)) == [1]


async def test_a_tenant_sees_its_own(site: Site) -> None:
    put(site, alert(1), alert(2, tenant="t2"))
    assert numbers(await page(site)) == [1]
    other = await site.client.get(PATH, headers=site.key("read", tenant="t2"))
    assert numbers(other.json()) == [2]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"severity": "grave"}, "query/severity"), ({"limit": 0}, "query/limit"),
        ({"limit": 1001}, "query/limit"), ({"cursor": "x"}, "query/cursor: 'x' is no cursor"),
        ({"cursor": "1." + "a" * 65}, "query/cursor"), ({"since": "yesterday"}, "query/since"),
        ({"until": "2026-01-01T00:00:00"}, "query/until: "), ({"type": "x"}, "query/type"),
    ],
)  # fmt: skip
async def test_a_wrong_query_is_named(site: Site, query: dict[str, Any], said: str) -> None:
    answer = await site.client.get(PATH, params=query, headers=site.key("read"))
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_QUERY")
    assert said in answer.json()["detail"]


async def test_who_may_not_and_what_is_down(site: Site) -> None:
    put(site, alert(1))
    for path in (PATH, STREAM):
        assert (await site.client.get(path)).status_code == 401
        refused = await site.client.get(path, headers=site.key("decide", "events"))
        assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
        site.runtime.alerts.down = True
        answer = await site.client.get(path, headers=site.key("read"))
        site.runtime.alerts.down = False
        assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
        assert "10.1.2.3" not in answer.text


async def test_memory_that_is_not_whole_says_so(site: Site) -> None:
    site.runtime.alerts.memory = Feed({0: 5, 1: 0}, held_max=2)
    assert (await page(site))["complete"] is False
    put(site, alert(1), alert(2), alert(3))
    assert numbers(await page(site)) == [3, 2]
    assert (await page(site))["complete"] is False
    # Asked for what lies within memory, it is whole.
    assert (await page(site, since=alert(3).at))["complete"] is True


# -- streams -------------------------------------------------------------------------------


class Client:
    """Reads a stream of the application frame by frame, as httpx's transport cannot."""

    def __init__(self, site: Site, headers: dict[str, str], query: str = "") -> None:
        host = {"host": "127.0.0.1"}
        raw = [(k.lower().encode(), v.encode()) for k, v in {**host, **headers}.items()]
        self._asked = False
        self._scope: dict[str, Any] = {
            "type": "http", "method": "GET", "path": STREAM, "raw_path": STREAM.encode(),
            "query_string": query.encode(), "headers": raw, "http_version": "1.1",
            "scheme": "http", "root_path": "", "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }  # fmt: skip
        self._app = site.app
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._gone = asyncio.Event()
        self.stuck = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ended = False
        self.last = ""

    async def open(self) -> Client:
        self._task = asyncio.create_task(self._app(self._scope, self._receive, self._take))
        start = await self._next()
        self.status = start["status"]
        self.headers = {k.decode(): v.decode() for k, v in start["headers"]}
        return self

    async def frame(self) -> dict[str, str]:
        """The next frame, by field; a comment stands under the empty name."""
        message = await self._next()
        if not message.get("more_body"):
            self.ended = True
            return {}
        found = {}
        for line in message["body"].decode().strip().split("\n"):
            name, _, value = line.partition(":")
            found[name] = value.strip()
        self.last = found.get("id", self.last)
        return found

    async def alerts(self, count: int) -> list[int]:
        """The next alerts, whatever stands between them."""
        found: list[int] = []
        while len(found) < count:
            frame = await self.frame()
            if frame.get("event") == "alert":
                found.append(int(json.loads(frame["data"])["id"], 16))
        return found

    async def close(self) -> None:
        self._gone.set()
        await asyncio.wait_for(self._task, 10)

    async def done(self) -> None:
        await asyncio.wait_for(self._task, 10)

    async def _next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self._sent.get(), 10)

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _take(self, message: Any) -> None:
        if self.stuck:
            await asyncio.sleep(3_600)
        await self._sent.put(message)


@asynccontextmanager
async def opened(site: Site, query: str = "", **headers: str) -> AsyncIterator[Client]:
    client = await Client(site, {**site.key("read"), **headers}, query).open()
    try:
        yield client
    finally:
        if not client.ended:
            await client.close()


def limit(site: Site, **limits: Any) -> None:
    site.app.state.door.streams = Streams(StreamLimits(**limits))


def last(position: str) -> dict[str, str]:
    return {"Last-Event-ID": position}


async def test_a_stream_begins_now_and_goes_on_as_alerts_come(site: Site) -> None:
    put(site, alert(1), alert(2))
    async with opened(site) as client:
        assert client.status == 200
        assert client.headers["content-type"].startswith("text/event-stream")
        assert client.headers["cache-control"] == "no-store"
        assert "content-length" not in client.headers
        assert await client.frame() == {"retry": "2000"}
        assert (await client.frame())["id"] == "0:2,1:0"
        put(site, alert(3), first=2)
        put(site, alert(4), partition=1)
        assert await client.alerts(2) == [3, 4]
        assert client.last == "0:3,1:1"
        assert site.runtime.metrics.value("weir_alerts_streams") == 1
    assert site.runtime.metrics.value("weir_alerts_streams") == 0


async def test_a_stream_is_resumed_without_loss_or_repeat(site: Site) -> None:
    put(site, *(alert(n) for n in range(1, 6)))
    put(site, *(alert(n) for n in range(11, 16)), partition=1)
    async with opened(site, **last("0:2,1:4")) as client:
        assert await client.alerts(4) == [3, 4, 5, 15]
        middle = client.last
        assert middle == "0:5,1:5"
    put(site, alert(6), first=5)
    async with opened(site, **last(middle)) as client:
        assert await client.alerts(1) == [6]
        put(site, alert(7), first=6)
        assert await client.alerts(1) == [7]


async def test_what_is_gone_is_said(site: Site) -> None:
    site.runtime.alerts.memory = Feed({0: 0, 1: 0}, held_max=2)
    put(site, *(alert(n) for n in range(1, 6)))
    async with opened(site, **last("0:1,1:0")) as client:
        await client.frame()
        gap = await client.frame()
        assert (gap["event"], json.loads(gap["data"])) == (
            "gap",
            {"from": "0:1,1:0", "to": "0:3,1:0"},
        )
        assert await client.alerts(2) == [4, 5]
        # More comes at once than memory holds.
        put(site, *(alert(n) for n in range(6, 12)), first=5)
        frame = await client.frame()
        assert json.loads(frame["data"]) == {"from": "0:5,1:0", "to": "0:9,1:0"}
        assert await client.alerts(2) == [10, 11]


async def test_now_is_when_the_headers_are_sent(site: Site) -> None:
    async with opened(site) as client:
        put(site, alert(1))  # before the stream had a turn
        assert await asyncio.wait_for(client.alerts(1), 10) == [1]


async def test_a_filter_moves_on_over_what_it_leaves_out(site: Site) -> None:
    limit(site, keep_alive_s=0.6)
    async with opened(site, "severity=high") as client:
        put(site, alert(1), alert(2, severity="high"), alert(3, tenant="t2"), alert(4))
        assert await client.alerts(1) == [2]
        frame = await client.frame()
        assert (frame[""], frame["id"]) == ("keep-alive", "0:4,1:0")


async def test_a_stream_ends_with_its_key(site: Site) -> None:
    limit(site, key_check_s=0.1)
    async with opened(site) as client:
        await client.frame()
        await client.frame()
        for key in site.store.all():
            site.store.revoke(key.key_id, 0)
        site.app.state.door.keys._read_at_ms = None  # as after some seconds
        while not client.ended:
            await client.frame()
        await client.done()


async def test_a_stream_ends_when_the_server_stops_and_after_its_time(site: Site) -> None:
    async with opened(site) as client:
        site.app.state.door.stopping = lambda: True
        frames = [await client.frame() for _ in range(4)]
        assert frames[-1] == {}
        assert frames[-2]["id"] == "0:0,1:0"
        await client.done()
    site.app.state.door.stopping = lambda: False
    limit(site, stream_s=0.1)
    async with opened(site) as client:
        while not client.ended:
            await client.frame()
        await client.done()
    assert site.runtime.metrics.value("weir_alerts_streams") == 0


async def test_a_client_that_takes_nothing_is_left(site: Site) -> None:
    limit(site, send_s=0.2)
    client = await Client(site, site.key("read")).open()
    client.stuck = True
    put(site, alert(1))
    await client.done()
    assert site.runtime.metrics.value("weir_alerts_streams") == 0


async def test_streams_are_bounded(site: Site) -> None:
    limit(site, of_key_max=1, streams_max=2)
    headers = site.key("read")
    first = await Client(site, headers).open()
    second = await Client(site, headers).open()
    assert second.status == 429
    body = json.loads((await second._next())["body"])
    assert (body["code"], body["detail"]) == (
        "TOO_MANY_STREAMS", "the key has 1 streams open already",
    )  # fmt: skip
    await second.close()
    other = await Client(site, site.key("read")).open()
    third = await Client(site, site.key("read")).open()
    assert (other.status, third.status) == (200, 429)
    await third.close()
    await other.close()
    await first.close()
    fourth = await Client(site, headers).open()
    assert fourth.status == 200
    await fourth.close()


@pytest.mark.parametrize(
    "position", ["x", "0", "0:", ":1", "0:1,", "0:-1", "0:" + "1" * 19, "\xb2:1"]
)
async def test_a_wrong_last_event_id_is_named(site: Site, position: str) -> None:
    held = [(name.encode(), value.encode()) for name, value in site.key("read").items()]
    given = [*held, (b"Last-Event-ID", position.encode("latin-1"))]
    answer = await site.client.get(STREAM, headers=given)
    assert answer.status_code == 422
    assert "Last-Event-ID" in answer.json()["detail"]
