"""What a stored decision tells rules: the payment, its vector, its score, its windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from risk.backtest.block import id_key
from risk.books.hit_table import Judged, Pattern
from risk.books.rule_costs import StoredRow
from risk.domain.decision import Decision
from risk.domain.decoding import decode_stored
from risk.domain.errors import BadVersion, InvalidEvent
from risk.domain.event import AnyEvent, Payment
from risk.domain.findings import Findings
from risk.domain.observation import Arrival
from risk.domain.outcome import Outcome
from risk.domain.times import parse_rfc3339
from risk.judgement import told_windows
from risk.replay import evidence_of
from risk.rules.book import Book
from risk.rules.evaluator import CompiledBook

ToBase = Callable[[AnyEvent, str], int | None]


def stored_row(decision: Decision, features: int, to_base: ToBase) -> StoredRow:
    """The row of ``decision``; NaN for ``features`` that it was decided without.

    ``to_base`` gives the amount by the table of exchange rates with a digest. Raises BadVersion
    where the evidence is not Weir's.
    """
    evidence = evidence_of(decision)
    try:
        event = decode_stored(bytes(evidence.event)).event
        at_ms = parse_rfc3339(evidence.arrived_at)
    except (ValueError, InvalidEvent) as error:
        who = decision.payment_id
        raise BadVersion(f"the evidence of payment {who} is not Weir's: {error}") from None
    if not isinstance(event, Payment):
        raise BadVersion(f"decision {decision.payment_id} is about no payment")
    told = evidence.vector
    if told is not None and len(told) != features:
        raise BadVersion(f"the vector has {len(told)} values, its catalogue {features}")
    amount = to_base(event, evidence.digests.rates)
    return StoredRow(
        Arrival(event, b"", b"", evidence.door, at_ms, amount),
        np.full(features, math.nan) if told is None else np.array(told, np.float64),
        decision.score,
        told_windows(evidence),
    )


def findings_again(rules: CompiledBook, rows: Sequence[StoredRow]) -> list[Findings]:
    """What ``rules``, the functions that judge live, say of each row; those in the shadow too."""
    matrix = np.array([row.vector for row in rows])
    return rules.evaluate(
        [row.arrival for row in rows],
        matrix,
        [row.score for row in rows],
        [row.windows for row in rows] if rules.windows else (),
    )


def told_pattern(decision: Decision, book: Book) -> Pattern:
    """What the decision itself tells: the rules that acted, and those that failed."""
    places = {rule.id: place for place, rule in enumerate(book.rules)}
    acting = [one for one in decision.rule_hits if one.error is None and one.rule in places]
    failed = [one for one in decision.rule_hits if one.error is not None and one.rule in places]
    return Pattern(
        tuple(sorted(places[one.rule] for one in acting)),
        failed=tuple(sorted(places[one.rule] for one in failed)),
    )


def pattern_again(told: Pattern, found: Findings, places: dict[str, int]) -> Pattern:
    """``told`` with what only the functions know: shadow rules, and who lacked a value."""
    failed = set(told.failed)
    return told._replace(
        shadow=tuple(sorted(places[hit.rule.rule] for hit in found.shadow)),
        unknown=tuple(sorted({places[one] for one in found.unknown} - failed)),
    )


def same_hits(told: Pattern, found: Findings, places: dict[str, int]) -> bool:
    """Whether the functions hit now as the decision says; rules that failed then are left out."""
    again = {places[hit.rule.rule] for hit in found.hits} - set(told.failed)
    return again == set(told.acting)


def judged_of(decision: Decision, row: StoredRow, pattern: Pattern) -> Judged:
    """The payment as a table of hits takes it."""
    event, amount = row.arrival.event, row.arrival.amount_base
    return Judged(
        key=id_key(decision.tenant, decision.payment_id),
        account=id_key(decision.tenant, event.account or event.id),
        decided_ms=row.arrival.arrived_at_ms,
        amount=math.nan if amount is None else float(amount),
        stopped=decision.outcome != Outcome.ALLOW,
        pattern=pattern,
    )
