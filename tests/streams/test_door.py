"""The stream door with twins of the engine and of Kafka: order, and what is set aside."""

from __future__ import annotations

import hashlib
import random

import msgspec
import pytest

from risk.domain.clock import ManualClock, SystemClock
from risk.domain.errors import BadConfiguration, Unavailable
from risk.domain.event import AnyEvent, Label, Payment, Refund
from risk.domain.ids import digest
from risk.domain.limits import BATCH_PAYMENTS_MAX, FUTURE_MS_MAX, LATENESS_MS_MAX
from risk.domain.observation import Receipt, Stored
from risk.domain.times import rfc3339
from risk.observability.metrics import Metrics
from streams.dead_letters import DeadLetter, decode_dead_letter
from streams.door import Aside, StreamDoor
from streams.intake import Intake
from streams.parking import decode_parked
from streams.resolve import Resolver
from streams.topics import Topics
from streams.worker import Walker
from tests.support.stream_records import NOW_MS, batch, event, payment
from tests.support.stream_records import decision as decision_bytes
from tests.support.stream_twins import EngineTwin, KafkaTwin, MemoryTwin

TOPICS = Topics("live")
GOOD = [payment(f"p-{number}") for number in range(3)]


class Stand:
    """A door between twins."""

    def __init__(self, *, live: bool = True, deadline_ms: int = 5_000) -> None:
        self.engine = EngineTwin()
        self.kafka = KafkaTwin()
        self.memory = MemoryTwin()
        self.clock = ManualClock(NOW_MS + 50)
        self.progress: list[tuple[str, int]] = []
        self.metrics = Metrics()
        intake = Intake(to_base, live=live)
        self.door = StreamDoor(
            intake,
            Resolver(self.memory, self.kafka),
            Walker(self.engine, SystemClock(), deadline_ms, random.Random(1)),
            Aside(self.kafka, TOPICS, self.metrics),
            self.clock,
            lambda topic, partition: self.progress.append((topic, partition)),
        )

    async def handle(self, *values: bytes | None) -> None:
        await self.door.handle(batch(*values))

    def letters(self) -> list[DeadLetter]:
        return [
            decode_dead_letter(one.value)
            for one in self.kafka.sent
            if one.topic == TOPICS.dead_letters and one.value is not None
        ]


def to_base(event: AnyEvent) -> int | None:
    return event.amount_minor if isinstance(event, Payment | Refund) else None


async def test_one_call_keeps_the_order_of_the_partition() -> None:
    stand = Stand()
    login = event("login", "l-1", account="a-1")
    await stand.handle(GOOD[0], GOOD[1], login, GOOD[2])
    assert stand.engine.calls == [("handle", ["p-0", "p-1", "l-1", "p-2"])]
    assert stand.kafka.sent == []
    assert stand.progress == [("weir.events", 3)]


async def test_the_engine_never_gets_more_than_a_batch_nor_one_event_twice() -> None:
    stand = Stand()
    many = [payment(f"p-{number}") for number in range(150)]
    await stand.handle(*many, many[-1])
    assert [len(ids) for _, ids in stand.engine.calls] == [
        BATCH_PAYMENTS_MAX, BATCH_PAYMENTS_MAX, 150 - 2 * BATCH_PAYMENTS_MAX, 1,
    ]  # fmt: skip


async def test_an_arrival_has_the_brokers_time() -> None:
    stand = Stand()
    await stand.handle(payment("p-1", NOW_MS - 4_000))
    arrival = stand.engine.arrivals["p-1"]
    assert (arrival.arrived_at_ms, arrival.door, arrival.amount_base) == (NOW_MS, "stream", 1999)


