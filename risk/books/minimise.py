"""Proposes the smallest book with the same outcomes on stored decisions. Changes nothing live.

Only live rules that decide (``risk.policy.DECIDING``) are candidates. A rule that raises alerts
does more than decide, one that a rate rule names is counted, one that failed cannot be judged:
they stay, and so does what does not act.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from risk.books.minimal import BITS, Case, smallest
from risk.books.rule_costs import StoredRow
from risk.domain.decision import Decision
from risk.domain.findings import Findings
from risk.domain.observation import Arrival, Windowed
from risk.replay import Named, evidence_of, outcomes_with
from risk.rules.book import Book, Rule

NOTE: Final = (
    "Equal on these payments is not equal on those to come: a rule that changed nothing here may"
    " be waiting for its fraud."
)


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that the proposal leaves out, and why no outcome of its ``hits`` changes.

    ``by`` counts, of its hits, those that each rule of the proposal hits too; ``decided_anyway``
    are hits whose outcome came from score, lists or degradation, or that changed nothing.
    """

    rule: str
    action: str
    hits: int
    by: dict[str, int]
    decided_anyway: int
    text: str


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that stays, and why; ``witness`` is a payment that would end otherwise without it."""

    rule: str
    action: str
    hits: int
    why: str
    witness: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The proposed book, and what was removed and kept. ``exact``: no smaller book is equal."""

    book: Book
    removed: list[Removed]
    kept: list[Kept]
    exact: bool


class Given:
    """Implements ``risk.judgement.Rules``: says of each row what it was told to say."""

    def __init__(self, windows: tuple[str, ...], found: Sequence[Findings]) -> None:
        self.digest = ""
        self.windows = windows
        self._found = list(found)

    def evaluate(
        self,
        _arrivals: Sequence[Arrival],
        _matrix: NDArray[np.float64],
        _scores: Sequence[float | None],
        _windows: Sequence[Windowed | None] = (),
    ) -> list[Findings]:
        """The findings, in order."""
        return self._found


@dataclass(slots=True)
class _Met:
    """A pattern of hits: in how many payments, and one of them."""

    payments: int
    payment_id: str


