"""The work of `weir simulate`: a world passes into a file or Kafka, and is summed up."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from rich.console import Console
from rich.table import Table

from risk.cli.progress import stages
from risk.domain import limits
from risk.domain.clock import SystemClock
from risk.domain.errors import BadConfiguration
from risk.domain.event import AnyEvent
from risk.domain.times import parse_rfc3339, rfc3339
from risk.settings import Settings
from risk.simulator.export import check_target, replacing, truth_file, writing
from risk.simulator.seasons import DAY_MS
from risk.simulator.summary import KnownTruth, Summary, Told
from risk.simulator.world import World

HANDBOOK: Final = "handbook"
START: Final = "2025-01-01T00:00:00Z"
DAYS: Final = 30.0
ACCOUNTS: Final = 1_000
ACCOUNTS_MAX: Final = 5_000_000  # about 30 bytes each, and 2 kB for each that acts
SEED_MAX: Final = 2**63 - 1
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,31}$")
_SHOWN_EVERY: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for; None is the default of the world."""

    world: str
    seed: int
    days: float | None
    accounts: int | None
    start: str | None
    tempo: float | None
    out: Path | None
    send: bool
    force: bool


@dataclass(frozen=True, slots=True)
class Staged:
    """A world ready to play; ``extra`` are report keys of its own, asked for at the end.

    ``write_parquet``, where a world has it, writes the same rows as its events would, but faster.
    """

    events: Iterator[AnyEvent]
    truth: KnownTruth
    start_ms: int
    days: float
    accounts: int
    extra: Callable[[], dict[str, Any]] = dict
    write_parquet: Callable[[Path, Callable[[float], None]], Summary] | None = None


class _Scenarios(Protocol):
    def scenario(self, payment_id: str) -> str | None: ...


