"""`weir rules evidence`: what a book does in a simulated world, where the truth is known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from risk.cli.proofs import ReportFile, writable

if TYPE_CHECKING:
    from risk.domain.findings import Findings
    from risk.domain.observation import Arrival, Claimed
    from risk.rules.book import Book
    from risk.rules.evaluator import CompiledBook

_BATCH = 256
_START_MS = 1_790_000_000_000
_RANK = {"block": 2, "review": 1}
_OUTCOMES = ("allow", "review", "block")
_HEAD = """\
# {name}: evidence

Made by `weir rules evidence --accounts {accounts} --days {days:g} --seed {seed}`; do not edit.
Book digest `{digest}`.

{payments} simulated payments of {accounts} accounts over {days:g} days, {fraud} of them fraud. The
truth is the simulator's, not what was reported. No model takes part: the outcome here is that of
the rules alone. Draft rules are evaluated as well, and count for no outcome. The first days have
little history, so rules that look back a month are at their worst here.

Of the good payments the rules together stopped **{stopped:.2%}**: {review:.2%} for review and
{block:.3%} blocked. Of the fraud they stopped {caught:.1%}.
"""


@dataclass(slots=True)
class Evidence:
    """Counts of one book in one world. Good payments have the scenario ""."""

    payments: Counter[str] = field(default_factory=Counter)
    hits: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    outcomes: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    failures: int = 0

    @property
    def fraud(self) -> int:
        """How many payments are fraud."""
        return self.payments.total() - self.payments[""]

    def add(self, scenario: str, found: Findings, effective: frozenset[str]) -> None:
        """Count one payment; rules outside of ``effective`` decide nothing."""
        from risk.policy import BLOCKING, HOLDING

        self.payments[scenario] += 1
        self.failures += len(found.failures)
        acted = ["allow"]
        for hit in found.hits:
            self.hits[hit.rule.rule][scenario] += 1
            if hit.rule.rule in effective:
                action = hit.rule.action
                acted.append("block" if action in HOLDING + BLOCKING else action)
        self.outcomes[scenario][max(acted, key=lambda action: _RANK.get(action, 0))] += 1


def evidence(
    book: Annotated[
        Path | None, typer.Option("--book", help="Another book than the starter book.")
    ] = None,
    accounts: Annotated[int, typer.Option(min=20, help="People of the world.")] = 1_500,
    days: Annotated[float, typer.Option(min=0.5, help="Days of the world.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Seed of the world.")] = 77,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write a page as Markdown.", callback=writable)
    ] = None,
    report: ReportFile = None,
) -> None:
    """Run a book over a seeded simulated world: hits, precision and recall by scenario.

    Report keys: book, digest, accounts, days, seed, payments, fraud, failures, good (allow,
    review, block), scenarios (name to payments, allow, review, block), rules (id to state,
    action, hits, good, precision, by_scenario (name to hits, recall)).
    """
    from risk.cli.proofs import write_report
    from risk.cli.rules import read

    chosen = read(book)
    found = run(chosen, accounts, days, seed)
    content = {
        "book": chosen.name,
        "digest": chosen.digest(),
        "accounts": accounts,
        "days": days,
        "seed": seed,
        **content_of(chosen, found),
    }
    write_report(report, content)
    text = page(content)
    if out is not None:
        out.write_text(text, encoding="utf-8")
    typer.echo(text, nl=False)


def run(book: Book, accounts: int, days: float, seed: int) -> Evidence:
    """Every rule that is not retired, over the world of ``seed``."""
    import msgspec

    from features.catalogue import CATALOGUE
    from features.local_memory import LocalMemory
    from features.vectors import vectors
    from risk.domain.event import is_scored
    from risk.domain.observation import Claimed
    from risk.rules.evaluator import CompiledBook
    from risk.rules.schema import Schema
    from risk.settings import Settings
    from risk.simulator.world import World
    from risk.tables.load import exchange_rates

    rates = exchange_rates(None, Settings().base_currency)
    effective = frozenset(rule.id for rule in book.rules if rule.state == "live")
    rules = [rule for rule in book.rules if rule.state != "retired"]
    awake = tuple(msgspec.structs.replace(rule, state="live") for rule in rules)
    tables = _tables(rates)
    compiled = CompiledBook(
        msgspec.structs.replace(book, rules=awake), Schema.of(CATALOGUE), tables
    )
    world, memory, counted = World(seed, accounts, _START_MS), LocalMemory(vectors), Evidence()
    for batch in _batches(world, days, rates):
        seen = memory.observe_now(batch, compiled.windows)
        scored = [
            (arrival, one)
            for arrival, one in zip(batch, seen, strict=True)
            if is_scored(arrival.event) and isinstance(one, Claimed)
        ]
        for (arrival, _), found in zip(scored, _found(compiled, scored), strict=True):
            scenario = world.truth.scenario(arrival.event.id) or ""
            counted.add(scenario, found, effective)
    return counted


def _tables(rates: Any) -> Any:
    from risk.rules.compiler import Tables

    return Tables(rates)


def _batches(world: Any, days: float, rates: Any) -> Iterator[list[Arrival]]:
    from risk.domain.base_amount import amount_in_base
    from risk.domain.decoding import canonical
    from risk.domain.event import Payment, Refund
    from risk.domain.observation import Arrival
    from risk.domain.times import to_ms

    batch: list[Arrival] = []
    for event in world.events(days):
        told = canonical(event)
        money = isinstance(event, Payment | Refund)
        base = amount_in_base(event, rates) if money else None
        at_ms = to_ms(event.occurred_at)
        batch.append(Arrival(told.event, told.body, told.fingerprint, "stream", at_ms, base))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


def _found(compiled: CompiledBook, scored: Sequence[tuple[Arrival, Claimed]]) -> list[Findings]:
    import numpy as np

    if not scored:
        return []
    matrix = np.array([one.vector for _, one in scored])
    windows = [one.windows for _, one in scored]
    return compiled.evaluate([one for one, _ in scored], matrix, [None] * len(scored), windows)


def content_of(book: Book, found: Evidence) -> dict[str, Any]:
    """The counts with what they mean."""
    scenarios = sorted(name for name in found.payments if name)
    return {
        "payments": found.payments.total(),
        "fraud": found.fraud,
        "failures": found.failures,
        "good": {one: found.outcomes[""][one] for one in _OUTCOMES},
        "scenarios": {
            name: {
                "payments": found.payments[name],
                **{one: found.outcomes[name][one] for one in _OUTCOMES},
            }
            for name in scenarios
        },
        "rules": {
            rule.id: _rule_content(rule.state, rule.action, found.hits[rule.id], found.payments)
            for rule in book.rules
            if rule.state != "retired"
        },
    }


def _rule_content(
    state: str, action: str, hits: Counter[str], payments: Counter[str]
) -> dict[str, Any]:
    total = hits.total()
    return {
        "state": state,
        "action": action,
        "hits": total,
        "good": hits[""],
        "precision": None if total == 0 else round(1 - hits[""] / total, 4),
        "by_scenario": {
            name: {"hits": count, "recall": round(count / payments[name], 4)}
            for name, count in sorted(hits.items())
            if name
        },
    }


def page(content: dict[str, Any]) -> str:
    """The evidence as Markdown."""
    good = content["good"]
    of_good = max(1, sum(good.values()))
    stopped_fraud = sum(one["review"] + one["block"] for one in content["scenarios"].values())
    head = _HEAD.format(
        name=content["book"],
        accounts=content["accounts"],
        days=content["days"],
        seed=content["seed"],
        digest=content["digest"],
        payments=content["payments"],
        fraud=content["fraud"],
        stopped=(good["review"] + good["block"]) / of_good,
        review=good["review"] / of_good,
        block=good["block"] / of_good,
        caught=stopped_fraud / max(1, content["fraud"]),
    )
    lines = [head, "## By scenario\n", "| scenario | payments | allow | review | block |"]
    lines.append("|---|---|---|---|---|")
    rows = {"good payments": {"payments": of_good, **good}, **content["scenarios"]}
    lines += [
        f"| {name.replace('_', ' ')} | {one['payments']} | {one['allow']} | {one['review']}"
        f" | {one['block']} |"
        for name, one in rows.items()
    ]
    lines += ["\n## By rule\n", "| rule | state | action | hits | good | precision | recall |"]
    lines.append("|---|---|---|---|---|---|---|")
    lines += [_line(rule, one) for rule, one in content["rules"].items()]
    lines.append(
        "\nPrecision is the share of fraud among the hits. Recall is by scenario, of its payments."
        " A rule without hits found nothing of its kind in this world."
    )
    return "\n".join(lines) + "\n"


def _line(rule: str, one: dict[str, Any]) -> str:
    precision = "-" if one["precision"] is None else f"{one['precision']:.0%}"
    recall = ", ".join(
        f"{name.replace('_', ' ')} {told['recall']:.0%}"
        for name, told in one["by_scenario"].items()
    )
    return (
        f"| `{rule}` | {one['state']} | {one['action']} | {one['hits']} | {one['good']}"
        f" | {precision} | {recall or '-'} |"
    )
