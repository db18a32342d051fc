"""The contestants of the stream benchmark: how each is started and what is measured of it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.common import ROOT
from benchmarks.common_parts import Parts, busy_s, cpu_s
from benchmarks.stream_answers import Answers, read_answers
from benchmarks.stream_measure import (
    Contestant,
    Look,
    Probe,
    Steady,
    TopicEnd,
    Window,
    by_file,
    measure,
    stage_seconds,
)
from benchmarks.stream_scene import Scene, Size, send_all, set_fsync
from benchmarks.stream_variant import PARTITIONS, RULES
from risk.domain.clock import SystemClock
from risk.domain.errors import Unavailable
from risk.local import ports
from risk.local.process import Child, Command, log_tail
from risk.local.services import STOP_S, log_of, service_environment

READY_S: Final = 90.0
STAGE: Final = "stage."
OTHERS: Final = "others"
SHIPPED: Final = Size(0)


@dataclass(frozen=True, slots=True)
class Found:
    """What one contestant did in one round; ``answers`` are Weir's decisions, read back."""

    steady: Steady
    workers: int = 1
    answers: Answers = field(default_factory=Answers)

    @property
    def cpu_us(self) -> float:
        """CPU of all its processes for each event."""
        return round(sum(self.steady.us(f"worker-{slot}") for slot in range(self.workers)), 1)

    @property
    def others_cores(self) -> float:
        """How many cores other programs of the machine kept busy meanwhile."""
        return round(max(0.0, self.steady.used_s[OTHERS] / self.steady.seconds), 2)

    @property
    def stages_us(self) -> dict[str, float]:
        """Time in each stage for each decision, waiting included; of all workers together."""
        names = [name for name in self.steady.used_s if name.startswith(STAGE)]
        return {name.removeprefix(STAGE): self.steady.us(name) for name in names}


@dataclass(frozen=True, slots=True)
class Terms:
    """What they run on: the Python that has Quix Streams, vanilla Faust's loop, Weir's fsync."""

    quix: Path | None = None
    loop: str = "uvloop"
    fsync: str = "always"


