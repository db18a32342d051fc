"""What was served teaches the next model: days of history on real parts, then `weir retrain`."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from aiokafka import TopicPartition
from typer.testing import CliRunner

from models.names import CHAMPION, model_name
from models.registry import Registry
from models.signature import ModelKeys, keys_folder
from risk.cli import drift, retrain, versions
from risk.domain.clock import SystemClock
from risk.domain.decision import Decision, decode_decision
from risk.domain.event import AnyEvent, is_scored
from risk.policy import EXPLORED
from risk.simulator.world import World
from streams.importer.send import send_events
from streams.reader import new_consumer, read_range
from streams.shadow_reader import shadow_records
from streams.topics import Topics
from tests.support.small_model import START_MS, small_bundle
from tests.support.worker_process import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]
WORLD = "retraining"
ASKED = ("--world", WORLD, "--label-delay-days", "3")
SHARE = 0.05
FOLLOWED_S = 15.0  # `weir bench swap` holds a quiet machine to 5 s
SERVED_S = 60.0


class Place:
    """A world on real parts: a worker, and the command line."""

    def __init__(self, home: Path, parts: dict[str, str]) -> None:
        self.home, self._parts = home, parts
        self._topics = Topics(WORLD)
        names = {f"WEIR_{name.upper()}": address for name, address in parts.items()}
        self._environment = {**names, "WEIR_HOME": str(home), "WEIR_WORLD": WORLD}

    async def run(self, *words: str) -> dict[str, Any]:
        """The report of a command, in a thread: it makes an event loop of its own."""
        app = typer.Typer()
        for each in (drift, retrain, versions):
            each.register(app)
        report = self.home / "report.json"
        command = [*words, "--report", str(report)]
        result = await asyncio.to_thread(CliRunner().invoke, app, command, env=self._environment)
        assert result.exit_code == 0, (result.output, result.exception)
        found: dict[str, Any] = json.loads(report.read_text())
        return found

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[WorkerProcess]:
        kafka, redis, mlflow = (self._parts[name] for name in ("kafka", "redis", "mlflow"))
        process = WorkerProcess(self.home, "0", kafka, redis, mlflow=mlflow, world=WORLD)
        try:
            assert await process.until_ready(), process.said()
            yield process
        finally:
            await process.end(signal.SIGTERM)

    async def serve(self, events: list[AnyEvent]) -> list[Decision]:
        """Send ``events`` and wait until each payment has its decision."""
        await send_events(events, WORLD, self._parts["kafka"], SystemClock())
        wanted = {event.id for event in events if is_scored(event)}
        async with asyncio.timeout(SERVED_S):
            while True:
                mine = [one for one in await self.decisions() if one.payment_id in wanted]
                if len({one.payment_id for one in mine}) == len(wanted):
                    return mine
                await asyncio.sleep(0.5)

    async def decisions(self) -> list[Decision]:
        """What has been published until now."""
        consumer = new_consumer(self._parts["kafka"], fetch_bytes=1024 * 1024)
        await consumer.start()
        try:
            places = [TopicPartition(self._topics.decisions, number) for number in range(8)]
            return [
                decode_decision(record.value)
                for place, end in (await consumer.end_offsets(places)).items()
                async for record in read_range(consumer, place, 0, end)
                if record.value
            ]
        finally:
            await consumer.stop()

    async def shadowed(self) -> list[bytes]:
        """What the challenger has scored, once there is any."""
        async with asyncio.timeout(FOLLOWED_S):
            while not (found := await shadow_records(self._parts["kafka"], self._topics, 0)):
                await asyncio.sleep(0.2)
        return found


async def test_what_was_served_ends_in_the_shadow_and_never_live(
    tmp_path: Path, kafka: str, redis_url: str, mlflow_url: str
) -> None:
    place = Place(tmp_path, {"kafka": kafka, "redis": redis_url, "mlflow": mlflow_url})
    keys = ModelKeys(keys_folder(tmp_path))
    registry = Registry(mlflow_url, model_name(WORLD), keys)
    live = registry.publish(small_bundle(), {}, alias=CHAMPION)
    champion = small_bundle().model_digest
    policy = tmp_path / "policy.json"
    policy.write_text(
        json.dumps(
            {"review_at": 0.005, "explore_share": SHARE, "explore_amount_max_minor": 100_000}
        )
    )
    await place.run(
        "versions", "publish", "policy", str(policy), "--as", "ann", "--reason", "learn"
    )
    events = list(World(8, 80, START_MS, fraud_share=0.1).events(21.0))
    cut = next(
        number for number, event in enumerate(events)
        if event.occurred_at_ms > START_MS + 20 * 86_400_000
    )  # fmt: skip
    async with place.worker() as worker:
        served = await place.serve(events[:cut])
        assert Counter(one.evidence.digests.model for one in served if one.evidence).keys() == {
            champion
        }
        explored = [one for one in served if any(r.code == EXPLORED for r in one.reasons)]

        found = await place.run("performance", *ASKED)
        assert (found["served"], found["n"]) == (True, len(served))
        assert found["data"]["certificate"]["verdict"] == "equal"
        found = await place.run("performance", "--unbiased", *ASKED)
        assert found["explored"] == len(explored) > 0
        assert found["stand_for"] == pytest.approx((found["explored"] - found["immature"]) / SHARE)

        found = await place.run("retrain", "--no-tune", *ASKED)
        async with asyncio.timeout(FOLLOWED_S):
            while f'"alias": "challenger", "version": "{found["version"]}"' not in worker.said():
                await asyncio.sleep(0.1)
        assert found["alias"] == "challenger"
        assert found["champion"]["model_digest"] == champion
        assert [(one.version, one.state) for one in registry.versions()] == [
            (found["version"], "shadow"), (live, "live"),
        ]  # fmt: skip

        later = await place.serve(events[cut:])
        assert {one.evidence.digests.model for one in later if one.evidence} == {champion}
        assert all(found["model_digest"].encode() in body for body in await place.shadowed())
