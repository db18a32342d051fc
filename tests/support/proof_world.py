"""A world in memory whose decisions and ledger stand in partitions, as a proof reads them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from functools import cache
from typing import Any

from aiokafka import TopicPartition

from features.catalogue import CATALOGUE
from features.local_memory import LocalMemory
from features.proof.history import Extent, HistoryRecord, Span
from features.truth import TruthTopic
from features.vectors import vectors
from models.scorer import Scorer
from risk.bootstrap import new_judgement
from risk.domain.decision import Door
from risk.domain.errors import BadConfiguration
from risk.domain.event import AnyEvent, Payment, Refund, is_scored
from risk.domain.observation import Arrival, Claimed, Lost
from risk.domain.times import rfc3339
from risk.engine import ledger_body
from risk.rules.book import Book
from risk.rules.compiler import Tables
from risk.rules.evaluator import CompiledBook
from risk.rules.schema import Schema
from risk.tables.load import exchange_rates
from streams.admin import ensure_topics
from streams.publish import EPOCH_HEADER, KafkaPublisher, Outgoing
from streams.topics import Topics
from streams.truth import MARKER_HEADER
from tests.support.archive_kafka import led
from tests.support.memory import START_MS, arrival
from tests.support.small_model import small_bundle

RATES = exchange_rates(None, "EUR")
STEP_MS = 40_000
STRANGERS = 100_000
KINDS = ("payment",) * 5 + ("transfer", "withdrawal", "login", "refund", "outcome", "label")


def to_base(event: AnyEvent, rates: str) -> int | None:
    """By the table that ships; no other is at hand."""
    if rates != RATES.digest():
        raise BadConfiguration(f"exchange rates {rates} are not here")
    if isinstance(event, Payment | Refund):
        return RATES.to_base(event.amount_minor, event.currency)
    return None


@cache
def scorer() -> Scorer:
    """The small model."""
    return small_bundle().scorer()


class OneModel:
    """Implements ``features.parity.Models`` with one model, for its own digests."""

    def __init__(self, model: Scorer | None = None) -> None:
        self._model = model or scorer()

    def of(self, model_digest: str, calibration_digest: str) -> Scorer | None:
        named = (model_digest, calibration_digest)
        mine = (self._model.model_digest, self._model.calibration_digest)
        return self._model if named == mine else None


class ListHistory:
    """Implements ``features.proof.history.History`` on a list."""

    def __init__(
        self,
        records: Sequence[HistoryRecord],
        *,
        chunk: int = 512,
        cut_ms: int | None = None,
        clocked: bool = True,
    ) -> None:
        self.records = list(records)
        self._chunk = chunk
        spans: dict[tuple[TruthTopic, int], list[int]] = {}
        for one in self.records:
            span = spans.setdefault((one.topic, one.partition), [one.offset, 0])
            span[0], span[1] = min(span[0], one.offset), max(span[1], one.offset + 1)
        if cut_ms is None:
            spans = {place: [0, span[1]] for place, span in spans.items()}
        self.extent = Extent(tuple(Span(*k, *v) for k, v in sorted(spans.items())), cut_ms, clocked)

    async def chunks(self) -> AsyncGenerator[Sequence[HistoryRecord], None]:
        for start in range(0, len(self.records), self._chunk):
            yield self.records[start : start + self._chunk]


class Ledger:
    """Partitions that records are appended to, with the publisher's epoch."""

    def __init__(self, partitions: int = 3) -> None:
        self.records: list[HistoryRecord] = []
        self._partitions = partitions
        self._next: dict[tuple[str, int], int] = defaultdict(int)

    def append(self, topic: TruthTopic, key: str, value: bytes, at_ms: int, epoch: int = 1) -> None:
        """Publish one record."""
        self._append(topic, sum(key.encode()) % self._partitions, value, at_ms, epoch)

    def mark(self, epoch: int, at_ms: int) -> None:
        """A marker in every partition."""
        topics: tuple[TruthTopic, ...] = ("decisions", "ledger")
        for topic in topics:
            for partition in range(self._partitions):
                self._append(topic, partition, b"", at_ms, epoch, marker=True)

    def _append(
        self,
        topic: TruthTopic,
        partition: int,
        value: bytes,
        at_ms: int,
        epoch: int,
        *,
        marker: bool = False,
    ) -> None:
        offset = self._next[topic, partition]
        self._next[topic, partition] = offset + 1
        self.records.append(HistoryRecord(topic, partition, offset, at_ms, epoch, marker, value))


def compiled(book: Book) -> CompiledBook:
    """``book`` over the catalogue."""
    return CompiledBook(book, Schema.of(CATALOGUE), Tables(RATES))


