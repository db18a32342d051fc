"""The walk of one payment, from a decoded event to an acknowledged decision.

Both doors hand batches to the same object. The order is the protocol of the design
(section 6): observe, score and judge, decide, publish, acknowledge. Whatever Redis forgot
in between is noticed as a stale epoch, and the walk starts again at observe.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from risk.domain.clock import Deadline
from risk.domain.decision import LedgerRecord, encode_ledger
from risk.domain.errors import DeadlineExceeded, StaleEpoch, Unavailable
from risk.domain.event import is_scored
from risk.domain.ids import digest
from risk.domain.kinds import event_key, record_kind
from risk.domain.observation import (
    Arrival,
    Claimed,
    Delivery,
    Lost,
    Memory,
    Mismatch,
    Observed,
    Publication,
    Publisher,
    Receipt,
    Stored,
)
from risk.domain.outcome import Outcome
from risk.domain.times import rfc3339
from risk.judgement import Claim, Judged, Judgement, Versions
from risk.observability.catalogue import CounterName
from risk.observability.metrics import Metrics

T = TypeVar("T")
# The caller has waited for its whole deadline already: Kafka gets one more moment.
FALLBACK_PUBLISH_S = 0.5


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The answer to one arrival.

    ``body`` is the published decision (b"" where it stands in Kafka already and nobody asked
    for its bytes, and on a mismatch). Only authoritative verdicts are final. ``unread``: decided
    before, but its bytes could not be read in time. ``published`` is False for a fallback that
    Kafka has not confirmed.
    """

    body: bytes
    outcome: Outcome
    mismatch: bool = False
    authoritative: bool = True
    repeated: bool = False
    degraded: tuple[str, ...] = ()
    unread: bool = False
    published: bool = True
    rules_failed: int = 0


class _Standing(NamedTuple):
    """What is decided of an arrival and not acknowledged yet."""

    publication: Publication
    degraded: tuple[str, ...] = ()
    rules_failed: int = 0


_Stood = _Standing | Receipt | Mismatch


class _Hit(msgspec.Struct):
    """A rule hit; one with an error is a failure."""

    error: str | None = None


class _Summary(msgspec.Struct):
    """What acknowledging and counting need to know of the bytes that another decided."""

    outcome: Outcome
    score: float | None
    degraded: tuple[str, ...] = ()
    rule_hits: tuple[_Hit, ...] = ()

    @property
    def rules_failed(self) -> int:
        return sum(hit.error is not None for hit in self.rule_hits)


_SUMMARY = msgspec.json.Decoder(_Summary)


class Onlooker(Protocol):
    """Is told what was decided here and published, before the answer; must not wait or raise."""

    def saw(
        self, seen: Sequence[tuple[Arrival, Claimed, float | None]], versions: Versions
    ) -> None: ...


