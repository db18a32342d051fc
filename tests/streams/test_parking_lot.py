"""What is parked is remembered when its payment is known, given up in time, and never both."""

from __future__ import annotations

import msgspec
import pytest

from risk.domain.errors import Unavailable
from risk.domain.ids import digest
from risk.domain.observation import Arrival, Stored
from risk.domain.times import rfc3339
from streams.door import Item
from streams.intake import Intake
from streams.parking import decode_parked
from streams.parking_lot import SEARCH_EVERY_MS
from tests.support.parking import TOPICS, WINDOW_MS, Stand, label, sent, waiting
from tests.support.stream_records import NOW_MS, Raw, event
from tests.support.stream_records import decision as decision_bytes

HOUR_MS = 3_600_000


async def test_it_waits_until_its_payment_is_known_and_is_then_remembered_once() -> None:
    stand = Stand()
    one = waiting(label("b-1", "p-1"))
    stand.feed(stand.lot, sent(one))
    await stand.turn()
    assert (stand.engine.calls, stand.gone(), len(stand.lot)) == ([], [], 1)
    assert stand.metrics.value("weir_parked") == 1
    stand.memory.known["p:p-1"] = Stored(decision_bytes("p-1", account="a-9"))
    await stand.turn(500)
    assert stand.engine.calls == []  # it is not due yet
    await stand.turn(600)
    assert stand.engine.calls == [("handle", ["b-1"])]
    arrival = stand.engine.arrivals["b-1"]
    assert (arrival.event.account, arrival.arrived_at_ms, arrival.door) == (
        "a-9", NOW_MS, "stream",
    )  # fmt: skip
    assert (stand.gone(), len(stand.lot)) == ([one.key], 0)
    assert stand.metrics.value("weir_parked") == 0
    await stand.turn(HOUR_MS)
    assert len(stand.engine.calls) == 1


async def test_pauses_grow_and_stay_bounded() -> None:
    stand = Stand()
    stand.feed(stand.lot, sent(waiting(label("b-1", "p-1"))))
    for _ in range(24 * 60):
        await stand.turn(60_000)
    assert 140 < stand.memory.asked < 170  # about every ten minutes of a day


async def test_a_decision_that_only_the_archive_has_is_found_there() -> None:
    stand = Stand()
    stand.archive.held["main", "p-1"] = decision_bytes("p-1", account="a-8")
    stand.feed(stand.lot, sent(waiting(label("b-1", "p-1"))), sent(waiting(label("b-2", "p-2"))))
    await stand.turn()
    assert stand.engine.calls == [("handle", ["b-1"])]
    assert stand.engine.arrivals["b-1"].event.account == "a-8"
    for _ in range(5):
        await stand.turn(HOUR_MS)
    assert stand.archive.asked == [[("main", "p-1"), ("main", "p-2")]]
    await stand.turn(SEARCH_EVERY_MS)
    assert stand.archive.asked[1:] == [[("main", "p-2")]]


async def test_after_the_window_it_is_a_dead_letter_about_the_record_that_brought_it() -> None:
    stand = Stand()
    raw = label("b-1", "p-404")
    stand.feed(stand.lot, sent(waiting(raw)))
    await stand.turn(WINDOW_MS - 2_000)
    assert stand.letters() == []
    await stand.turn(2_000)
    (letter,) = stand.letters()
    assert (letter.code, letter.topic, letter.partition, letter.offset) == (
        "UNRESOLVED_PAYMENT", "weir.labels", 3, 7,
    )  # fmt: skip
    assert letter.sha256 == digest(raw)
    assert letter.reason.endswith("p-404")
    assert (len(stand.gone()), len(stand.lot)) == (1, 0)
    await stand.turn(HOUR_MS)
    assert len(stand.letters()) == 1


async def test_what_http_brought_keeps_its_door_and_is_named_by_its_place_on_the_topic() -> None:
    stand = Stand()
    one = waiting(label("b-1", "p-1"), source="")
    one = msgspec.structs.replace(one, door="http")
    stand.offset = 41
    stand.feed(stand.lot, sent(one))
    await stand.turn(WINDOW_MS)
    (letter,) = stand.letters()
    assert (letter.topic, letter.offset) == (TOPICS.parked, 41)
    assert letter.sha256 == digest(bytes(one.event))