@pytest.mark.parametrize(
    ("value", "code", "field"),
    [
        (b"{", "INVALID_JSON", ""),
        (None, "INVALID_JSON", ""),
        (b'{"type": "payment\xff"}', "INVALID_UTF8", ""),
        (b"[" * 9_000, "WRONG_TYPE", ""),
        (b" " * 20_000, "TOO_LARGE", ""),
        (b"{" + b" " * 1_000_000 + b"}", "TOO_LARGE", ""),
        (event("teapot", "t-1"), "UNKNOWN_TYPE", "/type"),
        (event("decided", "d-1", payment_id="p", result="decided_block"), "UNKNOWN_TYPE", "/type"),
        (payment("p-1", hue="red"), "UNKNOWN_FIELD", "/hue"),
        (payment("p-1", **{"4111111111111111": 1}), "UNKNOWN_FIELD", "/?"),
        (event("payment", "p-1"), "MISSING_FIELD", "/account"),
        (payment("p-1", amount_minor="1"), "WRONG_TYPE", "/amount_minor"),
        (payment("p-1", amount_minor=-1), "OUT_OF_RANGE", "/amount_minor"),
        (payment("p-1", currency="XXX"), "UNKNOWN_CURRENCY", "/currency"),
        (payment("p-1", card="4111111111111111"), "CARD_NUMBER", "/card"),
        (payment("p-1", NOW_MS + FUTURE_MS_MAX + 1), "INVALID_TIME", "/occurred_at"),
        (payment("p-1", 1), "INVALID_TIME", "/occurred_at"),
        (payment("p-1", schema_version=9), "UNSUPPORTED_VERSION", "/schema_version"),
    ],
)
async def test_a_bad_record_among_good_ones(value: bytes | None, code: str, field: str) -> None:
    stand = Stand()
    await stand.handle(GOOD[0], value, GOOD[1])
    assert stand.engine.calls == [("handle", ["p-0", "p-1"])]
    (letter,) = stand.letters()
    assert (letter.topic, letter.partition, letter.offset) == ("weir.events", 3, 101)
    assert (letter.code, letter.field) == (code, field)
    assert letter.sha256 == hashlib.sha256(value or b"").hexdigest()
    assert letter.seen_at == "2026-11-02T12:00:00.050Z"
    (sent,) = stand.kafka.sent
    assert sent.key == b"weir.events:3:101"
    assert b"4111111111111111" not in (sent.value or b"")
    assert stand.metrics.value("weir_dead_letters_total", error=code) == 1


async def test_events_at_the_edges_of_time_are_taken() -> None:
    stand = Stand()
    await stand.handle(
        payment("p-1", NOW_MS + FUTURE_MS_MAX), payment("p-2", NOW_MS - LATENESS_MS_MAX)
    )
    assert stand.engine.calls == [("handle", ["p-1", "p-2"])]


async def test_late_events_go_to_the_late_topic_as_they_came() -> None:
    stand = Stand()
    late = payment("p-1", NOW_MS - LATENESS_MS_MAX - 1)
    await stand.handle(late, GOOD[2])
    assert stand.engine.calls == [("handle", ["p-2"])]
    (sent,) = stand.kafka.sent
    assert (sent.topic, sent.key, sent.value) == (TOPICS.late, b"main:a-1", late)
    assert sent.headers == (("source", b"weir.events:3:100"),)
    assert stand.metrics.value("weir_late_total") == 1


async def test_in_a_replayed_world_nothing_is_late_and_event_time_is_the_clock() -> None:
    stand = Stand(live=False)
    old_ms, ahead_ms = NOW_MS - 900 * LATENESS_MS_MAX, NOW_MS + 30 * LATENESS_MS_MAX
    await stand.handle(payment("p-1", old_ms), payment("p-2", ahead_ms))
    assert stand.engine.arrivals["p-1"].arrived_at_ms == old_ms
    assert stand.engine.arrivals["p-2"].arrived_at_ms == ahead_ms


async def test_a_mismatch_becomes_a_dead_letter_that_names_the_id() -> None:
    stand = Stand()
    stand.engine.mismatched = {"p-1", "l-1"}
    await stand.handle(*GOOD, event("login", "l-1", account="a-1"))
    first, second = stand.letters()
    assert (first.code, first.offset, first.field) == ("PAYLOAD_MISMATCH", 101, "/id")
    assert first.reason.endswith("p-1")
    assert second.offset == 103


async def test_parts_that_fail_for_a_moment_are_waited_for() -> None:
    stand = Stand()
    stand.engine.down = 3
    stand.kafka.down = 2
    await stand.handle(*GOOD, b"{")
    assert stand.engine.calls == [("handle", ["p-0", "p-1", "p-2"])]
    assert len(stand.letters()) == 1


async def test_parts_that_stay_away_end_the_batch_with_an_error() -> None:
    stand = Stand(deadline_ms=200)
    stand.engine.down = 1_000
    with pytest.raises(ExceptionGroup) as caught:
        await stand.handle(*GOOD)
    assert caught.group_contains(Unavailable)


async def test_poison_is_given_up_alone_and_its_payment_gets_the_fallback() -> None:
    stand = Stand()
    stand.engine.poison = {"p-1"}
    await stand.handle(*GOOD)
    assert stand.engine.calls == [
        ("handle", ["p-0"]), ("fall_back", ["p-1"]), ("handle", ["p-2"]),
    ]  # fmt: skip
    (letter,) = stand.letters()
    assert (letter.code, letter.offset) == ("ENGINE_ERROR", 101)


async def test_the_fallback_of_poison_is_published_before_the_batch_is_done() -> None:
    stand = Stand()
    stand.engine.poison, stand.engine.unpublished = {"p-1"}, 2
    await stand.handle(GOOD[1])
    assert stand.engine.calls == [("fall_back", ["p-1"])] * 3


async def test_a_wrong_setting_is_no_poison_and_nothing_is_given_up() -> None:
    stand = Stand()
    stand.engine.misconfigured = True
    with pytest.raises(ExceptionGroup) as caught:
        await stand.handle(*GOOD)
    assert caught.group_contains(BadConfiguration)
    assert stand.engine.calls == []
    assert stand.kafka.sent == []