class Engine:
    """One decision per payment, at both doors."""

    def __init__(
        self,
        memory: Memory,
        judgement: Judgement,
        publisher: Publisher,
        metrics: Metrics,
        onlooker: Onlooker | None = None,
    ) -> None:
        self._onlooker = onlooker
        self._memory = memory
        self._judgement = judgement
        self._publisher = publisher
        self._metrics = metrics

    async def handle(self, arrivals: Sequence[Arrival], deadline: Deadline) -> list[Verdict]:
        """Decide scored events and remember the others, in one walk, in their order.

        A verdict for each arrival. Raises Unavailable or DeadlineExceeded; nothing is lost
        then, a retry goes on.
        """
        started_s = deadline.remaining_s()
        verdicts = await self._until_fresh(lambda: self._walk(arrivals, deadline), deadline)
        self._count(arrivals, verdicts)
        spent_s = started_s - deadline.remaining_s()
        doors = Counter(arrival.door for arrival in arrivals if is_scored(arrival.event))
        for door, times in doors.items():
            self._metrics.observe("weir_decision_seconds", spent_s, times, door=door)
        return verdicts

    async def decide(self, arrivals: Sequence[Arrival], deadline: Deadline) -> list[Verdict]:
        """``handle`` for scored events."""
        return await self.handle(arrivals, deadline)

    async def remember(self, arrivals: Sequence[Arrival], deadline: Deadline) -> list[bool]:
        """``handle`` for remembered events; False for an id seen with other content."""
        return [not verdict.mismatch for verdict in await self.handle(arrivals, deadline)]

    async def fall_back(self, arrivals: Sequence[Arrival]) -> list[Verdict]:
        """The configured fallback, never authoritative, published where Kafka answers."""
        publications = [
            _decision(arrival, self._judgement.fallback(arrival)).publication
            for arrival in arrivals
        ]
        published = True
        try:
            async with asyncio.timeout(FALLBACK_PUBLISH_S):
                await self._publisher.publish(publications, self._memory.epoch)
        except (Unavailable, TimeoutError):
            published = False
            self._metrics.count(
                "weir_decisions_unpublished_total", len(publications), door=arrivals[0].door
            )
        verdicts = [
            Verdict(
                one.body,
                Outcome(one.outcome),
                authoritative=False,
                degraded=("fallback",),
                published=published,
            )
            for one in publications
        ]
        self._count(arrivals, verdicts)
        return verdicts

    async def find(self, receipt: Receipt) -> bytes | None:
        """The published bytes that ``receipt`` points at, None where retention took them."""
        return await self._publisher.read("decisions", receipt.partition, receipt.offset)

    async def _walk(self, arrivals: Sequence[Arrival], deadline: Deadline) -> list[Verdict]:
        epoch = self._memory.epoch
        stages = _Stages(deadline)
        # One set of versions for the whole walk: rules read the windows that were asked for.
        versions = self._judgement.versions
        observed = await within(deadline, self._memory.observe(arrivals, versions.rules.windows))
        stages.end("observe")
        stood = await self._decide(arrivals, observed, (versions, epoch), stages)
        outbox = [one.publication for one in stood if isinstance(one, _Standing)]
        await self._publish(outbox, epoch, stages)
        if self._onlooker is not None:
            self._onlooker.saw(_decided(arrivals, observed, stood), versions)
        stages.count(self._metrics)
        # Reading old answers must leave time to give the new ones, which are published now.
        kept_s = deadline.remaining_s() / 2
        return [
            _answer(arrival, one)
            if isinstance(one, _Standing)
            else await self._verdict(arrival, one, max(0.0, deadline.remaining_s() - kept_s))
            for arrival, one in zip(arrivals, stood, strict=True)
        ]

    async def _decide(
        self,
        arrivals: Sequence[Arrival],
        observed: Sequence[Observed],
        began: tuple[Versions, int],
        stages: _Stages,
    ) -> list[_Stood]:
        """Judge what was claimed and store the bytes; the first writer's bytes stand.

        ``began`` are the versions and the epoch with which the walk began.
        """
        versions, epoch = began
        claims = [
            (arrival, one)
            for arrival, one in zip(arrivals, observed, strict=True)
            if isinstance(one, Claimed | Lost)
        ]
        ours = self._ours(claims, versions)
        stages.end("judge")
        self._check(epoch)
        stand = await within(
            stages.deadline, self._memory.decide([one.publication for one in ours])
        )
        stages.end("decide")
        decided = iter(zip(ours, stand, strict=True))
        return [
            _stood(arrival, *next(decided))
            if isinstance(one, Claimed | Lost)
            else _stood(arrival, None, one)
            for arrival, one in zip(arrivals, observed, strict=True)
        ]

    def _ours(self, claims: Sequence[Claim], versions: Versions) -> list[_Standing]:
        """The decision of each scored claim, the ledger record of each other, in order."""
        scored = [one for one in claims if is_scored(one[0].event)]
        judged = iter(self._judgement.judge(scored, versions))
        rates = self._judgement.rates_digest
        return [
            _decision(arrival, next(judged))
            if is_scored(arrival.event)
            else _ledgered(arrival, ledger_body(arrival, seen, rates))
            for arrival, seen in claims
        ]

    async def _publish(
        self, outbox: Sequence[Publication], epoch: int, stages: _Stages
    ) -> list[Delivery]:
        """Deliver, then let Redis replace the bytes by receipts. Nothing is answered before."""
        if not outbox:
            return []
        self._check(epoch)
        deliveries = await within(stages.deadline, self._publisher.publish(outbox, epoch))
        stages.end("publish")
        self._check(epoch)
        await within(stages.deadline, self._memory.acknowledge(deliveries))
        stages.end("acknowledge")
        return deliveries

    def _check(self, epoch: int) -> None:
        """What was observed under another epoch may be gone: never carry it over."""
        if self._memory.epoch != epoch:
            raise StaleEpoch(f"observed under epoch {epoch}, now {self._memory.epoch}")

    def _count(self, arrivals: Sequence[Arrival], verdicts: Sequence[Verdict]) -> None:
        """One call for each counter and its labels, not one for each payment."""
        happened: Counter[tuple[CounterName, str, str]] = Counter()
        for arrival, verdict in zip(arrivals, verdicts, strict=True):
            door = arrival.door
            if verdict.mismatch:
                happened["weir_mismatches_total", door, ""] += 1
            elif not is_scored(arrival.event):
                happened["weir_remembered_total", door, ""] += 1
            elif verdict.repeated:
                happened["weir_decisions_repeated_total", door, ""] += 1
            else:
                happened["weir_decisions_total", door, verdict.outcome.value] += 1
                for step in verdict.degraded:
                    happened["weir_degraded_total", door, step] += 1
        for (name, at, more), times in happened.items():
            label = {"weir_decisions_total": "outcome", "weir_degraded_total": "step"}.get(name)
            self._metrics.count(name, times, door=at, **({label: more} if label else {}))
        failed = sum(verdict.rules_failed for verdict in verdicts)
        self._metrics.count("weir_rule_errors_total", failed)

    async def _verdict(
        self, arrival: Arrival, stood: Receipt | Mismatch, read_within_s: float
    ) -> Verdict:
        """The answer to what was decided before."""
        if isinstance(stood, Mismatch):
            return Verdict(b"", Outcome.REVIEW, mismatch=True)
        if not is_scored(arrival.event):
            return Verdict(b"", Outcome.ALLOW)
        # Only the HTTP door must answer again; the stream's first answer is in Kafka.
        if arrival.door != "http":
            return Verdict(b"", Outcome(stood.outcome), repeated=True)
        try:
            async with asyncio.timeout(read_within_s):
                body = await self.find(stood)
        except (Unavailable, TimeoutError):
            return Verdict(b"", Outcome(stood.outcome), repeated=True, unread=True)
        # Other bytes at a receipt's offset are not the decision's: never answer them.
        wrong = body is not None and digest(body) != stood.digest
        told = b"" if wrong else body or b""
        return Verdict(told, Outcome(stood.outcome), repeated=True, unread=wrong)

    async def _until_fresh(
        self, walk: Callable[[], Coroutine[Any, Any, T]], deadline: Deadline
    ) -> T:
        """Run ``walk``; after a stale epoch wait for recovery and start it again."""
        while True:
            try:
                return await walk()
            except StaleEpoch:
                self._metrics.count("weir_stale_epochs_total")
                await within(deadline, self._memory.recover())


