"""`weir rules minimise`: the smallest book with the same outcomes on stored decisions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from risk.cli.proofs import Archive, ReportFile, writable

if TYPE_CHECKING:
    from features.proof.history import History
    from risk.books.minimise import Minimiser, Plan
    from risk.cli.rules_at_hand import RulesAtHand
    from risk.domain.decision import Decision
    from risk.replay import Named
    from risk.rules.book import Book
    from risk.rules.compiler import Tables
    from risk.rules.evaluator import CompiledBook
    from risk.rules.schema import Schema
    from risk.settings import Settings
    from streams.backtest_read import Gathered

Progress = Callable[[int], None]
_Book = Annotated[Path, typer.Argument(help="A book as YAML.", show_default=False)]
_From = Annotated[str | None, typer.Option("--from", help="RFC 3339, inclusive: decided_at.")]
_To = Annotated[str | None, typer.Option("--to", help="RFC 3339, exclusive: decided_at.")]
_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
_Out = Annotated[
    Path | None, typer.Option("--out", help="Write the proposed book as YAML.", callback=writable)
]


class Wish(NamedTuple):
    """What is asked for: the book, and decisions from up to before."""

    book: Book
    from_ms: int
    to_ms: int
    archive: bool = False


def minimise(
    book: _Book,
    *,
    begin: _From = None,
    end: _To = None,
    world: _World = None,
    archive: Archive = False,
    out: _Out = None,
    report: ReportFile = None,
) -> None:
    """Propose the smallest book that gives the decisions of a range the same outcomes as BOOK.

    Every decision is then judged again under both books. Nothing live changes. Equal on the log
    is not equal on the future.

    Report keys: format, kind, book, digest, proposed_digest, proposed (the book), source, world,
    from_ms, to_ms, judged, without_features, left_out (by cause), missing, rules_before,
    rules_after, exact, removed (rule, action, hits, by, decided_anyway, text), kept (rule, action,
    hits, why, witness), verified (payments, equal, different, first_different), note, seconds.

    Exit codes: 0 proposed and verified, 1 a part does not answer, or the proposal gave another
    outcome, 2 a bad book or input, or nothing to judge, 4 a version is missing.
    """
    from risk.cli.proofs import UNPROVABLE, range_ms, settings_of, shown, write_report
    from risk.cli.rules import read
    from risk.rules.book_file import canonical_text

    from_ms, to_ms = range_ms(begin, end)
    wish = Wish(read(book), from_ms, to_ms, archive)
    with shown("judging", 0) as advance:
        plan, found = run(settings_of(world), wish, advance)
    write_report(report, found)
    if out is not None:
        out.write_text(canonical_text(plan.book), encoding="utf-8")
    for line in lines_of(found):
        typer.echo(line)
    if found["verified"]["different"]:
        raise typer.Exit(1)
    if found["missing"]:
        raise typer.Exit(UNPROVABLE)


def run(
    settings: Settings, wish: Wish, progress: Progress = lambda records: None
) -> tuple[Plan, dict[str, Any]]:
    """The proposal and the report; raises BadBook, BadConfiguration, BadVersion, Unavailable."""
    import asyncio

    from risk.cli.proofs import parts_of

    with parts_of(settings, "rules", archive=wish.archive) as ready:
        return asyncio.run(_run(ready, wish, progress))


async def _run(settings: Settings, wish: Wish, progress: Progress) -> tuple[Plan, dict[str, Any]]:
    from risk.cli.proofs import history_of
    from risk.cli.rules_at_hand import RulesAtHand

    history = await history_of(settings, wish.from_ms, wish.to_ms, archive=wish.archive)
    versions = RulesAtHand(settings, kafka=not wish.archive)
    try:
        return await proposed(settings, wish, history, versions, progress)
    finally:
        await versions.close()


async def proposed(
    settings: Settings,
    wish: Wish,
    history: History,
    versions: RulesAtHand,
    progress: Progress = lambda records: None,
) -> tuple[Plan, dict[str, Any]]:
    """The proposal on a history, which is read twice: to find it, and to verify it."""
    import time

    import msgspec

    from risk.books.minimise import NOTE, Minimiser
    from risk.cli.proofs import rates_of
    from risk.domain.errors import BadConfiguration
    from streams.backtest_read import Gathered

    began_s, found, to_base = time.perf_counter(), Gathered(), rates_of(settings)
    reading = _Reading(wish, history, versions, progress)
    minimiser, without = Minimiser(wish.book), 0
    async for part in reading.parts(found):
        for rules, decisions in reading.grouped(wish.book, part):
            without += _add(minimiser, rules, decisions, to_base)
    if not minimiser.judged:
        raise BadConfiguration(
            f"nothing that can be judged was decided in the range (left out:"
            f" {found.left_out or 'nothing'}); look at --from, --to and --world"
            + "".join(f"; {one}" for one in reading.missing[:1])
        )
    plan = minimiser.plan()
    verified = await _verified(reading, wish.book, plan.book)
    report = {
        "format": 1,
        "kind": "minimise",
        "book": wish.book.name,
        "digest": wish.book.digest(),
        "proposed_digest": plan.book.digest(),
        "proposed": msgspec.to_builtins(plan.book),
        "source": "archive" if wish.archive else "topics",
        "world": settings.world,
        "from_ms": wish.from_ms,
        "to_ms": wish.to_ms,
        "judged": minimiser.judged,
        "without_features": without,
        "left_out": dict(found.left_out),
        "missing": reading.missing,
        "rules_before": len(wish.book.rules),
        "rules_after": len(plan.book.rules),
        "exact": plan.exact,
        "removed": [msgspec.to_builtins(one) for one in plan.removed],
        "kept": [msgspec.to_builtins(one) for one in plan.kept],
        "verified": verified,
        "note": NOTE,
        "seconds": round(time.perf_counter() - began_s, 3),
    }
    return plan, report


class _One(NamedTuple):
    """A decision, what judged it, and what rules could name and read then."""

    decision: Decision
    named: Named
    ground: tuple[Schema, Tables]


class _Reading:
    """The decisions of the range, as often as needed, with the versions that judged them."""

    def __init__(
        self, wish: Wish, history: History, versions: RulesAtHand, progress: Progress
    ) -> None:
        self._wish = wish
        self._history = history
        self._versions = versions
        self._progress = progress
        self._compiled: dict[tuple[str, int], CompiledBook] = {}
        self.missing: list[str] = []

    async def parts(self, found: Gathered) -> AsyncGenerator[list[_One], None]:
        """In the order of the topics; ``found`` counts what is left out."""
        from risk.replay import evidence_of
        from streams.decided import decided

        times = (self._wish.from_ms, self._wish.to_ms)
        async for part in decided(self._history, times, found, self._progress):
            ready = []
            for one in part:
                evidence = evidence_of(one.decision)
                named = await self._versions.of(evidence)
                self.missing += [
                    told for told in self._versions.missing if told not in self.missing
                ]
                ground = await self._versions.ground_of(evidence)
                if named is None or ground is None:
                    found.leave_out("version_missing")
                else:
                    ready.append(_One(one.decision, named, ground))
            yield ready

    def grouped(
        self, book: Book, part: Sequence[_One]
    ) -> Iterator[tuple[CompiledBook, list[_One]]]:
        """``part`` by what rules could read, with ``book`` compiled for it."""
        groups: dict[int, list[_One]] = {}
        for one in part:
            groups.setdefault(id(one.ground), []).append(one)
        for own in groups.values():
            yield self.compiled(book, own[0].ground), own

    def compiled(self, book: Book, ground: tuple[Schema, Tables]) -> CompiledBook:
        """``book`` on the names, lists and rates of then; raises BadBook where it cannot be."""
        from risk.rules.book_check import check_book
        from risk.rules.evaluator import CompiledBook

        key = (book.digest(), id(ground))
        if key not in self._compiled:
            # As of the range's begin: what has expired since then did act in it.
            check_book(book, *ground, self._wish.from_ms)
            self._compiled[key] = CompiledBook(book, *ground)
        return self._compiled[key]


def _add(
    minimiser: Minimiser,
    rules: CompiledBook,
    decisions: Sequence[_One],
    to_base: Callable[..., int | None],
) -> int:
    """Add the decisions of a group; how many were made without features, so without rules."""
    from risk.books.stored import findings_again, stored_row
    from risk.replay import evidence_of

    seen = [one for one in decisions if evidence_of(one.decision).vector is not None]
    rows = [stored_row(one.decision, len(one.named.features), to_base) for one in seen]
    if rows:
        for one, row, found in zip(seen, rows, findings_again(rules, rows), strict=True):
            minimiser.add(one.decision, row, found, one.named)
    return len(decisions) - len(seen)


async def _verified(reading: _Reading, book: Book, proposal: Book) -> dict[str, Any]:
    """Every decision judged under both books."""
    import numpy as np

    from risk.domain.errors import BadVersion
    from risk.replay import evidence_of, outcomes_with
    from streams.backtest_read import Gathered

    told: dict[str, Any] = {"payments": 0, "equal": 0, "different": 0, "first_different": ""}
    async for part in reading.parts(Gathered()):
        for one in part:
            vector = evidence_of(one.decision).vector
            if vector is None:
                continue  # rules were not asked
            matrix = np.array([vector], np.float64)
            outcomes = {
                outcomes_with(
                    one.decision,
                    replace(one.named, rules=reading.compiled(of, one.ground)),
                    matrix,
                )[0]
                for of in (book, proposal)
            }
            told["payments"] += 1
            if len(outcomes) == 1:
                told["equal"] += 1
            else:
                told["different"] += 1
                told["first_different"] = told["first_different"] or one.decision.payment_id
    if not told["payments"]:
        raise BadVersion("the history was gone before the proposal could be verified")
    return told


def lines_of(found: dict[str, Any]) -> list[str]:
    """The report in a few lines for people."""
    verified = found["verified"]
    how = "the fewest possible" if found["exact"] else "none can be left out alone"
    lines = [
        f"{found['book']} {found['digest'][:12]}: {found['rules_before']} rules,"
        f" {found['rules_after']} give the same outcomes ({how}),"
        f" proposed {found['proposed_digest'][:12]}",
    ]
    lines += [f"  leaves out {one['text']}" for one in found["removed"]]
    lines += [
        f"  keeps {one['rule']}: {one['why']}"
        + (f", as {one['witness']}" if one["witness"] else "")
        for one in found["kept"]
    ]
    lines.append(
        f"  verified on {verified['payments']} payments: {verified['equal']} equal,"
        f" {verified['different']} different"
        + (f", the first is {verified['first_different']}" if verified["different"] else "")
    )
    lines += [f"  missing: {one}" for one in found["missing"]]
    lines += [f"  left out: {cause} {count}" for cause, count in found["left_out"].items()]
    lines.append(f"  {found['note']}")
    return lines
