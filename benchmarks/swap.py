"""`weir bench swap`: another model takes over under load, through a real worker and MLflow.

    weir bench swap --rate 100 --seconds 40 --report swap.json

A client sends payments by a clock. Half-way the alias `champion` moves to another version, which
the worker must fetch, check and serve without a restart. Exit code 1 where a payment got no
decision, where the worker followed later than 5 s, or where p99 during the swap is above twice
that before. Report keys: rate_per_s, payments, unanswered, lost, doubled, by_model (old, new,
other), before, during and after (payments, p50,
p99, max; milliseconds), p99_ratio, followed_s (from the alias to the first decision by the new
model), mixed_s (from that one to the last by the old), models, passed, machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from numpy.typing import NDArray

from benchmarks import common, common_parts
from benchmarks.common_parts import Parts
from benchmarks.stream_contest import ended, running_workers, wait_ready
from benchmarks.stream_latency import LEAD_S, WARM_UP_S, Latencies
from benchmarks.stream_open_loop import Pace, load_of, run_client
from benchmarks.stream_scene import Scene, Scenes, Size
from models.names import CHAMPION, model_name
from models.registry import Registry
from models.signature import ModelKeys, keys_folder
from risk.domain.clock import SystemClock
from risk.domain.errors import Unavailable
from risk.local.mlflow import MlflowServer

FOLLOWED_S_MAX: Final = 5.0
P99_RATIO_MAX: Final = 2.0
SWAP_S: Final = 6.0  # what counts as during: the look, the fetch, the check, the change
WORLD: Final = "swap"
TREES: Final = (300, 200)


class _Digests(msgspec.Struct):
    model: str = ""


class _Evidence(msgspec.Struct):
    digests: _Digests


class _Answer(msgspec.Struct):
    payment_id: str
    evidence: _Evidence


def swap(
    report: Annotated[Path | None, typer.Option(help="Write the report there, as JSON.")] = None,
    rate: Annotated[float, typer.Option(min=1.0, help="Payments a second.")] = 100.0,
    seconds: Annotated[float, typer.Option(min=20.0, help="Of payments; half-way the swap.")] = 40,
    quick: Annotated[bool, typer.Option(help="Small models: does it run?")] = False,
) -> None:
    """Swap the model under load and measure what payments notice."""
    machine = common.machine()
    old, new = (common_parts.model(trees, quick=quick) for trees in TREES)
    pace = Pace(rate, seconds)
    with _with_mlflow() as parts:
        registry = Registry(
            parts.settings.mlflow, model_name(WORLD), ModelKeys(keys_folder(parts.settings.state))
        )
        registry.publish(old, {"trees": str(TREES[0])}, alias=CHAMPION)
        version = registry.publish(new, {"trees": str(TREES[1])}, alias=None)
        scene = Scenes(parts, old, Size(pace.payments)).make(WORLD, 1)
        with running_workers(scene, 1) as (workers, _pages):
            wait_ready(scene, workers)
            found, moved = _under_load(scene, pace, registry, version)
            if reason := ended(workers)():
                raise Unavailable("worker", reason)
        answers = asyncio.run(_answers(scene))
    digests = (old.model_digest, new.model_digest)
    content = {
        "rate_per_s": rate, **_noticed(found, moved[0]),
        **_followed(scene, answers, moved, digests),
        "models": list(digests), "machine": machine,
    }  # fmt: skip
    content["passed"] = _passed(content)
    common.write_report(report, content)
    print(msgspec.json.format(msgspec.json.encode(content)).decode())
    if not content["passed"]:
        raise typer.Exit(1)


@contextmanager
def _with_mlflow() -> Iterator[Parts]:
    """Kafka, Redis and MLflow of our own."""
    with common_parts.parts() as parts:
        home = parts.settings.state
        mlflow = MlflowServer(home / "mlflow", home / "logs" / "mlflow.log")
        try:
            mlflow.start()
            settings = parts.settings.model_copy(update={"mlflow": mlflow.url})
            yield replace(parts, settings=settings)
        finally:
            mlflow.stop()


def _under_load(
    scene: Scene, pace: Pace, registry: Registry, version: str
) -> tuple[Latencies, tuple[float, int]]:
    """What the client measured, and when the alias moved: monotonic seconds, and Unix time."""
    clock = SystemClock()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_client, scene, pace, load_of(scene, pace))
        began = scene.settings.state / "latency" / "began"
        while not began.exists() and not running.done():
            time.sleep(0.05)
        time.sleep(LEAD_S + WARM_UP_S + pace.seconds / 2)
        moved = (clock.monotonic_s(), clock.now_ms())
        registry.point(CHAMPION, version)
        return running.result(), moved


def _noticed(found: Latencies, moved_s: float) -> dict[str, Any]:
    """Latencies before, during and after the swap."""
    values, due = np.array(found.values_ms), np.array(found.due_s)
    before, after = due < moved_s, due >= moved_s + SWAP_S
    parts = {"before": before, "during": ~before & ~after, "after": after}
    told: dict[str, Any] = {name: _shares(values[mask]) for name, mask in parts.items()}
    return {
        "payments": found.sent,
        "unanswered": found.unanswered,
        **told,
        "p99_ratio": round(told["during"]["p99"] / told["before"]["p99"], 2),
    }


def _shares(values: NDArray[np.float64]) -> dict[str, Any]:
    if len(values) == 0:
        raise Unavailable("client", "measured nothing in one of the three parts; take more time")
    p50, p99 = np.quantile(values, (0.5, 0.99))
    return {
        "payments": len(values),
        "p50": round(float(p50), 2),
        "p99": round(float(p99), 2),
        "max": round(float(values.max()), 2),
    }


def _followed(
    scene: Scene,
    answers: list[tuple[int, str, str]],
    moved: tuple[float, int],
    digests: tuple[str, str],
) -> dict[str, Any]:
    """What the decisions themselves say; ``answers`` are (time, payment, model), by time."""
    seen = [payment for _, payment, _ in answers]
    old = [at_ms for at_ms, _, model in answers if model == digests[0]]
    new = [at_ms for at_ms, _, model in answers if model == digests[1]]
    return {
        "lost": len(set(scene.ids) - set(seen)),
        "doubled": len(seen) - len(set(seen)),
        "by_model": {"old": len(old), "new": len(new), "other": len(seen) - len(old) - len(new)},
        "followed_s": round((new[0] - moved[1]) / 1000, 2) if new else None,
        "mixed_s": round(max(0, old[-1] - new[0]) / 1000, 2) if old and new else None,
    }


async def _answers(scene: Scene) -> list[tuple[int, str, str]]:
    """Every decision that was published."""
    topic = scene.topics.decisions
    consumer = AIOKafkaConsumer(bootstrap_servers=scene.settings.kafka, enable_auto_commit=False)
    decoder = msgspec.json.Decoder(_Answer)
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(scene.size.partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, 0)
        found: list[tuple[int, str, str]] = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                for record in records:
                    if record.value is None:  # a mark, no decision
                        continue
                    answer = decoder.decode(record.value)
                    found.append(
                        (record.timestamp, answer.payment_id, answer.evidence.digests.model)
                    )
        return sorted(found)
    finally:
        await consumer.stop()


def _passed(content: dict[str, Any]) -> bool:
    followed = content["followed_s"]
    return (
        content["lost"] == content["unanswered"] == 0
        and followed is not None
        and followed <= FOLLOWED_S_MAX
        and content["p99_ratio"] <= P99_RATIO_MAX
    )


if __name__ == "__main__":
    common.run(swap)