class SimulationReport(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of ``--report``. ``rejected`` are events too large for the broker."""

    world: str
    seed: int
    days: float
    accounts: int
    start: str
    events: int
    by_type: dict[str, int]
    payments: int
    frauds: int
    fraud_share: float
    scenarios: dict[str, dict[str, int | None]]
    seconds: float
    events_per_s: float
    file: str | None
    truth_file: str | None
    sent_to: str | None
    rejected: int


def run(order: Order, settings: Settings, console: Console, report: Path | None) -> None:
    """Do what was asked for; raises BadConfiguration, naming the option and the fix."""
    _check(order)
    if report is not None and not report.parent.is_dir():
        raise BadConfiguration(f"--report {report}: there is no folder {report.parent}")
    with _kafka(order, settings) as kafka:
        clock = SystemClock()
        began_s = clock.monotonic_s()
        staged = _stage(order)
        with stages(Console(stderr=True)) as say:
            summary, rejected = _play(order, staged, say, kafka)
        seconds = max(clock.monotonic_s() - began_s, 1e-9)
    found = _found(order, staged, summary, seconds, rejected)
    if report is not None:
        content = msgspec.to_builtins(found) | staged.extra()
        report.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
    _tell(found, console)


def _play(
    order: Order, staged: Staged, say: Callable[[str, float], None], kafka: str
) -> tuple[Summary, int]:
    """What was played, counted, and how many events were too large to be sent."""
    if staged.write_parquet and order.out is not None and order.out.name.endswith(".parquet"):
        with replacing(order.out) as (part,):
            return staged.write_parquet(part, lambda done: say("Simulating", done)), 0
    summary = Summary()
    told = _shown(summary.watch(staged.events, staged.truth), staged, say)
    return summary, _pass_on(order, told, kafka)


def _check(order: Order) -> None:
    if not _NAME.match(order.world):
        raise BadConfiguration(
            f"--world {order.world!r}: use 1 to 32 small letters, digits and hyphens"
        )
    if not 0 <= order.seed <= SEED_MAX:
        raise BadConfiguration(f"--seed {order.seed}: give a number from 0 to {SEED_MAX}")
    for option, number in (("--days", order.days), ("--tempo", order.tempo)):
        if number is not None and not (number > 0 and math.isfinite(number)):
            raise BadConfiguration(f"{option} {number:g}: give a number above 0")
    if order.accounts is not None and not 1 <= order.accounts <= ACCOUNTS_MAX:
        raise BadConfiguration(
            f"--accounts {order.accounts}: give a number from 1 to {ACCOUNTS_MAX}"
        )
    if order.out is None and not order.send:
        raise BadConfiguration("where to? give --out FILE, or --send to send to Kafka")
    if order.out is not None and order.send:
        raise BadConfiguration("--out and --send: give one of them; run it twice to have both")
    if order.out is not None:
        check_target(order.out, force=order.force)
    elif order.world == "live":
        raise BadConfiguration(
            "--world live: these events are history; give them a world of their own"
            " (--world NAME), or send live traffic with `weir run`"
        )


class _NoEpisodes:
    """The truth of a world whose frauds do not come in episodes."""

    def __init__(self, truth: _Scenarios) -> None:
        self._truth = truth

    def scenario(self, payment_id: str) -> str | None:
        return self._truth.scenario(payment_id)

    def episode(self, payment_id: str) -> int | None:
        return None


def _stage(order: Order) -> Staged:
    if order.world == HANDBOOK:
        return _handbook(order)
    start_ms = _start_ms(order.start or START)
    days = DAYS if order.days is None else order.days
    accounts = order.accounts or ACCOUNTS
    _check_end(start_ms, days)
    world = World(order.seed, accounts, start_ms, order.tempo or 1.0)
    events = world.events(days)
    return Staged(events, world.truth, start_ms, days, accounts)


def _start_ms(text: str) -> int:
    try:
        start_ms = parse_rfc3339(text)
    except ValueError as error:
        raise BadConfiguration(
            f"--start {text!r}: write RFC 3339, such as {START} ({error})"
        ) from None
    if start_ms < limits.TIME_MS_MIN:
        raise BadConfiguration(f"--start {text}: the year 2000 is the earliest")
    return start_ms


def _check_end(start_ms: int, days: float) -> None:
    if start_ms + days * DAY_MS >= limits.TIME_MS_MAX:
        raise BadConfiguration(f"--days {days:g}: the world would go on after the year 2099")


def _shown(
    told: Iterator[Told], staged: Staged, say: Callable[[str, float], None]
) -> Iterator[Told]:
    length_ms = staged.days * DAY_MS
    for place, one in enumerate(told):
        if place % _SHOWN_EVERY == 0:
            done = (one.event.occurred_at_ms - staged.start_ms) / length_ms
            say("Simulating", min(1.0, done))
        yield one
    say("Simulating", 1.0)


@contextmanager
def _kafka(order: Order, settings: Settings) -> Iterator[str]:
    """The broker to send to, that of the settings or one of our own; empty where none is asked."""
    if not order.send:
        yield ""
        return
    from risk.local import parts

    with parts.resolve(settings, ("kafka",), command="simulate") as ready:
        yield ready.kafka


def _pass_on(order: Order, told: Iterator[Told], kafka: str) -> int:
    """Write or send what was told; returns how many events were too large to be sent."""
    if order.out is not None:
        with writing(order.out) as writer:
            for one in told:
                writer.write(one)
        return 0
    from streams.importer.send import send_events

    events = (one.event for one in told)
    return asyncio.run(send_events(events, order.world, kafka, SystemClock()))[1]


def _found(
    order: Order, staged: Staged, summary: Summary, seconds: float, rejected: int
) -> SimulationReport:
    truth = truth_file(order.out) if order.out is not None else None
    return SimulationReport(
        world=order.world,
        seed=order.seed,
        days=staged.days,
        accounts=staged.accounts,
        start=rfc3339(staged.start_ms),
        events=summary.events,
        by_type=dict(summary.by_type.most_common()),
        payments=summary.payments,
        frauds=summary.frauds,
        fraud_share=summary.fraud_share,
        scenarios=summary.scenarios(),
        seconds=round(seconds, 3),
        events_per_s=round(summary.events / seconds, 1),
        file=str(order.out) if order.out is not None else None,
        truth_file=str(truth) if truth is not None else None,
        sent_to=f"world {order.world}" if order.send else None,
        rejected=rejected,
    )


def _tell(found: SimulationReport, console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    for kind, count in found.by_type.items():
        table.add_row(kind, f"{count:,}", f"{100 * count / found.events:.1f} % of events")
    for name, counts in found.scenarios.items():
        payments, episodes = counts["payments"] or 0, counts["episodes"]
        told = f"{100 * payments / found.payments:.3f} % of payments"
        if episodes is not None:
            told += f", {episodes:,} episode{'s' if episodes > 1 else ''}"
        table.add_row(f"fraud: {name}", f"{payments:,}", told)
    _say(
        console,
        f"World {found.world}, seed {found.seed}: {found.accounts:,} accounts, {found.days:g} days"
        f" from {found.start}",
    )
    console.print(table, highlight=False)
    _say(
        console,
        f"{found.events:,} events, {found.payments:,} payments, {found.frauds:,} of them fraud"
        f" ({100 * found.fraud_share:.2f} %), in {found.seconds:.1f} s"
        f" ({found.events_per_s:,.0f} events/s)",
    )
    if found.file is not None:
        beside = f"; the truth is in {found.truth_file}" if found.truth_file else ""
        _say(console, f"written to {found.file}{beside}")
    else:
        _say(console, f"sent to {found.sent_to}; {found.rejected} rejected")


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _handbook(order: Order) -> Staged:
    from risk.simulator.handbook import CUSTOMERS, DAYS, START_MS, TERMINALS, HandbookWorld

    if order.tempo is not None:
        raise BadConfiguration("--tempo: the law of the handbook world has none; leave it out")
    days = DAYS if order.days is None else order.days
    if days != int(days):
        raise BadConfiguration(f"--days {days:g}: the handbook world has whole days")
    start_ms = START_MS if order.start is None else _start_ms(order.start)
    _check_end(start_ms, days + 7)
    accounts = CUSTOMERS if order.accounts is None else order.accounts
    try:
        # Fewer accounts pay at as many terminals: else few would have one in reach.
        world = HandbookWorld(order.seed, start_ms, int(days), accounts, TERMINALS)
    except ValueError as error:
        raise BadConfiguration(f"--world handbook: {error}") from None

    def write_parquet(path: Path, progress: Callable[[float], None]) -> Summary:
        from risk.simulator.handbook_parquet import write

        return write(world, path, progress)

    def extra() -> dict[str, Any]:
        from risk.simulator.handbook_counts import counts

        return {HANDBOOK: counts(world.law, world.table())}

    return Staged(
        world.events(), _NoEpisodes(world.truth), start_ms, days, accounts, extra, write_parquet
    )