def label(identifier: str, payment_id: str, at_ms: int = NOW_MS, **fields: str) -> bytes:
    known = msgspec.json.decode(event("x", "x", at_ms))["occurred_at"]
    body = {"payment_id": payment_id, "label": "chargeback", "known_at": known, **fields}
    return event("label", identifier, at_ms - 40 * LATENESS_MS_MAX, **body)


@pytest.mark.parametrize("published", [True, False])
async def test_a_label_gets_the_entities_of_its_payment(published: bool) -> None:
    stand = Stand()
    body = decision_bytes("p-1", card="c-7", device="d-7")
    stand.kafka.decisions = [body]
    stand.memory.known["p:p-1"] = (
        Receipt("block", 0.9, digest(body), 0, 0) if published else Stored(body)
    )
    await stand.handle(label("b-1", "p-1"))
    assert stand.engine.calls == [("handle", ["b-1"])]
    found = stand.engine.arrivals["b-1"].event
    assert isinstance(found, Label)
    assert (found.account, found.card, found.device, found.merchant) == ("a-1", "c-7", "d-7", None)


async def test_a_label_with_entities_is_not_looked_up() -> None:
    stand = Stand()
    await stand.handle(label("b-1", "p-1", card="c-9"))
    assert stand.memory.asked == 0
    assert stand.engine.arrivals["b-1"].event.card == "c-9"


async def test_a_label_that_overtook_its_payment_waits_a_moment() -> None:
    stand = Stand()
    stand.memory.known["p:p-1"] = Stored(decision_bytes("p-1"))
    stand.memory.after = 1
    await stand.handle(label("b-1", "p-1"), GOOD[0])
    assert stand.engine.calls == [("handle", ["p-0"]), ("handle", ["b-1"])]


async def test_in_a_backlog_the_payment_may_stand_before_its_outcome_in_one_batch() -> None:
    stand = Stand()
    stand.clock.advance(60_000)  # the worker was away for a minute
    stand.memory.known["p:p-0"] = Stored(decision_bytes("p-0"))
    stand.memory.after = 1
    outcome = event("outcome", "o-1", payment_id="p-0", result="declined")
    await stand.handle(GOOD[0], outcome)
    assert stand.engine.calls == [("handle", ["p-0"]), ("handle", ["o-1"])]
    assert stand.letters() == []


async def test_a_label_of_no_known_payment_is_parked() -> None:
    stand = Stand()
    stand.clock.advance(60_000)  # no longer young: nothing to wait for
    raw = label("b-1", "p-404")
    await stand.handle(raw, GOOD[0])
    assert stand.engine.calls == [("handle", ["p-0"])]
    (sent,) = stand.kafka.sent
    assert (sent.topic, sent.value is None) == (TOPICS.parked, False)
    one = decode_parked(sent.value or b"")
    assert (one.payment_id, one.door, one.sha256) == ("p-404", "stream", digest(raw))
    assert one.source == "weir.events:3:100"
    assert (one.arrived_at, one.parked_at) == (rfc3339(NOW_MS), rfc3339(NOW_MS + 60_050))
    assert stand.letters() == []
    assert stand.metrics.value("weir_parked_events_total", door="stream") == 1


async def test_every_record_of_a_batch_ends_somewhere() -> None:
    """Any mix: each record is handed to the engine, or is in a topic of what was set aside."""
    draw = random.Random(7)
    kinds = [
        lambda n: payment(f"p-{n}"),
        lambda n: event("login", f"l-{n}", account="a"),
        lambda n: b"\x00" * draw.randrange(40),
        lambda n: payment(f"p-{n}", NOW_MS - 2 * LATENESS_MS_MAX),
        lambda n: payment(f"p-{n}", currency="EURO"),
    ]
    for _ in range(30):
        stand = Stand()
        values = [draw.choice(kinds)(number) for number in range(draw.randrange(1, 128))]
        await stand.handle(*values)
        handled = sum(len(ids) for _, ids in stand.engine.calls)
        assert handled + len(stand.kafka.sent) == len(values)
        order = [int(name[2:]) for _, ids in stand.engine.calls for name in ids]
        assert order == sorted(order)


async def test_bytes_of_another_decision_at_a_receipts_offset_resolve_nothing() -> None:
    """Kafka was made anew under a Redis that was not: the offsets point at foreign payments."""
    stand = Stand()
    stand.clock.advance(60_000)
    stand.kafka.decisions = [decision_bytes("p-2", account="a-2")]
    stand.memory.known["p:p-1"] = Receipt("block", 0.9, digest(decision_bytes("p-1")), 0, 0)
    await stand.handle(label("b-1", "p-1"))
    assert stand.engine.calls == []
    assert [one.topic for one in stand.kafka.sent] == [TOPICS.parked]