def story(
    seed: int,
    events: int,
    *,
    first: int = 0,
    after_ms: int = 0,
    pause_after: int = 0,
    pause_ms: int = 0,
    book: Book | None = None,
) -> list[HistoryRecord]:
    """Events of few entities through one memory and one judgement, and what that publishes.

    Some come late; a batch is published in another order than it was claimed, and some of it
    twice. ``first`` is the first event's number, ``after_ms`` when it begins; from number
    ``STRANGERS`` on other entities act. After ``pause_after`` events there may be a pause.
    ``book`` judges, where it is given.
    """
    rng = random.Random(seed)
    judgement = new_judgement(RATES)
    held = judgement.versions
    rules = held.rules if book is None else compiled(book)
    judgement.versions = judgement.constants.versions(scorer(), rules, held.policy)
    memory, ledger = LocalMemory(vectors), Ledger()
    begin_ms = START_MS + after_ms
    ledger.mark(1, begin_ms - 1)
    number = 0
    while number < events:
        size = min(rng.randint(1, 20), events - number)
        if number < pause_after:
            size = min(size, pause_after - number)
        elif number == pause_after:
            begin_ms += pause_ms
        batch = [
            _event(first + number + one, rng, begin_ms + (number + one) * STEP_MS)
            for one in range(size)
        ]
        number += size
        seen = memory.observe_now(batch, rules.windows)
        scored = [
            (one, claim)
            for one, claim in zip(batch, seen, strict=True)
            if isinstance(claim, Claimed | Lost) and is_scored(one.event)
        ]
        out: list[tuple[TruthTopic, str, bytes]] = [
            ("decisions", one.event.id, judged.body)
            for (one, _), judged in zip(scored, judgement.judge(scored), strict=True)
        ]
        out += [
            ("ledger", one.event.account or "", ledger_body(one, claim, judgement.rates_digest))
            for one, claim in zip(batch, seen, strict=True)
            if isinstance(claim, Claimed) and not is_scored(one.event)
        ]
        rng.shuffle(out)
        out += rng.sample(out, len(out) // 10)
        for topic, key, body in out:
            ledger.append(topic, key, body, batch[-1].arrived_at_ms + 5)
    return ledger.records


def _event(number: int, rng: random.Random, at_ms: int) -> Arrival:
    kind = rng.choice(KINDS)
    whose, net = ("", 0) if number < STRANGERS else ("s", 1)
    happened_ms = at_ms - rng.choice((0, 0, 0, 3_000, 90_000, 7_200_000))
    fields: dict[str, Any] = {
        "id": f"e{number}",
        "account": f"{whose}a{rng.randrange(3)}",
        "device": rng.choice((None, f"{whose}d1", f"{whose}d2")),
        "ip": rng.choice((None, f"10.0.{net}.1", f"10.0.{net}.2")),
        "card": rng.choice((None, f"{whose}c1", f"{whose}c2", f"{whose}c3")),
        "merchant": rng.choice((None, f"{whose}m1", f"{whose}m2")),
    }
    if kind in ("payment", "transfer", "withdrawal", "refund"):
        fields |= {
            "amount_minor": rng.randrange(1, 500_000),
            "currency": rng.choice(("EUR", "USD")),
        }
    if kind in ("payment", "transfer", "withdrawal"):
        fields |= {"country": rng.choice((None, "DE", "FR")), "lat": 52.5, "lon": rng.uniform(0, 9)}
    if kind == "outcome":
        fields |= {"payment_id": f"e{number - 1}", "result": rng.choice(("authorised", "declined"))}
    if kind == "label":
        fields |= {
            "payment_id": f"e{number - 1}",
            "label": "chargeback",
            "known_at": rfc3339(at_ms),
        }
    of = arrival(kind, happened_ms, **fields)
    door: Door = rng.choice(("stream", "http"))
    return Arrival(
        of.event, of.body, of.fingerprint, door, at_ms, to_base(of.event, RATES.digest())
    )


async def publish(kafka: str, topics: Topics, records: Sequence[HistoryRecord]) -> None:
    """Write a story to the topics of a world, in its order, at the present time."""
    names = {"decisions": topics.decisions, "ledger": topics.ledger}
    await ensure_topics(kafka, topics)
    await led(kafka, {TopicPartition(names[one.topic], one.partition) for one in records})
    async with KafkaPublisher(kafka, topics) as publisher:
        for start in range(0, len(records), 100):
            await publisher.deliver(
                [
                    Outgoing(
                        names[one.topic],
                        one.partition,
                        b"key",
                        None if one.marker else one.value,
                        headers_of(one),
                    )
                    for one in records[start : start + 100]
                ]
            )


def headers_of(record: HistoryRecord) -> tuple[tuple[str, bytes], ...]:
    """The headers that a publisher gives to a record."""
    marker = ((MARKER_HEADER, b"1"),) if record.marker else ()
    return ((EPOCH_HEADER, str(record.epoch).encode()), *marker)
