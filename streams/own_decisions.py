"""Weir's own decisions, read again: what was stopped leaves records, fallbacks are completed.

A payment that the HTTP door answered with the fallback, because Redis or the deadline was
away, is decided here as soon as that is possible: its records are appended late, rather than
never, and the topic gets its authoritative decision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from features.truth import Standing
from risk.domain.clock import Clock
from risk.domain.decision import Decision, decode_decision
from risk.domain.decoding import canonical, decode_event
from risk.domain.errors import InvalidEvent
from risk.domain.event import Decided
from risk.domain.observation import Arrival
from risk.domain.outcome import Outcome
from risk.domain.resolving import entities_of
from risk.domain.times import from_ms, parse_rfc3339
from streams.batch import Batch, Record
from streams.dead_letters import ENGINE_ERROR, DeadLetter, dead_letter
from streams.door import Aside, Item, runs
from streams.intake import Intake
from streams.truth import truth_record
from streams.worker import Walker

_RESULTS: Final = {Outcome.REVIEW: "decided_review", Outcome.BLOCK: "decided_block"}


class _Glance(msgspec.Struct):
    """What tells whether a decision leaves anything to do; most are allows and do not."""

    authoritative: bool
    outcome: Outcome


_GLANCE = msgspec.json.Decoder(_Glance)


class DecisionsDoor:
    """A handler for the decisions topic."""

    def __init__(
        self,
        intake: Intake,
        walker: Walker,
        aside: Aside,
        clock: Clock,
        progress: Callable[[str, int], None] = lambda topic, partition: None,
    ) -> None:
        self._intake = intake
        self._walker = walker
        self._aside = aside
        self._clock = clock
        self._progress = progress
        self._standing: dict[int, Standing] = {}

    async def handle(self, batch: Batch) -> None:
        """Remember the stopped payments among the standing decisions of ``batch``.

        A repeated decision is the same event again. Raises what ``Walker`` raises.
        """
        items: list[Item] = []
        letters: list[DeadLetter] = []
        for record in batch.records:
            try:
                arrival = self._arrival(record)
            except (InvalidEvent, msgspec.DecodeError, ValueError):
                # Not what a Weir publishes: whoever may write here must be looked at.
                letters.append(dead_letter(record, "INVALID_JSON", self._clock.now_ms()))
                continue
            if arrival is not None:
                items.append(Item(record, arrival))
        for run in runs(items):
            # A fallback that fails again is a dead letter; another fallback would come back here.
            codes = await self._walker.walk([item.arrival for item in run], fall_back=False)
            letters += [
                dead_letter(item.record, ENGINE_ERROR, self._clock.now_ms())
                for item, code in zip(run, codes, strict=True)
                if code == ENGINE_ERROR
            ]
            self._progress(batch.topic, batch.partition)
        if letters:
            await self._walker.patiently(lambda _deadline: self._aside.put(letters))

    def _arrival(self, record: Record) -> Arrival | None:
        seen = truth_record(record)
        # Where reading begins, the first record shows the epoch in force.
        standing = self._standing.setdefault(record.partition, Standing(None))
        stands = standing.admits(seen)
        if seen.marker or not seen.value:
            return None
        glance = _GLANCE.decode(seen.value)
        if not glance.authoritative:
            return self._unfinished(decode_decision(seen.value))
        if not stands or glance.outcome not in _RESULTS:
            return None
        return self._remembered(decode_decision(seen.value))

    def _unfinished(self, decision: Decision) -> Arrival | None:
        """The payment behind a fallback of the HTTP door; whose epoch it was does not matter."""
        evidence = decision.evidence
        if evidence is None or evidence.door != "http":
            return None
        payment = decode_event(bytes(evidence.event))
        arrival = self._intake.arrival(payment, parse_rfc3339(evidence.arrived_at))
        return replace(arrival, door="http")

    def _remembered(self, decision: Decision) -> Arrival | None:
        if decision.evidence is None:
            return None
        payment = decode_event(bytes(decision.evidence.event)).event
        decided_at_ms = parse_rfc3339(decision.decided_at)
        fields: dict[str, Any] = {
            **entities_of(payment),
            "id": decision.payment_id,
            "payment_id": decision.payment_id,
            "tenant": decision.tenant,
            "occurred_at": from_ms(decided_at_ms),
            "result": _RESULTS[decision.outcome],
        }
        return self._intake.arrival(canonical(Decided(**fields)), decided_at_ms)
