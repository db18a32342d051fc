"""Latency from produce to decision, at a fixed rate, through one warm worker."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import msgspec

from benchmarks.common import ROOT
from benchmarks.stream_contest import ended, running_workers, wait_ready
from benchmarks.stream_latency import ANSWERED_WITHIN_S, WARM_UP_S, Latencies, Load
from benchmarks.stream_scene import Scene
from risk.domain.errors import Unavailable
from risk.local.process import Child, Command, log_tail
from risk.local.services import service_environment

SLACK_S = 30.0


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
    """Keys: rate_per_s, p50, p99, p999 and max (milliseconds), payments, unanswered.

    Raises Unavailable where the worker or the client ends.
    """
    folder = scene.settings.state / "latency"
    folder.mkdir(parents=True, exist_ok=True)
    given, answer = folder / "load", folder / "answer"
    load = Load(
        kafka=scene.settings.kafka,
        world=scene.topics.world,
        rate=pace.rate,
        events=scene.bodies,
        ids=scene.ids,
    )
    given.write_bytes(msgspec.msgpack.encode(load))
    environment = service_environment(scene.settings) | {"PYTHONPATH": str(ROOT)}
    argv = (sys.executable, "-m", "benchmarks.stream_latency", str(given), str(answer))
    with running_workers(scene, 1) as (workers, _pages):
        wait_ready(scene, workers)
        client = Child.start(Command("client", argv, folder / "client.log", environment))
        try:
            code = client.wait(pace.seconds + WARM_UP_S + ANSWERED_WITHIN_S + SLACK_S)
        finally:
            client.kill()
        if reason := ended(workers)():
            raise Unavailable("worker", reason)
    if code != 0:
        raise Unavailable("client", f"ended with {code}: {log_tail(folder / 'client.log')}")
    return _summary(msgspec.msgpack.decode(answer.read_bytes(), type=Latencies), pace)


def _summary(found: Latencies, pace: Pace) -> dict[str, Any]:
    return {
        "rate_per_s": pace.rate,
        "p50": found.percentile(0.5),
        "p99": found.percentile(0.99),
        "p999": found.percentile(0.999),
        "max": round(max(found.values_ms), 2) if found.values_ms else None,
        "payments": len(found.values_ms),
        "unanswered": found.unanswered,
    }
