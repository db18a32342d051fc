"""`weir bench stream`: the whole way of a payment, against what does less of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from benchmarks.common import Series, interleaved, machine, run, say, show, write_report
from benchmarks.common_parts import Parts, model, parts
from benchmarks.common_rivals import rivals_python
from benchmarks.stream_contest import Contest, Found, Terms
from benchmarks.stream_open_loop import Pace, latency
from benchmarks.stream_scene import Scenes, Size, send_all
from models.bundle import Bundle
from risk.domain.errors import BadConfiguration

CONTESTANTS: Final = ("noop", "send", "quix", "usual", "weir")
AGAINST: Final = ("noop", "send", "usual", "quix")
LATENCY_RATE: Final = 500.0
DISTURBED_CORES: Final = 0.2  # more than this, and the numbers are not to be trusted
QUICK_ACCOUNTS: Final = 1_000


class Loop(StrEnum):
    """The event loop of the vanilla Faust agents: the faster one, or Faust's default."""

    UVLOOP = "uvloop"
    ASYNCIO = "asyncio"


class Fsync(StrEnum):
    """How often Redis syncs its file: Weir's own setting is the first."""

    ALWAYS = "always"
    EVERYSEC = "everysec"


class Job:
    """One run of the benchmark on running parts."""

    def __init__(self, running: Parts, bundle: Bundle, seconds: float, terms: Terms) -> None:
        self._running = running
        self._bundle = bundle
        text = running.settings.state / "model.txt"
        text.write_bytes(bundle.files["model.txt"])
        self._contest = Contest(running, seconds, text, terms)
        self.found: dict[str, list[Found]] = defaultdict(list)
        self.latency_ms: dict[str, Any] = {}

    def compare(self, names: tuple[str, ...], rounds: int, size: Size) -> None:
        """Every contestant once a round, on the same bytes."""
        scenes = Scenes(self._running, self._bundle, size)
        scene, made = None, -1
        for number, name in interleaved(names, rounds):
            if scene is None or number != made:
                scene, made = scenes.make(f"bench-{number}", number), number
                asyncio.run(send_all(scene))
            self._note(name, self._contest.run(name, scene), f"round {number + 1}")

    def two_workers(self, rounds: int, size: Size) -> None:
        """Two processes on one group; measured when both have their partitions."""
        for number in range(rounds):
            scene = Scenes(self._running, self._bundle, size).make(f"pair-{number}", 50 + number)
            found = self._contest.run("weir", scene, workers=2)
            self._note("two_workers", found, f"round {number + 1}")

    def open_loop(self, pace: Pace, size: Size) -> None:
        """Latency at a fixed rate."""
        scene = Scenes(self._running, self._bundle, size).make("latency", 99)
        self.latency_ms = latency(scene, pace)
        say(f"latency at {pace.rate:g}/s: {self.latency_ms}")

    def _note(self, name: str, one: Found, where: str) -> None:
        self.found[name].append(one)
        steady = one.steady
        others = one.others_cores
        disturbed = f"; others kept {others} cores busy" if others > DISTURBED_CORES else ""
        rate = f"{steady.per_s:,.0f}/s, {one.cpu_us:,.0f} us of CPU each"
        say(f"{where}: {name} {rate}{disturbed}")

    def report(self) -> dict[str, Any]:
        """The keys that ``docs/performance.md`` explains."""
        rate, cpu = Series(), Series()
        for name, ones in self.found.items():
            for one in ones:
                rate.add(name, one.steady.per_s)
                cpu.add(name, one.cpu_us)
        names = [*CONTESTANTS, *(name for name in self.found if name not in CONTESTANTS)]
        weir = self.found.get("weir", [])
        return {
            **{f"{name}_per_s": _whole(rate.median(name)) for name in names},
            "ranges": {f"{name}_per_s": _span(rate, name) for name in names if name in self.found},
            **{f"ratio_{other}": rate.ratio("weir", other) for other in AGAINST},
            "ratio_ranges": {f"ratio_{other}": rate.ratios("weir", other) for other in AGAINST},
            **({"scale": rate.ratio("two_workers", "weir")} if "two_workers" in self.found else {}),
            "cpu_us_per_decision": cpu.median("weir"),
            "cpu_us": {name: cpu.median(name) for name in names if name in self.found},
            "others_cores": {
                name: [one.others_cores for one in ones] for name, ones in self.found.items()
            },
            "redis_us_per_decision": _median([one.steady.us("redis") for one in weir]),
            "kafka_us_per_decision": _median([one.steady.us("kafka") for one in weir]),
            "stages_us": _stages(weir),
            "tail_records": _median([one.answers.tail_records for one in weir]),
            "entities": _median([one.answers.entities for one in weir]),
            "outcomes": weir[-1].answers.outcomes if weir else {},
            "latency_ms": self.latency_ms,
        }


