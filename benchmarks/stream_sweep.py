"""How the cost of a payment grows with one thing at a time, the rest as in the comparison."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.common import say, show
from benchmarks.common_parts import Parts, model
from benchmarks.stream_contest import Contest, Found, Terms
from benchmarks.stream_scene import Scenes, Size, send_all
from benchmarks.stream_variant import partitions

TREES: Final = 300


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement: ``what`` has ``value``."""

    what: str
    value: int
    size: Size
    trees: int = TREES
    workers: int = 1


def steps(size: Size) -> Iterator[Step]:
    """What is swept, in the order of the report."""
    people = size.accounts
    yield Step("records", 10, replace(size, longest=10))
    yield Step("records", 72, size)
    # Fewer people with a longer past each, so that every log is full.
    yield Step("records", 256, replace(size, accounts=people // 5, per_account=400.0, longest=256))
    for entities in (2, 5):
        yield Step("entities", entities, replace(size, entities=entities))
    for rules in (10, 30, 100):
        yield Step("rules", rules, replace(size, rules=rules))
    for trees in (100, 300, 600):
        yield Step("trees", trees, size, trees=trees)
    for count in (1, 8, 32):
        yield Step("partitions", count, replace(size, partitions=count))
    for workers in (1, 2):
        yield Step("workers", workers, size, workers=workers)


def sweep(running: Parts, seconds: float, size: Size, *, quick: bool) -> list[dict[str, Any]]:
    """One row a step: what, value, weir_per_s, cpu_us_per_decision, redis_us_per_decision,
    tail_records, stages_us. Each step is measured once.
    """
    rows = []
    for number, step in enumerate(steps(size)):
        found = _measure(running, seconds, step, number, quick)
        rows.append(
            {
                "what": step.what,
                "value": step.value,
                "weir_per_s": round(found.steady.per_s),
                "cpu_us_per_decision": found.cpu_us,
                "redis_us_per_decision": found.steady.us("redis"),
                "tail_records": found.answers.tail_records,
                "stages_us": found.stages_us,
            }
        )
        say(f"{step.what} {step.value}: {found.steady.per_s:,.0f}/s, {found.cpu_us:,.0f} us of CPU")
    columns = ("what", "value", "weir_per_s", "cpu_us_per_decision", "tail_records")
    show("One thing at a time", columns, [[row[name] for name in columns] for row in rows])
    return rows


def _measure(running: Parts, seconds: float, step: Step, number: int, quick: bool) -> Found:
    bundle = model(step.trees, quick=quick)
    changed = partitions(step.size.partitions) if step.size.partitions != 8 else nullcontext()
    with changed:
        scene = Scenes(running, bundle, step.size).make(f"sweep-{number}", 200 + number)
        if step.workers == 1:
            asyncio.run(send_all(scene))
        contest = Contest(running, seconds, Path(), Terms())
        return contest.run("weir", scene, step.workers)
