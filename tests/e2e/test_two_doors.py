"""One engine behind two doors: the same payment by Kafka and by HTTP, and bad input at Kafka."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.topics import LIVE_WORLD
from tests.support.doors import Doors

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]
BAD: list[tuple[bytes, str]] = [
    (b"{", "INVALID_JSON"),
    (b"\xff\xfe", "INVALID_JSON"),
    (b'{"type":"gift","id":"x"}', "UNKNOWN_TYPE"),
    (b"x" * 20_000, "TOO_LARGE"),
    (b"[" * 5_000, "WRONG_TYPE"),
]


class Place(Doors):
    """The doors of the live world, and a shop's key."""

    def __init__(self, home: Path, kafka: str, redis_url: str) -> None:
        super().__init__(home, kafka, redis_url, LIVE_WORLD)
        self.headers = self.key("test", "decide", "read")


@pytest.fixture(scope="module")
def doors(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A worker and an API on the session's Kafka and Redis, without a model."""
    place = Place(tmp_path_factory.mktemp("doors"), kafka, redis_url)
    with place.open():
        yield place


def payment(payment_id: str, who: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "payment",
        "id": payment_id,
        "occurred_at": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "account": f"acc-{who}",
        "card": f"tok-{who}",
        "merchant": f"mer-{who}",
        "device": f"dev-{who}",
        "amount_minor": 4999,
        "currency": "EUR",
        "channel": "ecom",
        **fields,
    }


async def send(kafka: str, events: list[bytes]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
        for event in events:
            await producer.send_and_wait("weir.events", event, key=b"main:acc")


async def read(kafka: str, topic: str, wanted: int, which: str) -> list[dict[str, Any]]:
    """``wanted`` records of ``topic`` whose text has ``which``."""
    found: list[dict[str, Any]] = []
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=kafka, auto_offset_reset="earliest", group_id=None
    ) as consumer:
        async with asyncio.timeout(30):
            async for record in consumer:
                if record.value and which in record.value.decode():
                    found.append(json.loads(record.value))
                if len(found) >= wanted:
                    break
    return found


async def test_the_same_payment_gets_the_same_judgement_at_both_doors(doors: Place) -> None:
    by_http = payment("two-http", "http")
    by_kafka = {**by_http, "id": "two-kafka"}
    for name in ("account", "card", "merchant", "device"):
        by_kafka[name] = by_kafka[name].replace("http", "kafka")
    await send(doors.kafka, [json.dumps(by_kafka).encode()])
    (streamed,) = await read(doors.kafka, "weir.decisions", 1, '"payment_id":"two-kafka"')
    async with httpx.AsyncClient(base_url=doors.api, headers=doors.headers) as client:
        answer = await client.post("/v1/decisions?evidence=true", json=by_http)
    asked = answer.json()
    for name in ("outcome", "score", "reasons", "rule_hits", "expected_cost", "degraded"):
        assert asked[name] == streamed[name], name
    assert asked["evidence"]["vector"] == streamed["evidence"]["vector"]
    assert asked["evidence"]["digests"] == streamed["evidence"]["digests"]
    assert (asked["evidence"]["door"], streamed["evidence"]["door"]) == ("http", "stream")
    (published,) = await read(doors.kafka, "weir.decisions", 1, '"payment_id":"two-http"')
    assert published == asked, "what was answered is what was published"


async def test_a_payment_at_both_doors_is_decided_once(doors: Place) -> None:
    asked = payment("both-1", "both")
    await send(doors.kafka, [json.dumps(asked).encode()])
    async with httpx.AsyncClient(base_url=doors.api, headers=doors.headers) as client:
        first = await client.post("/v1/decisions", json=asked)
        again = await client.post("/v1/decisions", json=asked)
        changed = await client.post("/v1/decisions", json={**asked, "amount_minor": 1})
    assert first.content == again.content
    assert changed.status_code == 409
    (published,) = await read(doors.kafka, "weir.decisions", 1, '"payment_id":"both-1"')
    published.pop("evidence")
    assert published == first.json()


async def test_bad_input_is_set_aside_and_delays_nobody(doors: Place) -> None:
    good = [json.dumps(payment(f"good-{number}", "good")).encode() for number in range(20)]
    mixed = [one for number, one in enumerate(good) for one in (BAD[number % len(BAD)][0], one)]
    late = json.dumps(payment("late-1", "late", occurred_at="2020-01-01T00:00:00Z")).encode()
    future = json.dumps(payment("future-1", "f", occurred_at="2090-01-01T00:00:00Z")).encode()
    card = json.dumps(payment("card-1", "c", card="4111111111111111")).encode()
    await send(doors.kafka, [*mixed, late, future, card])
    decided = await read(doors.kafka, "weir.decisions", 20, '"payment_id":"good-')
    assert {one["payment_id"] for one in decided} == {f"good-{n}" for n in range(20)}
    letters = await read(doors.kafka, "weir.dead-letters", len(good) + 2, '"code"')
    codes = [letter["code"] for letter in letters]
    assert sorted(set(codes)) == sorted({code for _, code in BAD} | {"INVALID_TIME", "CARD_NUMBER"})
    assert all(letter["topic"] == "weir.events" for letter in letters)
    assert "4111111111111111" not in json.dumps(letters)
    assert len(await read(doors.kafka, "weir.late", 1, "late-1")) == 1
