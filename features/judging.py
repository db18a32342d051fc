"""Judgements made again: outcome, reasons and every byte of stored decisions, by their versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from features.proof.certificate import Difference, JudgementReport, ParityReport
from features.proof.history import HistoryRecord
from features.proof.origin import Origin
from features.truth import TruthTopic
from risk.domain.decision import Decision, Evidence, decode_decision
from risk.domain.errors import BadVersion, Unavailable, WeirError
from risk.domain.times import parse_rfc3339
from risk.replay import Named, evidence_of, judge_again, parted

MISSING_SHOWN: Final = 10
DAMAGED: Final = "VERSION_DAMAGED"


class VersionsByDigest(Protocol):
    """What the digests of a decision stand for, as far as it is to be had."""

    @property
    def missing(self) -> Sequence[str]:
        """In words, what the last ``of`` did not find; the first word is its kind."""
        ...

    async def of(self, evidence: Evidence) -> Named | None:
        """All that judged, None where something is missing.

        Raises BadVersion where a version is damaged, Unavailable where Kafka is away.
        """
        ...

    def look_again(self) -> None:
        """What was missing may have come since."""
        ...


class JudgedState(NamedTuple):
    """Counts so far; ``unprovable`` is the sum over all causes."""

    equal: int = 0
    unequal: int = 0
    unprovable: int = 0


class _When(msgspec.Struct):
    decided_at: str


_WHEN: Final = msgspec.json.Decoder(_When)


class Judging:
    """Judges the published decisions with ``from_ms <= decided_at < to_ms`` again.

    Also those without features, without a model and without authority: their evidence says
    what was lost. Of each partition one offset in ``every`` is judged (1: all of them). What
    cannot be read is passed over: ``features.parity`` counts it as damaged.
    """

    def __init__(
        self, versions: VersionsByDigest, from_ms: int, to_ms: int, every: int = 1
    ) -> None:
        self._versions = versions
        self._range_ms = (from_ms, to_ms)
        self._every = every
        self._following: dict[tuple[TruthTopic, int], int] = {}
        self._equal = 0
        self._unequal = 0
        self._causes: Counter[str] = Counter()
        self._missing: dict[str, None] = {}
        self._first: tuple[tuple[int, Origin], Difference] | None = None

    @property
    def state(self) -> JudgedState:
        """What was found so far."""
        return JudgedState(self._equal, self._unequal, self._causes.total())

    async def take(self, chunk: Sequence[HistoryRecord]) -> None:
        """Judge the decisions of the next chunk; what was taken before is passed over.

        Raises Unavailable where a version may be in Kafka, and Kafka is away.
        """
        for record in chunk:
            place = (record.topic, record.partition)
            if record.topic != "decisions" or record.offset < self._following.get(place, 0):
                continue
            if not record.marker and record.offset % self._every == 0:
                await self._judge(record)
            self._following[place] = record.offset + 1

    def look_again(self) -> None:
        """What was missing may have come since."""
        self._versions.look_again()

    def added_to(self, report: ParityReport) -> ParityReport:
        """``report`` with these judgements; the first difference of both is its first."""
        found = JudgementReport(
            checked=self._equal + self._unequal + self._causes.total(),
            equal=self._equal,
            unequal=self._unequal,
            unprovable=dict(sorted(self._causes.items())),
            every=self._every,
            missing=list(self._missing)[:MISSING_SHOWN],
        )
        verdict = report.verdict
        if found.unequal:
            verdict = "different"
        elif found.unprovable and verdict in ("equal", "empty"):
            verdict = "unprovable"
        first = report.first_difference
        if first is None and self._first is not None:
            first = self._first[1]
        return msgspec.structs.replace(
            report, verdict=verdict, judgements=found, first_difference=first
        )

    async def _judge(self, record: HistoryRecord) -> None:
        try:
            decided_ms = parse_rfc3339(_WHEN.decode(record.value).decided_at)
            if not self._range_ms[0] <= decided_ms < self._range_ms[1]:
                return
            decision = decode_decision(record.value)
        except (msgspec.DecodeError, UnicodeError, ValueError):
            return
        try:
            evidence = evidence_of(decision)
        except BadVersion as error:
            self._differs(record, decision, ("evidence", None, str(error)))
            return
        named = await self._named(evidence)
        if named is None:
            return
        try:
            made = judge_again(decision, named)
        except BadVersion as error:
            self._differs(record, decision, ("evidence", None, str(error)))
            return
        if made == record.value:
            self._equal += 1
        else:
            self._differs(record, decision, parted(record.value, made))

    async def _named(self, evidence: Evidence) -> Named | None:
        try:
            named = await self._versions.of(evidence)
        except Unavailable:
            raise
        except WeirError as error:
            self._unproven(DAMAGED, [str(error)])
            return None
        if named is None:
            missing = self._versions.missing
            self._unproven(f"{missing[0].split()[0].upper()}_UNKNOWN", missing)
        return named

    def _unproven(self, cause: str, words: Sequence[str]) -> None:
        self._causes[cause] += 1
        self._missing |= dict.fromkeys(words)

    def _differs(
        self, record: HistoryRecord, decision: Decision, how: tuple[str, str | None, str | None]
    ) -> None:
        self._unequal += 1
        path, served, made = how
        origin = Origin(record.topic, record.partition, record.offset)
        order = (record.timestamp_ms, origin)
        if self._first is None or order < self._first[0]:
            named = Difference(
                payment_id=decision.payment_id,
                tenant=decision.tenant,
                feature=path,
                served=served,
                rebuilt=made,
                decision=origin,
                records=[],
            )
            self._first = (order, named)