async def within(deadline: Deadline, step: Awaitable[T]) -> T:
    """Await ``step`` for no longer than the deadline allows; raises DeadlineExceeded."""
    try:
        async with asyncio.timeout(deadline.remaining_s()):
            return await step
    except TimeoutError:
        raise DeadlineExceeded("the time allowed for this decision is spent") from None


class _Stages:
    """How long each step of one walk took, by the clock of its deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self._left_s = deadline.remaining_s()
        self._spent_s: dict[str, float] = {}

    def end(self, stage: str) -> None:
        """The step that ends now began where the one before it ended."""
        left_s = self.deadline.remaining_s()
        self._spent_s[stage] = self._left_s - left_s
        self._left_s = left_s

    def count(self, metrics: Metrics) -> None:
        """Add the steps of a walk that came to its end."""
        for stage, spent_s in self._spent_s.items():
            metrics.count("weir_stage_seconds_total", spent_s, stage=stage)


def _decided(
    arrivals: Sequence[Arrival], observed: Sequence[Observed], stood: Sequence[_Stood]
) -> list[tuple[Arrival, Claimed, float | None]]:
    """What was decided with features, and its score."""
    return [
        (arrival, seen, one.publication.score)
        for arrival, seen, one in zip(arrivals, observed, stood, strict=True)
        if isinstance(one, _Standing) and isinstance(seen, Claimed) and is_scored(arrival.event)
    ]


def _stood(arrival: Arrival, ours: _Standing | None, stand: Stored | Receipt | Mismatch) -> _Stood:
    """What stands for an arrival: our bytes, another's that wait to be published, or done."""
    if not isinstance(stand, Stored):
        return stand
    if ours is not None and stand.body == ours.publication.body:
        return ours
    return (_anothers if is_scored(arrival.event) else _ledgered)(arrival, stand.body)


def _ledgered(arrival: Arrival, body: bytes) -> _Standing:
    return _Standing(_publication(arrival, body))


def _anothers(arrival: Arrival, body: bytes) -> _Standing:
    of = _SUMMARY.decode(body)
    publication = _publication(arrival, body, of.outcome.value, of.score)
    return _Standing(publication, of.degraded, of.rules_failed)


def _answer(arrival: Arrival, stood: _Standing) -> Verdict:
    publication = stood.publication
    if not is_scored(arrival.event):
        return Verdict(b"", Outcome.ALLOW)
    return Verdict(
        publication.body,
        Outcome(publication.outcome),
        degraded=stood.degraded,
        rules_failed=stood.rules_failed,
    )


def _decision(arrival: Arrival, of: Judged) -> _Standing:
    publication = _publication(arrival, of.body, of.outcome.value, of.score)
    return _Standing(publication, of.degraded, of.rules_failed)


def _publication(
    arrival: Arrival, body: bytes, outcome: str = "", score: float | None = None
) -> Publication:
    """Where the bytes of an arrival go: decisions of scored events, else the ledger."""
    event = arrival.event
    scored = is_scored(event)
    name = event.id if scored else event.account or event.id
    return Publication(
        tenant=event.tenant,
        event_key=event_key(event),
        topic="decisions" if scored else "ledger",
        key=f"{event.tenant}:{name}".encode(),
        body=body,
        outcome=outcome,
        score=score,
    )


def ledger_body(arrival: Arrival, seen: Claimed | Lost, rates: str) -> bytes:
    """The ledger record of a remembered event with its places in the logs."""
    event = arrival.event
    record = LedgerRecord(
        event_id=event.id,
        tenant=event.tenant,
        record=record_kind(event),
        pending=False,
        event=msgspec.Raw(arrival.body),
        fingerprint=arrival.fingerprint.hex(),
        arrived_at=rfc3339(arrival.arrived_at_ms),
        positions=list(seen.positions),
        rates=rates,
    )
    return encode_ledger(record)