class Minimiser:
    """Takes stored decisions with what ``book`` says of them, and proposes a smaller one."""

    def __init__(self, book: Book) -> None:
        self.book: Final = book
        self._places = {rule.id: place for place, rule in enumerate(book.rules)}
        named = {subject for one in book.rates for subject in one.only}
        self._fixed = {rule.id: why for rule in book.rules if (why := _stays(rule, named))}
        self._failed: Counter[str] = Counter()
        self._cases: dict[Case, _Met] = {}
        self._shared: Counter[tuple[int, ...]] = Counter()
        self.judged = 0

    def add(self, decision: Decision, row: StoredRow, found: Findings, named: Named) -> None:
        """One decision; ``named`` judged it, ``found`` is what the book says of its row.

        Raises BadVersion where the versions do not fit the evidence.
        """
        self.judged += 1
        failures = (*found.failures, *evidence_of(decision).rule_errors)
        self._failed.update({one.rule for one in failures})
        hits = [hit for hit in found.hits if hit.rule.action in BITS]
        if not hits:
            return
        places = tuple(self._places[hit.rule.rule] for hit in hits)
        self._shared[places] += 1
        bits = [BITS[hit.rule.action] for hit in hits]
        free = [
            (place, bit)
            for place, bit in zip(places, bits, strict=True)
            if self.book.rules[place].id not in self._fixed
        ]
        if not free:
            return
        fixed = _sum(
            bit for place, bit in zip(places, bits, strict=True) if (place, bit) not in free
        )
        allowed = _allowed(decision, row, found, named)
        case = Case(tuple(free), fixed, allowed)
        met = self._cases.setdefault(case, _Met(0, decision.payment_id))
        met.payments += 1

    def plan(self) -> Plan:
        """The smallest book for all decisions that were added."""
        why_fixed = dict(self._fixed)
        for rule, count in self._failed.items():
            if rule in self._places and rule not in why_fixed:
                why_fixed[rule] = f"it failed or lacked a window on {count} payments"
        cases = {self._without(case, why_fixed): met for case, met in self._cases.items()}
        hits = self._hits()
        solution = smallest((case for case in cases if case.rules), hits)
        kept = {
            place
            for place, rule in enumerate(self.book.rules)
            if rule.id in why_fixed or place in solution.kept
        }
        left = tuple(rule for place, rule in enumerate(self.book.rules) if place in kept)
        return Plan(
            book=msgspec.structs.replace(self.book, rules=left),
            removed=[
                self._removed(place, hits[place], kept)
                for place in range(len(self.book.rules))
                if place not in kept
            ],
            kept=[
                self._kept(place, hits[place], why_fixed, cases, solution.kept)
                for place in sorted(kept)
            ],
            exact=solution.exact,
        )

    def _without(self, case: Case, why_fixed: dict[str, str]) -> Case:
        """``case`` where rules that turned out to stay are no longer free."""
        stays = [one for one in case.rules if self.book.rules[one[0]].id in why_fixed]
        if not stays:
            return case
        fixed = case.fixed | _sum(bit for _, bit in stays)
        return Case(tuple(one for one in case.rules if one not in stays), fixed, case.allowed)

    def _hits(self) -> dict[int, int]:
        found = dict.fromkeys(range(len(self.book.rules)), 0)
        for places, count in self._shared.items():
            for place in places:
                found[place] += count
        return found

    def _removed(self, place: int, hits: int, kept: set[int]) -> Removed:
        rule = self.book.rules[place]
        by: Counter[str] = Counter()
        anyway = 0
        for places, count in self._shared.items():
            if place not in places:
                continue
            others = [other for other in places if other in kept]
            by.update({self.book.rules[other].id: count for other in others})
            anyway += 0 if others else count
        told = [f"{other} hits {count} of them" for other, count in by.most_common(3)]
        if anyway:
            told.append(f"score, lists or the rest decide {anyway} alone")
        text = (
            f"{rule.id}: no hit" if not hits
            else f"{rule.id}: each of {hits} payments keeps its outcome; " + ", ".join(told)
        )  # fmt: skip
        return Removed(
            rule=rule.id, action=rule.action, hits=hits, by=dict(by.most_common()),
            decided_anyway=anyway, text=text,
        )  # fmt: skip

    def _kept(
        self,
        place: int,
        hits: int,
        why_fixed: dict[str, str],
        cases: dict[Case, _Met],
        solution: frozenset[int],
    ) -> Kept:
        rule = self.book.rules[place]
        why, witness = why_fixed.get(rule.id), None
        if why is None:
            changed = [met for case, met in cases.items() if not case.holds(solution - {place})]
            payments = sum(met.payments for met in changed)
            witness = changed[0].payment_id
            why = f"without it {payments} payments end otherwise"
        return Kept(rule=rule.id, action=rule.action, hits=hits, why=why, witness=witness)


def _stays(rule: Rule, named: set[str]) -> str:
    """Why a rule is no candidate; "" where it is one."""
    if rule.state != "live":
        return f"it is {rule.state} and decides nothing"
    if rule.action not in BITS:
        return f"its action is {rule.action}, which is no outcome"
    if rule.alerting is not None:
        return "it raises alerts, which are more than outcomes"
    if rule.hold is not None:
        return "it suspends somebody, which is more than an outcome"
    return "a rate rule names it" if {rule.id, rule.reason} & named else ""


def _allowed(decision: Decision, row: StoredRow, found: Findings, named: Named) -> frozenset[int]:
    """The sums of bits of acting rules under which the outcome is what it is with all.

    What a rule that failed would have said is not known, so where any did, the outcome must stay
    with the failure and without it.
    """
    by_bit = {BITS[hit.rule.action]: hit for hit in found.hits if hit.rule.action in BITS}
    sums = [0]
    for bit in by_bit:
        sums += [one | bit for one in sums]
    allowed = set(sums)
    for failures in {found.failures, ()}:
        told = [
            Findings(tuple(hit for bit, hit in by_bit.items() if bit & one), (), failures)
            for one in sums
        ]
        outcomes = _outcomes(decision, row, told, named)
        whole = outcomes[-1]
        allowed &= {one for one, outcome in zip(sums, outcomes, strict=True) if outcome == whole}
    return frozenset(allowed)


def _outcomes(
    decision: Decision, row: StoredRow, told: Sequence[Findings], named: Named
) -> list[str]:
    given = replace(named, rules=Given(named.rules.windows, told))
    matrix = np.tile(row.vector, (len(told), 1))
    return [str(one.value) for one in outcomes_with(decision, given, matrix)]


def _sum(bits: Iterable[int]) -> int:
    total = 0
    for bit in bits:
        total |= bit
    return total