def stream(
    report: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
    seconds: Annotated[float, typer.Option(help="How long each is measured, at most.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    payments: Annotated[int, typer.Option(min=1_000, help="In the topic, each round.")] = 120_000,
    workers: Annotated[int, typer.Option(min=1, max=2, help="2: also two workers.")] = 1,
    latency_seconds: Annotated[float, typer.Option(help="At 500/s; 0: not measured.")] = 30.0,
    only: Annotated[str, typer.Option(help="Contestants, with commas.")] = ",".join(CONTESTANTS),
    loop: Annotated[Loop, typer.Option(help="Of the vanilla Faust agents.")] = Loop.UVLOOP,
    fsync: Annotated[Fsync, typer.Option(help="Of Redis under Weir.")] = Fsync.ALWAYS,
    sweep: Annotated[bool, typer.Option("--sweep", help="Also: what makes it dearer.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Small: a look, no measurement.")] = False,
) -> None:
    """Payments from Kafka to decisions, against vanilla Faust and Quix Streams.

    Report keys: see "How it is measured" in docs/performance.md.
    """
    names = tuple(filter(None, only.split(",")))
    unknown = set(names) - set(CONTESTANTS)
    if unknown:
        raise BadConfiguration(f"--only {only}: choose of {', '.join(CONTESTANTS)}")
    before = machine()
    accounts = QUICK_ACCOUNTS if quick else Size(0).accounts
    size = Size(payments, accounts)
    bundle = model(quick=quick)
    quix = rivals_python() if "quix" in names else None
    terms = Terms(quix, loop.value, fsync.value)
    with parts() as running:
        job = Job(running, bundle, seconds, terms)
        job.compare(names, rounds, size)
        if workers > 1:
            job.two_workers(rounds, size)
        if latency_seconds and "weir" in names:
            pace = Pace(LATENCY_RATE, latency_seconds)
            job.open_loop(pace, Size(pace.payments, accounts))
        found = job.report()
        if sweep:
            from benchmarks.stream_sweep import sweep as run_sweep

            found["sweep"] = run_sweep(running, seconds, size, quick=quick)
    settings = {
        "rounds": rounds,
        "seconds": seconds,
        "payments": payments,
        "quick": quick,
        "vanilla_loop": loop.value,
        "fsync": fsync.value,
    }
    whole = {**found, "settings": settings, "machine": before}
    write_report(report, whole)
    _print(whole)


def _print(found: dict[str, Any]) -> None:
    contestants = []
    for name, span in found["ranges"].items():
        short = name.removesuffix("_per_s")
        ratio = found.get(f"ratio_{short}")
        low_high = f"{span[0]:,}-{span[1]:,}"
        contestants.append((short, found[name], low_high, found["cpu_us"][short], ratio))
    show(
        "Events a second: median, range, CPU of the process (us each), Weir / this",
        ("contestant", "per s", "range", "cpu us", "ratio"),
        contestants,
    )
    parts_us = [(stage, value) for stage, value in found["stages_us"].items()]
    parts_us += [(f"{name} (CPU)", found[f"{name}_us_per_decision"]) for name in ("redis", "kafka")]
    show("Weir, us for each decision (stages: waiting included)", ("part", "us"), parts_us)
    if found["latency_ms"]:
        whole = found["latency_ms"]
        floor = whole["floor"]
        row = {name: value for name, value in whole.items() if name != "floor"}
        show("Produce to decision, ms", tuple(row), [tuple(row.values())])
        say(f"the client alone: p50 {floor['p50']} ms, p99 {floor['p99']} ms")


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _span(rate: Series, name: str) -> list[int]:
    return [round(value) for value in rate.span(name) or []]


def _median(values: list[float]) -> float | None:
    series = Series({"": values} if values else {})
    found = series.median("")
    return None if found is None else round(found, 1)


def _stages(weir: list[Found]) -> dict[str, float | None]:
    names = {stage: None for one in weir for stage in one.stages_us}
    return {name: _median([one.stages_us.get(name, 0.0) for one in weir]) for name in names}


if __name__ == "__main__":
    run(stream)
