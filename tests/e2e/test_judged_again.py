"""Any decision gives its bytes again, after what judges has changed and Redis was emptied."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import redis
from aiokafka import AIOKafkaProducer

from features.catalogue import FEATURE_NAMES, catalogue_digest
from models.names import CHAMPION, model_name
from models.signature import ModelKeys, keys_folder
from models.source import Catalogue, ModelRef, ModelSource
from risk.bootstrap import shipped_book
from risk.domain.decision import Decision, decode_decision
from risk.local.redis import RedisServer
from risk.versions.store import VersionStore
from risk.versions.version import Version
from streams.control import Control
from streams.history import open_history
from streams.publish import KafkaPublisher
from streams.topics import Topics
from tests.support.doors import Doors
from tests.support.small_model import small_bundle

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]
WORLD = "judged-again"
STRICT = {"review_at": 0.000001, "block_at": 0.000002, "fallback": "block"}


class Place(Doors):
    """The doors of a world, and models that they serve."""

    def __init__(self, home: Path, kafka: str, redis_url: str) -> None:
        super().__init__(home, kafka, redis_url, WORLD)
        self.headers = self.key("test", "decide")

    def serve_model(self, seed: int) -> str:
        """Have a model at hand for the next start; its digest."""
        bundle = small_bundle(seed)
        keys = ModelKeys(keys_folder(self.settings.state))
        cache, name = self.settings.state / "cache" / "models", model_name(WORLD)
        source = ModelSource("", name, cache, Catalogue(FEATURE_NAMES, catalogue_digest()), keys)
        bundle.write(cache / "bundles" / bundle.digest)
        signature = keys.sign(bundle.digest)
        ref = ModelRef(
            name=name, version=str(seed), run_id="", bundle=bundle.digest, signature=signature
        )
        source.serve(ref, CHAMPION)
        return bundle.model_digest

    def ask(self, payment_id: str) -> dict[str, Any]:
        """Decide a payment over HTTP."""
        answer = httpx.post(
            f"{self.api}/v1/decisions", json=payment(payment_id), headers=self.headers, timeout=20
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def stream(self, *payment_ids: str) -> None:
        """Put payments on the events topic."""
        async with AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all") as producer:
            for one in payment_ids:
                body = json.dumps(payment(one)).encode()
                await producer.send_and_wait(Topics(WORLD).events, body, key=b"main:acc")

    async def published(self) -> dict[str, list[bytes]]:
        """The bytes of every decision on the topic, by payment."""
        history = await open_history(self.kafka, Topics(WORLD))
        found = defaultdict(list)
        async for chunk in history.chunks():
            for one in chunk:
                if one.topic == "decisions" and not one.marker:
                    found[decode_decision(one.value).payment_id].append(one.value)
        return found

    async def until_published(self, *payment_ids: str) -> None:
        """Wait for decisions on payments."""
        async with asyncio.timeout(60):
            while not set(payment_ids) <= set(await self.published()):
                await asyncio.sleep(0.2)


def payment(payment_id: str) -> dict[str, Any]:
    return {
        "type": "payment",
        "id": payment_id,
        "occurred_at": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "account": "acc-again",
        "card": "tok-again",
        "device": "dev-again",
        "merchant": "mer-again",
        "amount_minor": 84_999,
        "currency": "USD",
        "channel": "ecom",
        "lat": 52.5,
        "lon": 13.4,
    }


async def judge_by_others(place: Place, policy: Path) -> None:
    """Another book, policy and model for whatever comes next."""
    topics, store = Topics(WORLD), VersionStore(place.settings.state / "versions")
    shipped = shipped_book()
    short = msgspec.structs.replace(shipped, name="Another book", rules=shipped.rules[::-1][:1])
    version = Version.of("book", msgspec.json.encode(short, order="sorted"), "ana", 1)
    async with KafkaPublisher(place.kafka, topics) as publisher:
        control = Control(place.kafka, topics, store, publisher)
        await control.set_live(version, author="ana", at_ms=1)
        await control.close()
    code, said, live = place.weir("versions", "publish", "policy", str(policy), "--as", "ana")
    assert code == 0, said
    assert (live["kind"], live["author"], live["number"]) == ("policy", "ana", 1)
    place.serve_model(2)


def digests(body: bytes) -> Any:
    decision: Decision = decode_decision(body)
    assert decision.evidence is not None
    return decision.evidence.digests


async def test_every_decision_of_both_doors_gives_its_bytes_again(
    kafka: str, redis_factory: Callable[[], RedisServer], tmp_path: Path
) -> None:
    server = redis_factory()
    place = Place(tmp_path, kafka, server.url)
    policy = tmp_path / "strict.json"
    policy.write_text(json.dumps(STRICT))
    first_model = place.serve_model(1)
    with place.open():
        await place.stream("s-1", "s-2")
        await place.until_published("s-1", "s-2")
        assert place.ask("h-1")["authoritative"] is True
        server.kill()
        assert place.ask("h-fallback")["degraded"] == ["fallback"]
        await place.until_published("h-1", "h-fallback")
        server.restart()
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    await judge_by_others(place, policy)
    with place.open():
        async with asyncio.timeout(60):
            while place.ask(f"h-new-{time.monotonic_ns()}")["outcome"] != "block":
                await asyncio.sleep(0.5)
        await place.stream("s-new")
        await place.until_published("s-new")
    with redis.Redis.from_url(server.url) as client:
        client.flushall()

    bodies = await place.published()
    old, new = digests(bodies["s-1"][0]), digests(bodies["s-new"][0])
    assert old.model == digests(bodies["h-1"][0]).model == first_model != new.model
    assert old.book != new.book
    assert old.policy != new.policy
    # Once Redis is back the door decides what it had answered by the fallback.
    assert not decode_decision(bodies["h-fallback"][0]).authoritative
    out = tmp_path / "again"
    for one in ("s-2", "h-1", "h-fallback"):
        code, said, found = place.weir("replay", one, "--out", str(out))
        assert (code, found.get("verdict")) == (0, "equal"), said
        assert found["vector"] == "equal" or one == "h-fallback"
        assert out.read_bytes() in bodies[one]
    code, said, found = place.weir("parity")
    assert (code, found["verdict"], found["unprovable"]) == (0, "equal", {}), said
    judged = found["judgements"]
    assert judged["checked"] == judged["equal"] == sum(map(len, bodies.values())), said
    assert found["fallbacks"] == 1
