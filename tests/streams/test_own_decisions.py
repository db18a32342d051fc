"""What was stopped is remembered, once, and only where the decision stands."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from risk.domain.clock import ManualClock, SystemClock
from risk.domain.decoding import decode_stored
from risk.domain.event import Decided
from risk.domain.kinds import event_key, record_kind
from risk.domain.outcome import Outcome
from risk.domain.times import parse_rfc3339, rfc3339
from risk.observability.metrics import Metrics
from streams.batch import Batch
from streams.dead_letters import decode_dead_letter
from streams.door import Aside
from streams.intake import Intake
from streams.own_decisions import DecisionsDoor
from streams.topics import Topics
from streams.worker import Walker
from tests.support.stream_records import NOW_MS, Raw, decision
from tests.support.stream_twins import EngineTwin, KafkaTwin

TOPICS = Topics("live")


class Stand:
    def __init__(self) -> None:
        self.engine = EngineTwin()
        self.kafka = KafkaTwin()
        self.door = DecisionsDoor(
            Intake(lambda event: None, live=True),
            Walker(self.engine, SystemClock(), 5_000, random.Random(1)),
            Aside(self.kafka, TOPICS, Metrics()),
            ManualClock(NOW_MS),
        )

    async def handle(self, *records: Raw) -> None:
        placed = [
            replace(one, offset=offset, topic=TOPICS.decisions)
            for offset, one in enumerate(records)
        ]
        await self.door.handle(Batch(TOPICS.decisions, 3, 1, 0, placed))


def published(body: bytes, epoch: int = 1) -> Raw:
    return Raw(0, body, headers=(("epoch", str(epoch).encode()),))


def marker(epoch: int) -> Raw:
    return Raw(0, None, headers=(("epoch", str(epoch).encode()), ("marker", b"1")))


@pytest.mark.parametrize(
    ("outcome", "kind"), [(Outcome.REVIEW, "decided_review"), (Outcome.BLOCK, "decided_block")]
)
async def test_a_stopped_payment_leaves_records_of_its_entities(
    outcome: Outcome, kind: str
) -> None:
    stand = Stand()
    await stand.handle(published(decision("p-1", outcome, device="d-1")))
    arrival = stand.engine.arrivals["p-1"]
    assert isinstance(arrival.event, Decided)
    assert record_kind(arrival.event) == kind
    assert event_key(arrival.event) == f"{kind}:p-1"
    assert (arrival.event.account, arrival.event.device) == ("a-1", "d-1")
    assert arrival.event.occurred_at_ms == parse_rfc3339(rfc3339(NOW_MS + 20))
    assert decode_stored(arrival.body).event == arrival.event


async def test_allowed_and_not_authoritative_payments_leave_nothing() -> None:
    stand = Stand()
    fallback = decision("p-2").replace(b'"authoritative":true', b'"authoritative":false')
    await stand.handle(published(decision("p-1", Outcome.ALLOW)), published(fallback), marker(1))
    assert stand.engine.calls == []


def fallback(payment_id: str) -> bytes:
    """What the HTTP door published while Redis was away."""
    body = decision(payment_id, Outcome.REVIEW)
    return body.replace(b'"authoritative":true', b'"authoritative":false').replace(
        b'"door":"stream"', b'"door":"http"'
    )


async def test_a_fallback_of_the_http_door_is_decided_later() -> None:
    stand = Stand()
    await stand.handle(published(decision("p-1", Outcome.ALLOW)), published(fallback("p-2"), 7))
    assert stand.engine.calls == [("handle", ["p-2"])]
    arrival = stand.engine.arrivals["p-2"]
    assert event_key(arrival.event) == "p:p-2"
    assert (arrival.door, arrival.arrived_at_ms) == ("http", NOW_MS)


async def test_a_fallback_that_fails_again_does_not_come_back() -> None:
    stand = Stand()
    stand.engine.poison = {"p-1"}
    await stand.handle(published(fallback("p-1")))
    assert ("fall_back", ["p-1"]) not in stand.engine.calls
    (sent,) = stand.kafka.sent
    assert decode_dead_letter(sent.value or b"").code == "ENGINE_ERROR"


async def test_void_decisions_leave_nothing() -> None:
    stand = Stand()
    await stand.handle(
        published(decision("p-1"), 1),
        marker(2),
        published(decision("p-2"), 1),  # a zombie of the epoch before
        published(decision("p-3"), 2),
    )
    assert stand.engine.calls == [("handle", ["p-1", "p-3"])]
    await stand.handle(published(decision("p-4"), 1), published(decision("p-5"), 2))
    assert stand.engine.calls[1:] == [("handle", ["p-5"])]


async def test_markers_that_another_worker_read_do_not_make_decisions_void() -> None:
    stand = Stand()
    await stand.handle(marker(1), published(decision("p-1"), 1))
    # The partition goes to another worker, a recovery happens, the partition comes back.
    await stand.handle(published(decision("p-2"), 3), published(decision("p-3"), 1))
    assert stand.engine.calls == [("handle", ["p-1"]), ("handle", ["p-2"])]


async def test_a_void_record_where_reading_begins_does_not_hide_those_behind_it() -> None:
    stand = Stand()
    await stand.handle(published(decision("p-1"), 1), published(decision("p-2"), 2))
    assert stand.engine.calls == [("handle", ["p-1", "p-2"])]


async def test_a_repeated_decision_is_the_same_event() -> None:
    stand = Stand()
    await stand.handle(published(decision("p-1")), published(decision("p-1")))
    assert stand.engine.calls == [("handle", ["p-1"]), ("handle", ["p-1"])]


@pytest.mark.parametrize("body", [b"{", b'{"payment_id": 1}', b"\xff"])
async def test_what_is_no_decision_is_set_aside(body: bytes) -> None:
    stand = Stand()
    await stand.handle(published(body), published(decision("p-1")))
    assert stand.engine.calls == [("handle", ["p-1"])]
    (sent,) = stand.kafka.sent
    letter = decode_dead_letter(sent.value or b"")
    assert (letter.topic, letter.offset, letter.code) == (TOPICS.decisions, 0, "INVALID_JSON")