async def test_another_content_under_one_id_is_refused_when_the_payment_comes() -> None:
    stand = Stand()
    stand.memory.known["p:p-1"] = Stored(decision_bytes("p-1"))
    stand.engine.mismatched.add("b-1")
    stand.feed(stand.lot, sent(waiting(label("b-1", "p-1"))))
    await stand.turn()
    (letter,) = stand.letters()
    assert (letter.code, letter.field) == ("PAYLOAD_MISMATCH", "/id")
    assert len(stand.lot) == 0


async def test_two_contents_under_one_id_wait_beside_each_other() -> None:
    stand = Stand()
    first = sent(waiting(event("label", "b-1", payment_id="p-1", label="chargeback",
                               known_at=rfc3339(NOW_MS))))  # fmt: skip
    other = sent(waiting(event("label", "b-1", payment_id="p-1", label="chargeback",
                               known_at=rfc3339(NOW_MS + 5))))  # fmt: skip
    stand.feed(stand.lot, first, other, first)
    assert len(stand.lot) == 2
    stand.memory.known["p:p-1"] = Stored(decision_bytes("p-1"))
    await stand.turn()
    assert [ids for _, ids in stand.engine.calls] == [["b-1"], ["b-1"]]  # never in one run


async def test_parked_again_it_does_not_get_more_time() -> None:
    stand = Stand()
    raw = label("b-1", "p-1")
    stand.feed(stand.lot, sent(waiting(raw)), sent(waiting(raw, NOW_MS + WINDOW_MS - HOUR_MS)))
    assert len(stand.lot) == 1
    await stand.turn(WINDOW_MS)
    assert len(stand.letters()) == 1


async def test_too_many_give_up_the_oldest() -> None:
    stand = Stand(parked_max=3)
    for number in range(5):
        stand.feed(stand.lot, sent(waiting(label(f"b-{number}", "p-1"), NOW_MS + number)))
    await stand.turn()
    assert len(stand.lot) == 3
    assert len(stand.letters()) == 2
    await stand.turn()
    assert len(stand.letters()) == 2


async def test_another_process_goes_on_where_this_one_was_killed() -> None:
    """After any step: nothing is lost, and the engine's claim sees one event only."""
    stand = Stand()
    topic = [sent(waiting(label("b-1", "p-1"))), sent(waiting(label("b-2", "p-2")))]
    stand.memory.known["p:p-1"] = Stored(decision_bytes("p-1"))
    stand.feed(stand.lot, *topic)
    stand.kafka.down = 99  # remembered, but that it has gone is never told
    with pytest.raises(Unavailable):
        await stand.turn()
    assert stand.engine.calls == [("handle", ["b-1"])]
    stand.kafka.down = 0
    stand.lot = stand.new_lot(stand.kafka, TOPICS)
    stand.feed(stand.lot, *topic)
    await stand.turn()
    assert stand.engine.calls[1:] == [("handle", ["b-1"])]  # the claim makes it a repetition
    assert len(stand.gone()) == 1
    stand.lot = stand.new_lot(stand.kafka, TOPICS)
    stand.feed(stand.lot, *topic, *stand.kafka.sent)
    assert len(stand.lot) == 1


async def test_partitions_of_others_and_records_that_are_none_are_left_alone() -> None:
    stand = Stand()
    one = sent(waiting(label("b-1", "p-1")))
    stand.feed(stand.lot, one, one._replace(value=b"{"), one._replace(key=b"x", value=b"[1]"))
    await stand.lot.turn([1 - one.partition])
    assert stand.memory.asked == 0
    stand.lot.forget([one.partition])
    assert len(stand.lot) == 0


async def test_what_the_door_parks_is_what_the_lot_reads() -> None:
    stand = Stand()
    raw = label("b-1", "p-1")
    record = Raw(7, raw, "weir.labels")
    arrival = Intake(lambda _: None, live=True).take(record)
    assert isinstance(arrival, Arrival)
    await stand.aside.park([Item(record, arrival)], NOW_MS)
    (out,) = stand.kafka.sent
    assert out == sent(waiting(raw))
    assert decode_parked(out.value or b"").arrival() == arrival
