"""The HTTP door over the real engine, Redis and Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from api.app import build_app
from risk.bootstrap import Runtime, build_runtime
from risk.domain.clock import SystemClock
from risk.domain.decision import decode_decision, decode_ledger
from risk.domain.times import rfc3339
from risk.keys import SCOPES
from risk.local.server import Server
from risk.settings import Settings
from risk.storage.api_keys import create_key

pytestmark = pytest.mark.services


@dataclass
class Open:
    """An opened door."""

    runtime: Runtime
    client: httpx.AsyncClient
    kafka: str

    def payment(self, name: str, **change: Any) -> dict[str, Any]:
        at = rfc3339(self.runtime.clock.now_ms())
        return {
            "type": "payment", "id": name, "occurred_at": at, "account": "acc_1",
            "card": "tok_1", "amount_minor": 1250, "currency": "EUR",
        } | change  # fmt: skip

    async def published(self, topic: str) -> list[bytes]:
        """The values in a topic, markers left out."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, enable_auto_commit=False)
        await consumer.start()
        try:
            places = [TopicPartition(topic, n) for n in range(8)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            found = []
            for place in places:
                consumer.seek(place, 0)
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [record.value for record in records if record.value]
            return [value for value in found if value.startswith(b"{")]
        finally:
            await consumer.stop()


@asynccontextmanager
async def opened(home: Path, kafka: str, redis: str, world: str) -> AsyncIterator[Open]:
    """A door on real parts; MLflow is not there, so decisions are made without a model."""
    settings = Settings(
        home=home, kafka=kafka, redis=redis, mlflow="http://127.0.0.1:1", world=world
    )
    _, token = create_key(settings, name="test", scopes=SCOPES, now_ms=SystemClock().now_ms())
    async with build_runtime(settings, "api") as runtime:
        app = build_app(runtime, settings)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app),
                base_url="http://127.0.0.1",
                headers={"Authorization": f"Bearer {token}"},
            ) as client,
        ):
            yield Open(runtime, client, kafka)


async def test_what_is_answered_is_what_is_published(
    tmp_path: Path, kafka: str, redis_url: str
) -> None:
    async with opened(tmp_path, kafka, redis_url, "api-published") as door:
        payments = [door.payment(f"pay_{n}", account=f"acc_{n % 5}") for n in range(100)]
        answers = await asyncio.gather(
            *(door.client.post("/v1/decisions?evidence=true", json=payment) for payment in payments)
        )
        assert {answer.status_code for answer in answers} == {200}
        bodies = {answer.content for answer in answers}
        assert bodies == set(await door.published(door.runtime.topics.decisions))
        for payment, answer in zip(payments, answers, strict=True):
            again = await door.client.post("/v1/decisions?evidence=true", json=payment)
            found = await door.client.get(f"/v1/decisions/{payment['id']}?evidence=true")
            assert again.content == found.content == answer.content
        assert len(await door.published(door.runtime.topics.decisions)) == 100


async def test_doubles_in_one_moment_get_one_decision(
    tmp_path: Path, kafka: str, redis_url: str
) -> None:
    async with opened(tmp_path, kafka, redis_url, "api-doubles") as door:
        payment = door.payment("pay_1")
        answers = await asyncio.gather(
            *(door.client.post("/v1/decisions", json=payment) for _ in range(30))
        )
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert len(set(await door.published(door.runtime.topics.decisions))) == 1
        other = await door.client.post("/v1/decisions", json=payment | {"amount_minor": 1})
        assert other.json()["code"] == "PAYLOAD_MISMATCH"


async def test_a_remembered_event_is_on_the_ledger_once(
    tmp_path: Path, kafka: str, redis_url: str
) -> None:
    async with opened(tmp_path, kafka, redis_url, "api-ledger") as door:
        at = rfc3339(door.runtime.clock.now_ms())
        login = {"type": "login", "id": "l_1", "account": "acc_1", "occurred_at": at}
        for _ in range(3):
            assert (await door.client.post("/v1/events", json=login)).status_code == 202
        (body,) = set(await door.published(door.runtime.topics.ledger))
        assert decode_ledger(body).event_id == "l_1"


async def test_without_redis_the_answer_is_the_fallback_then_the_decision(
    tmp_path: Path, kafka: str, redis_factory: Callable[[], Server]
) -> None:
    redis = redis_factory()
    async with opened(tmp_path, kafka, redis.url, "api-redis-down") as door:
        assert (await door.client.get("/readyz")).status_code == 200
        payment = door.payment("pay_1")
        redis.kill()
        answer = await door.client.post("/v1/decisions", json=payment)
        assert answer.status_code == 200
        decision = decode_decision(answer.content)
        assert (decision.outcome.value, decision.authoritative) == ("review", False)
        assert (await door.client.get("/readyz")).status_code == 503
        redis.restart()
        for _ in range(20):
            later = await door.client.post("/v1/decisions", json=payment)
            if decode_decision(later.content).authoritative:
                break
        assert decode_decision(later.content).authoritative
        again = await door.client.post("/v1/decisions", json=payment)
        assert again.content == later.content
