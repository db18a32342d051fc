"""What `weir rules performance` does: reads decisions, lets their rules answer again, counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from features.proof.history import History
    from risk.books.hit_table import HitTable
    from risk.books.performance import Truth
    from risk.books.performance_report import Report
    from risk.books.rule_costs import Cost, Sample
    from risk.cli.rules_at_hand import RulesAtHand, RulesThen
    from risk.domain.decision import Decision
    from risk.settings import Settings
    from streams.backtest_read import Gathered
    from streams.decided import Decided

Progress = Callable[[int], None]
ToBase = Callable[..., "int | None"]
DAY_MS = 24 * 60 * 60 * 1000


class Wish(NamedTuple):
    """What is asked for: decided from up to before, and where to read it."""

    from_ms: int
    to_ms: int
    label_delay_days: float = 10.0
    archive: bool = False


@dataclass(slots=True)
class _Version:
    """A version of the book: its hits, some of its rows, and how its rules read them."""

    table: HitTable
    sample: Sample
    then: RulesThen


@dataclass(slots=True)
class _Count:
    """What was counted so far, by digest of the book."""

    versions: dict[str, _Version] = field(default_factory=dict)
    recomputed: int = 0
    differing: int = 0
    first_differing: str = ""


def run(settings: Settings, wish: Wish, progress: Progress = lambda records: None) -> Report:
    """Count over the topics or the archive of a world; the report.

    Raises BadConfiguration where nothing was decided in the range, BadVersion, Unavailable.
    """
    from risk.cli.proofs import parts_of

    with parts_of(settings, "rules", archive=wish.archive) as ready:
        return asyncio.run(report_of(ready, wish, progress))


async def report_of(
    settings: Settings, wish: Wish, progress: Progress = lambda records: None
) -> Report:
    """The report; see ``run``. The settings name Kafka, unless the archive is read."""
    from risk.cli.proofs import history_of
    from risk.cli.rules_at_hand import RulesAtHand

    # Labels come after the range, so everything since its begin is read.
    history = await history_of(settings, wish.from_ms, archive=wish.archive)
    versions = RulesAtHand(settings, kafka=not wish.archive)
    try:
        return await counted(settings, wish, history, versions, progress)
    finally:
        await versions.close()


async def counted(
    settings: Settings,
    wish: Wish,
    history: History,
    versions: RulesAtHand,
    progress: Progress = lambda records: None,
) -> Report:
    """The report on a history; see ``run``."""
    from risk.cli.proofs import rates_of
    from streams.backtest_read import Gathered
    from streams.decided import decided

    began_s = time.perf_counter()
    found, count, to_base = Gathered(), _Count(), rates_of(settings)
    async for part in decided(history, (wish.from_ms, wish.to_ms), found, progress):
        await _take(part, versions, to_base, count, found)
    return _report(settings, wish, count, found, versions, time.perf_counter() - began_s)


async def _take(
    part: Sequence[Decided],
    versions: RulesAtHand,
    to_base: ToBase,
    count: _Count,
    found: Gathered,
) -> None:
    """Count a part; decisions of one book, catalogue and lists are answered together."""
    from risk.replay import evidence_of

    groups: dict[int, tuple[RulesThen, list[Decision]]] = {}
    for one in part:
        then = await versions.rules_of(evidence_of(one.decision))
        if then is None:
            found.leave_out("version_missing")
        else:
            groups.setdefault(id(then), (then, []))[1].append(one.decision)
    for then, decisions in groups.values():
        _count(then, decisions, to_base, count, found)


def _count(
    then: RulesThen, decisions: Sequence[Decision], to_base: ToBase, count: _Count, found: Gathered
) -> None:
    from risk.books.hit_table import HitTable
    from risk.books.rule_costs import Sample
    from risk.books.stored import (
        findings_again,
        judged_of,
        pattern_again,
        same_hits,
        stored_row,
        told_pattern,
    )
    from risk.domain.errors import BadVersion
    from risk.replay import evidence_of

    rows = []
    for decision in decisions:
        try:
            rows.append((decision, stored_row(decision, then.features, to_base)))
        except BadVersion:
            found.leave_out("damaged")
    if not rows:
        return
    digest = then.book.digest()
    if digest not in count.versions:
        count.versions[digest] = _Version(HitTable(then.book), Sample(), then)
    version = count.versions[digest]
    version.then = then
    again = findings_again(then.rules, [row for _, row in rows])
    for (decision, row), findings in zip(rows, again, strict=True):
        pattern, places = told_pattern(decision, then.book), version.table.places
        # Without features no rule was asked, so there is nothing to answer again.
        if evidence_of(decision).vector is not None:
            count.recomputed += 1
            if not same_hits(pattern, findings, places):
                count.first_differing = count.first_differing or decision.payment_id
                count.differing += 1
            pattern = pattern_again(pattern, findings, places)
            version.sample.offer(row)
        version.table.add(judged_of(decision, row, pattern))


def _report(
    settings: Settings,
    wish: Wish,
    count: _Count,
    found: Gathered,
    versions: RulesAtHand,
    seconds: float,
) -> Report:
    from risk.books.performance import performance
    from risk.books.performance_report import Report
    from risk.domain.errors import BadConfiguration
    from risk.domain.times import rfc3339

    if not count.versions:
        raise BadConfiguration(
            f"nothing that can be counted was decided from {rfc3339(wish.from_ms)} to"
            f" {rfc3339(wish.to_ms)} (left out: {found.left_out or 'nothing'}); look at --from,"
            " --to and --world" + "".join(f"; {one}" for one in versions.absent[:1])
        )
    truth, as_of_ms = truth_of(settings, wish.label_delay_days, found)
    tables = [one.table for one in count.versions.values()]
    told = performance(tables, truth, _costs(count))
    return Report(
        source="archive" if wish.archive else "topics",
        world=settings.world,
        from_ms=wish.from_ms,
        to_ms=wish.to_ms,
        labels_as_of_ms=as_of_ms,
        label_delay_days=wish.label_delay_days,
        base_currency=settings.base_currency,
        payments=told.payments,
        left_out=dict(found.left_out),
        mature=told.mature,
        immature_share=1.0 - told.mature / told.payments,
        frauds=told.frauds,
        recomputed=count.recomputed,
        differing=count.differing,
        first_differing=count.first_differing,
        missing=versions.absent,
        rules=told.rules,
        versions=told.versions,
        findings=told.findings,
        seconds=round(seconds, 3),
    )


def truth_of(settings: Settings, label_delay_days: float, found: Gathered) -> tuple[Truth, int]:
    """What is known of payments, and when labels were looked at.

    In the live world labels count that are known by now, elsewhere by the last arrival.
    """
    import numpy as np

    from risk.backtest.block import id_key
    from risk.books.performance import Truth
    from risk.domain.clock import SystemClock
    from risk.domain.truth import verdicts
    from streams.topics import LIVE_WORLD

    as_of_ms = SystemClock().now_ms() if settings.world == LIVE_WORLD else found.until_ms
    frauds = []
    for (tenant, payment_id), words in found.words.items():
        known = [word for word in words if word[0] <= as_of_ms]
        if known and verdicts(known)[-1][1]:
            frauds.append(id_key(tenant, payment_id))
    delay_ms = round(label_delay_days * DAY_MS)
    return Truth(np.sort(np.array(frauds, np.uint64)), as_of_ms - delay_ms), as_of_ms


def _costs(count: _Count) -> dict[str, dict[str, Cost]]:
    from risk.books.rule_costs import rule_costs

    return {
        digest: rule_costs(
            one.then.book, one.then.schema, one.then.tables, one.sample.rows, time.perf_counter
        )
        for digest, one in count.versions.items()
    }