class Contest:
    """Runs one contestant at a time on a scene."""

    def __init__(self, parts: Parts, seconds: float, model: Path, terms: Terms) -> None:
        """``model`` is LightGBM's text."""
        self._parts = parts
        self._seconds = seconds
        self._model = model
        self._terms = terms
        self._clock = SystemClock()
        self._folder = parts.settings.state / "contest"
        self._folder.mkdir(parents=True, exist_ok=True)

    def run(self, name: str, scene: Scene, workers: int = 1) -> Found:
        """Measure ``name``: noop, send, quix, usual or weir. Raises Unavailable.

        The payments of ``scene`` must be in the topic; with several workers they must not:
        they are sent when all partitions have their worker.
        """
        set_fsync(self._parts.redis.url, "everysec" if name == "usual" else self._terms.fsync)
        try:
            if name == "weir":
                return asyncio.run(self._weir(scene, workers))
            return Found(asyncio.run(self._other(name, scene)))
        except Unavailable as problem:
            raise Unavailable(name, f"{problem}; {self._last_words(name, scene)}") from None

    async def _weir(self, scene: Scene, workers: int) -> Found:
        decisions, partitions = scene.topics.decisions, scene.size.partitions
        with running_workers(scene, workers) as (children, pages):
            pids = {f"worker-{slot}": child.pid for slot, child in enumerate(children)}
            async with TopicEnd(scene.settings.kafka, decisions, partitions, self._clock) as end:
                if workers > 1:
                    await asyncio.to_thread(wait_ready, scene, children)
                    await send_all(scene)
                watched = Contestant(end.look, self._probe(pids, pages), ended(children))
                steady = await measure(watched, self._window(scene), self._clock)
        return Found(steady, workers, await read_answers(scene, partitions))

    async def _other(self, name: str, scene: Scene) -> Steady:
        group = f"{scene.topics.world}-{name}"
        output = f"bench.{group}"
        kafka = scene.settings.kafka
        partitions = scene.size.partitions
        await make_topic(kafka, output, partitions)
        child = Child.start(self._command(name, scene, group, output))
        try:
            async with TopicEnd(kafka, output, partitions, self._clock) as end:
                silent = name in ("noop", "quix")
                look: Look = by_file(self._folder / f"{group}.count") if silent else end.look
                watched = Contestant(look, self._probe({"worker-0": child.pid}), ended([child]))
                return await measure(watched, self._window(scene), self._clock)
        finally:
            # Its group is never used again, so nobody waits for it to leave.
            child.kill()

    def _command(self, name: str, scene: Scene, group: str, output: str) -> Command:
        kafka, topic = scene.settings.kafka, scene.topics.events
        options = ["--kafka", kafka, "--topic", topic, "--group", group]
        options += ["--folder", str(self._folder)]
        if name == "quix":
            program = [str(self._terms.quix), str(ROOT / "benchmarks" / "rivals" / "quix.py")]
        else:
            program = [sys.executable, "-m", "benchmarks.stream_agents", name]
            options += ["--output", output, "--model", str(self._model)]
            options += ["--loop", self._terms.loop]
        environment = service_environment(scene.settings) | {"PYTHONPATH": str(ROOT)}
        if name == "quix":
            del environment["PYTHONPATH"]
        return Command(
            name, (*program, *options), self._folder / f"{group}.log", environment, stop_s=5.0
        )

    def _last_words(self, name: str, scene: Scene) -> str:
        if name == "weir":
            return log_tail(log_of("worker-0", scene.settings.state))
        return log_tail(self._folder / f"{scene.topics.world}-{name}.log")

    def _window(self, scene: Scene) -> Window:
        return Window(self._seconds, scene.total)

    def _probe(self, pids: Mapping[str, int], pages: Sequence[str] = ()) -> Probe:
        watched = {**pids, "redis": self._parts.redis.pid, "kafka": self._parts.kafka.pid}

        async def probe() -> dict[str, float]:
            totals = {name: cpu_s(pid) for name, pid in watched.items()}
            # Ours is what this process and all that it watches use; the rest is others' work.
            totals[OTHERS] = busy_s() - sum(totals.values()) - cpu_s(os.getpid())
            for page in pages:
                for stage, seconds in (await stage_seconds(page)).items():
                    totals[STAGE + stage] = totals.get(STAGE + stage, 0.0) + seconds
            return totals

        return probe


@contextmanager
def running_workers(scene: Scene, workers: int) -> Iterator[tuple[list[Child], list[str]]]:
    """``weir worker`` processes as ``weir run`` starts them, with their metrics pages."""
    children: list[Child] = []
    pages: list[str] = []
    try:
        for slot in range(workers):
            port = ports.pick()
            children.append(_start_worker(scene, slot, port))
            pages.append(f"http://{ports.HOST}:{port}")
        yield children, pages
    finally:
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.stop()


def _start_worker(scene: Scene, slot: int, port: int) -> Child:
    settings, size, name = scene.settings, scene.size, f"worker-{slot}"
    (settings.state / "ready" / name).unlink(missing_ok=True)
    environment = service_environment(settings) | {"WEIR_METRICS_PORT": str(port)}
    program = ("risk.cli",)
    if (size.rules, size.partitions) != (SHIPPED.rules, SHIPPED.partitions):
        program = ("benchmarks.stream_variant",)
        environment |= {
            "PYTHONPATH": str(ROOT),
            RULES: str(size.rules),
            PARTITIONS: str(size.partitions),
        }
    argv = (sys.executable, "-m", *program, "worker", "--slot", str(slot))
    return Child.start(
        Command(name, argv, log_of(name, settings.state), environment, stop_s=STOP_S)
    )


def wait_ready(scene: Scene, children: Sequence[Child]) -> None:
    """Until every worker has partitions. Raises Unavailable."""
    for child in children:
        ready = scene.settings.state / "ready" / child.command.name
        child.wait_ready(ready.exists, READY_S)


def ended(children: Sequence[Child]) -> Callable[[], str | None]:
    """Says which of the processes has ended, and with what last words."""

    def reason() -> str | None:
        for child in children:
            if not child.running:
                last = log_tail(child.command.log)
                return f"{child.command.name} ended with code {child.exit_code}: {last}"
        return None

    return reason


async def make_topic(kafka: str, name: str, partitions: int) -> None:
    """A topic for a contestant's answers."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()
