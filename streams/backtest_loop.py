"""Closed loop: history again, with the candidate's own outcomes in the records that follow.

Two memories see the same events in the order of their publication. In the open one the outcomes
of then are remembered, in the closed one those of the candidate: a stop leaves a record, and what
it blocks is never authorised, settled or refunded. Both are judged by the code that serves, so
that the difference is the loop's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES, catalogue_digest
from features.local_memory import LocalMemory
from features.proof.bits import same_bits
from features.proof.history import History, HistoryRecord
from features.proof.standing import standing
from features.vectors import vectors
from risk.backtest.block import ALLOW, BLOCK, OUTCOMES, REVIEW, id_key
from risk.backtest.builder import ToBase
from risk.backtest.judging import Candidate
from risk.backtest.report import Closed, Loop
from risk.backtest.truth import Labels, Truth
from risk.domain.decision import Decision, decode_decision, decode_ledger
from risk.domain.decoding import canonical, decode_stored
from risk.domain.errors import InvalidEvent, WeirError
from risk.domain.event import Decided, OutcomeReport, Payment, Refund
from risk.domain.observation import Arrival, Claimed, Lost
from risk.domain.resolving import entities_of
from risk.domain.times import from_ms, parse_rfc3339
from risk.judgement import Constants, Judgement, Versions
from risk.rules.book import Book
from risk.rules.evaluator import CompiledBook

# A decision is remembered soon after it was made: events that arrived within this time, and not
# more than so many, are judged before any of their outcomes is remembered.
SOON_MS: Final = 1_000
AT_ONCE: Final = 64
_RESULTS: Final = {REVIEW: "decided_review", BLOCK: "decided_block"}
Progress = Callable[[int], None]
Key = tuple[str, str]


class _Seen(NamedTuple):
    """One event of history; ``decision`` where it is a payment of the range, to be judged."""

    arrival: Arrival
    decision: Decision | None


class _Stored:
    """In place of a model: the scores that the decisions of a batch were made with."""

    model_digest = calibration_digest = ""

    def __init__(self) -> None:
        self.scores: list[float | None] = []

    def score(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        assert len(matrix) == len(self.scores)
        return np.array([np.nan if one is None else one for one in self.scores], np.float64)

    def reasons(self, matrix: NDArray[np.float64]) -> Sequence[Sequence[Any]]:
        return [()] * len(matrix)


class _Way:
    """One memory, and the candidate over what it sees."""

    def __init__(self, candidate: Candidate, *, closed: bool) -> None:
        awake = [rule for rule in candidate.book.rules if rule.state == "live"]
        book = Book(name=candidate.book.name, rules=tuple(awake))
        self._rules = CompiledBook(book, candidate.schema, candidate.tables)
        self._memory = LocalMemory(vectors)
        self._stored = _Stored()
        scoring = candidate.scoring or self._stored
        constants = Constants(FEATURE_NAMES, catalogue_digest(), "", "", {})
        digests = constants.versions(scoring, self._rules, candidate.policy).digests
        versions = Versions(scoring, self._rules, candidate.policy, digests, candidate.lists)
        self._judgement = Judgement(constants, versions)
        self._closed = closed
        self._outcomes: dict[Key, int] = {}
        self.same = 0
        self.dropped = self.added = 0

    def take(self, batch: Sequence[_Seen]) -> list[int]:
        """The outcomes of the payments of ``batch`` that are to be judged, in order."""
        kept = [one for one in batch if not self._falls_away(one)]
        found = self._memory.observe_now([one.arrival for one in kept], self._rules.windows)
        claims: list[tuple[Arrival, Claimed | Lost]] = []
        judged: list[Decision] = []
        for one, seen in zip(kept, found, strict=True):
            if one.decision is not None and isinstance(seen, Claimed | Lost):
                claims.append((one.arrival, seen))
                judged.append(one.decision)
                self.same += _same(one.decision, seen)
        self._stored.scores = [decision.score for decision in judged]
        made = self._judgement.judge(claims)
        outcomes = [OUTCOMES.index(one.outcome) for one in made]
        if self._closed:
            self._remember(judged, claims, outcomes)
        return outcomes

    def _falls_away(self, one: _Seen) -> bool:
        """Whether a record of then never comes to be under the candidate."""
        event = one.arrival.event
        if not self._closed or not isinstance(event, Decided | OutcomeReport | Refund):
            return False
        outcome = self._outcomes.get((event.tenant, event.payment_id or ""))
        if outcome is None:
            return False  # decided before the range, as it was
        if isinstance(event, Decided):
            return True  # the candidate's own word is remembered in its place
        if isinstance(event, OutcomeReport) and event.result == "declined":
            return False
        blocked = outcome == BLOCK
        self.dropped += blocked
        return blocked

    def _remember(
        self,
        judged: Sequence[Decision],
        claims: Sequence[tuple[Arrival, Claimed | Lost]],
        outcomes: Sequence[int],
    ) -> None:
        arrivals = []
        for decision, (arrival, _), outcome in zip(judged, claims, outcomes, strict=True):
            self._outcomes[decision.tenant, decision.payment_id] = outcome
            if outcome != ALLOW:
                arrivals.append(_decided(decision, arrival, outcome))
                self.added += decision.outcome != OUTCOMES[outcome]
        self._memory.observe_now(arrivals)


class Replay:
    """Takes the standing records of one history. ``times`` are those of ``decided_at``."""

    def __init__(self, candidate: Candidate, times: tuple[int, int], to_base: ToBase) -> None:
        self._ways = [_Way(candidate, closed=closed) for closed in (False, True)]
        self._to_base = to_base
        self._times = times
        self._batch: list[_Seen] = []
        self._met: set[Key] = set()
        self._rows: list[tuple[int, int, float, int, int, int]] = []

    def take(self, record: HistoryRecord) -> None:
        """The next record that stands and is no marker; what cannot be read is left out."""
        try:
            seen = self._told(record)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError, InvalidEvent, WeirError):
            return  # the open figures count what is damaged
        if seen is None:
            return
        batch = self._batch
        if batch and (len(batch) >= AT_ONCE or _apart_ms(batch[0], seen) > SOON_MS):
            self._judge()
        self._batch.append(seen)

    def _told(self, record: HistoryRecord) -> _Seen | None:
        if record.topic == "ledger":
            entry = decode_ledger(record.value)
            return _Seen(self._arrival(entry.event, entry.arrived_at, entry.rates), None)
        decision = decode_decision(record.value)
        evidence = decision.evidence
        key = (decision.tenant, decision.payment_id)
        if evidence is None or not decision.authoritative or key in self._met:
            return None
        self._met.add(key)
        arrival = self._arrival(evidence.event, decision.decided_at, evidence.digests.rates)
        within = self._times[0] <= arrival.arrived_at_ms < self._times[1]
        return _Seen(arrival, decision if within else None)

    def _arrival(self, raw: msgspec.Raw, at: str, rates: str) -> Arrival:
        told = decode_stored(bytes(raw))
        money = isinstance(told.event, Payment | Refund)
        amount = self._to_base(told.event, rates) if money else None
        at_ms = parse_rfc3339(at)
        return Arrival(told.event, told.body, told.fingerprint, "stream", at_ms, amount)

    def _judge(self) -> None:
        batch, self._batch = self._batch, []
        found = [way.take(batch) for way in self._ways]
        judged = [one for one in batch if one.decision is not None]
        for one, opened, closed in zip(judged, *found, strict=True):
            decision, amount = one.decision, one.arrival.amount_base
            assert decision is not None
            self._rows.append(
                (
                    id_key(decision.tenant, decision.payment_id),
                    one.arrival.arrived_at_ms,
                    float(amount or 0),
                    OUTCOMES.index(decision.outcome),
                    opened,
                    closed,
                )
            )

    def closed(self, labels: Labels) -> Closed:
        """Open, closed and the gap, with the truth that is known by ``labels``."""
        self._judge()
        keys = np.array([row[0] for row in self._rows], np.uint64)
        decided, old, opened, closed = (
            np.array([row[place] for row in self._rows], np.int64) for place in (1, 3, 4, 5)
        )
        amount = np.array([row[2] for row in self._rows], np.float64)
        truth = labels.known(keys, decided)
        same = self._ways[0].same / len(keys) if len(keys) else 1.0
        loops = [_loop(outcome, truth, amount, same) for outcome in (opened, closed)]
        names = [name for name in Loop.__struct_fields__ if name != "same_vectors"]
        return Closed(
            open=loops[0],
            closed=loops[1],
            gap={name: getattr(loops[1], name) - getattr(loops[0], name) for name in names},
            differing_outcomes=int(np.count_nonzero(opened != closed)),
            dropped=self._ways[1].dropped,
            added=self._ways[1].added,
            unknowable=int(np.count_nonzero((old == BLOCK) & (closed != BLOCK))),
        )


async def closed_loop(
    history: History,
    of: tuple[Candidate, Labels],
    times: tuple[int, int],
    to_base: ToBase,
    progress: Progress = lambda records: None,
) -> Closed:
    """Replay ``history`` under a candidate, with the truth that is known by the labels.

    Memory grows with the entities of the history.
    """
    candidate, labels = of
    replay = Replay(candidate, times, to_base)
    async with aclosing(standing(history)) as chunks:
        async for chunk in chunks:
            for record in chunk.records:
                replay.take(record)
            progress(chunk.read)
    return replay.closed(labels)


def _loop(
    outcome: NDArray[np.int64], truth: Truth, amount: NDArray[np.float64], same: float
) -> Loop:
    stopped = (outcome != ALLOW) & truth.mature
    fraud, good = stopped & truth.fraud, stopped & ~truth.fraud
    return Loop(
        payments=len(outcome),
        allow=int(np.count_nonzero(outcome == ALLOW)),
        review=int(np.count_nonzero(outcome == REVIEW)),
        block=int(np.count_nonzero(outcome == BLOCK)),
        fraud_stopped=int(fraud.sum()),
        good_stopped=int(good.sum()),
        fraud_stopped_minor=round(float(amount[fraud].sum())),
        good_stopped_minor=round(float(amount[good].sum())),
        same_vectors=same,
    )


def _apart_ms(one: _Seen, other: _Seen) -> int:
    return abs(other.arrival.arrived_at_ms - one.arrival.arrived_at_ms)


def _same(decision: Decision, seen: Claimed | Lost) -> bool:
    """Whether the vector is the one that was served."""
    evidence = decision.evidence
    if evidence is None or evidence.vector is None or isinstance(seen, Lost):
        return evidence is not None and evidence.vector is None and isinstance(seen, Lost)
    if seen.vector is None or len(evidence.vector) != len(seen.vector):
        return False
    served = np.array(evidence.vector, np.float64)
    return bool(same_bits(served[None], seen.vector[None]).all())


def _decided(decision: Decision, arrival: Arrival, outcome: int) -> Arrival:
    """The record of the candidate's stop, as the worker makes it of a published decision."""
    payment = arrival.event
    fields: dict[str, Any] = {
        **entities_of(payment),
        "id": decision.payment_id,
        "payment_id": decision.payment_id,
        "tenant": decision.tenant,
        "occurred_at": from_ms(arrival.arrived_at_ms),
        "result": _RESULTS[outcome],
    }
    told = canonical(Decided(**fields))
    return Arrival(told.event, told.body, told.fingerprint, "stream", arrival.arrived_at_ms, None)
