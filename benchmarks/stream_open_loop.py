"""Latency from produce to decision, at a fixed rate, through one warm worker."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Any

import msgspec

from benchmarks.common import ROOT
from benchmarks.stream_contest import ended, make_topic, running_workers, wait_ready
from benchmarks.stream_latency import ANSWERED_WITHIN_S, WARM_UP_S, Latencies, Load
from benchmarks.stream_scene import Scene
from risk.domain.errors import Unavailable
from risk.local.process import Child, Command, log_tail
from risk.local.services import service_environment

SLACK_S = 30.0
FLOOR_S = 5.0


@dataclass(frozen=True, slots=True)
class Pace:
    """``rate`` payments a second for ``seconds``, besides the warm-up."""

    rate: float
    seconds: float

    @property
    def payments(self) -> int:
        """How many a scene needs."""
        return int(self.rate * (self.seconds + WARM_UP_S))


def latency(scene: Scene, pace: Pace) -> dict[str, Any]:
    """Keys: rate_per_s, p50, p99, p999 and max (milliseconds), payments, unanswered, and
    ``floor``: the same client and rate when it listens to the topic that it sends to.

    Raises Unavailable where the worker or the client ends.
    """
    calm = Pace(pace.rate, min(FLOOR_S, pace.seconds))
    floor = run_client(scene, calm, _floor(scene, calm))
    with running_workers(scene, 1) as (workers, _pages):
        wait_ready(scene, workers)
        found = run_client(scene, pace, load_of(scene, pace))
        if reason := ended(workers)():
            raise Unavailable("worker", reason)
    return _summary(found, pace) | {"floor": _percentiles(floor)}


def load_of(scene: Scene, pace: Pace) -> Load:
    """All payments of ``scene`` at the rate of ``pace``, and the decisions that answer them."""
    return Load(
        kafka=scene.settings.kafka,
        send_to=scene.topics.events,
        listen_to=scene.topics.decisions,
        rate=pace.rate,
        events=scene.bodies,
        answers=[f"main:{identity}".encode() for identity in scene.ids],
    )


def _floor(scene: Scene, pace: Pace) -> Load:
    topic = f"bench.{scene.topics.world}-floor"
    asyncio.run(make_topic(scene.settings.kafka, topic, scene.size.partitions))
    whole = load_of(scene, pace)
    bodies = [body for _, body in whole.events]
    events = list(zip(whole.answers, bodies, strict=True))[: pace.payments]
    answers = whole.answers[: pace.payments]
    return msgspec.structs.replace(
        whole, send_to=topic, listen_to=topic, events=events, answers=answers
    )


def run_client(scene: Scene, pace: Pace, load: Load) -> Latencies:
    """Run the client; it touches ``latency/began`` of the state folder when it begins.

    Raises Unavailable where it fails.
    """
    folder = scene.settings.state / "latency"
    folder.mkdir(parents=True, exist_ok=True)
    given, answer, log = folder / "load", folder / "answer", folder / "client.log"
    given.write_bytes(msgspec.msgpack.encode(load))
    environment = service_environment(scene.settings) | {"PYTHONPATH": str(ROOT)}
    argv = (sys.executable, "-m", "benchmarks.stream_latency", str(given), str(answer))
    client = Child.start(Command("client", argv, log, environment))
    try:
        code = client.wait(pace.seconds + WARM_UP_S + ANSWERED_WITHIN_S + SLACK_S)
    finally:
        client.kill()
    if code != 0:
        raise Unavailable("client", f"ended with {code}: {log_tail(log)}")
    return msgspec.msgpack.decode(answer.read_bytes(), type=Latencies)


def _percentiles(found: Latencies) -> dict[str, float | None]:
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    return {name: found.percentile(share) for name, share in shares.items()}


def _summary(found: Latencies, pace: Pace) -> dict[str, Any]:
    return {
        "rate_per_s": pace.rate,
        **_percentiles(found),
        "max": round(max(found.values_ms), 2) if found.values_ms else None,
        "payments": len(found.values_ms),
        "unanswered": found.unanswered,
    }
