"""The Handbook world as events: repeatable, ordered, valid, labelled, and as published."""

from __future__ import annotations

import hashlib
import time
from functools import cache
from itertools import islice

import numpy as np
import pytest

from risk.domain.decoding import canonical
from risk.domain.event import AnyEvent, Label, Payment
from risk.domain.ids import looks_like_card_number
from risk.simulator.handbook import (
    DAYS,
    LABEL_DELAY_MS,
    START_MS,
    HandbookWorld,
    interleave,
)
from risk.simulator.handbook_counts import counts, expectations
from risk.simulator.handbook_law import DAY_MS, SCENARIOS, Law, Table

# Three draws; a share may stray this far from what the law lets expect. Over 24 other draws the
# standard deviations were 0.8 % (payments), 4.8 %, 1.6 % and 2.3 % (scenarios), 1.1 % (frauds).
SEEDS = (7, 8, 9)
PAYMENTS_TOLERANCE = 0.03
SCENARIO_TOLERANCE = {"large_amount": 0.15, "bad_terminal": 0.09, "leaked_customer": 0.09}
FRAUD_TOLERANCE = 0.06


@cache
def small() -> tuple[HandbookWorld, list[AnyEvent]]:
    world = HandbookWorld(5, days=40, customers=100, terminals=2_000)
    return world, list(world.events())


def digest(table: Table) -> str:
    found = hashlib.sha256()
    for column in (
        table.time_ms, table.customer.astype(np.int64), table.terminal.astype(np.int64),
        table.amount_minor, table.scenario,
    ):  # fmt: skip
        found.update(column.tobytes())
    return found.hexdigest()


def test_same_seed_same_columns_and_bytes() -> None:
    world, events = small()
    again = HandbookWorld(5, days=40, customers=100, terminals=2_000)
    assert digest(world.table()) == digest(again.table())
    assert [canonical(event).body for event in events] == [
        canonical(event).body for event in again.events()
    ]
    assert digest(world.table()) == DIGEST


DIGEST = "05de0a8ad7d04b4912b6379fa7524601d95b013a996067dd255350f5c0490255"  # of this small world


def test_different_seeds_differ_and_share_no_id() -> None:
    here = {event.id for event in small()[1]}
    other = HandbookWorld(6, days=40, customers=100, terminals=2_000)
    there = {event.id for event in other.events()}
    assert not here & there


def test_events_come_in_time_order_labels_seven_days_after_each_fraud() -> None:
    world, events = small()
    times = [event.occurred_at_ms for event in events]
    assert times == sorted(times)
    payments = {event.id: event for event in events if isinstance(event, Payment)}
    labels = [event for event in events if isinstance(event, Label)]
    assert len(payments) + len(labels) == len(events)
    assert {label.payment_id for label in labels} == {
        name for name in payments if world.truth.is_fraud(name)
    }
    assert len({label.payment_id for label in labels}) == len(labels)
    for label in labels:
        payment = payments[label.payment_id]
        assert label.label == "fraud_report"
        assert label.known_at == label.occurred_at
        assert label.known_at_ms - payment.occurred_at_ms == LABEL_DELAY_MS
        assert (label.account, label.card, label.merchant) == (
            payment.account, payment.card, payment.merchant,
        )  # fmt: skip


def test_labels_go_first_at_equal_times_each_by_payment_number() -> None:
    _, events = small()
    payment, label = events[0], next(event for event in events if isinstance(event, Label))
    times = np.array([10, 20, 20, 30])
    merged = interleave([payment] * 4, times, [label] * 4, np.array([20, 20, 25, 99]))
    kinds = "".join("l" if isinstance(event, Label) else "p" for event in merged)
    assert kinds == "pllpplpl"
    assert not list(interleave([], np.array([]), [], np.array([])))


def test_payments_are_the_rows_of_the_table() -> None:
    world, events = small()
    table = world.table()
    payments = [event for event in events if isinstance(event, Payment)]
    assert len(payments) == len(table)
    for number, payment in enumerate(payments):
        customer, terminal = int(table.customer[number]), int(table.terminal[number])
        assert payment.id == world.payment_id(number)
        assert payment.occurred_at_ms == table.time_ms[number]
        assert payment.account == world.account_id(customer)
        assert payment.card == world.card_id(customer)
        assert payment.terminal == world.terminal_id(terminal)
        assert payment.merchant == world.merchant_id(terminal)
        assert payment.amount_minor == table.amount_minor[number]
        assert (payment.lon, payment.lat) == pytest.approx(
            world.places().terminals[terminal] / 100, abs=1e-5
        )


def test_every_event_is_valid_and_its_ids_are_never_all_digits() -> None:
    _, events = small()
    for event in events:
        canonical(event)
        for name in (event.id, event.account, event.card, event.merchant):
            assert name is not None
            assert not name.isdigit()
            assert not looks_like_card_number(name)
    assert len({event.id for event in events}) == len(events)


def test_truth_tells_the_scenario_and_nothing_of_other_worlds() -> None:
    world, _ = small()
    truth, table = world.truth, world.table()
    for number, code in enumerate(table.scenario.tolist()):
        name = world.payment_id(number)
        assert truth.scenario(name) == (SCENARIOS[code - 1] if code else None)
        assert truth.is_fraud(name) == (code > 0)
    assert len(truth) == int(table.fraud.sum())
    fraud = world.payment_id(int(np.flatnonzero(table.fraud)[0]))
    for foreign in ("", "pay_1", fraud.upper(), fraud + "0", fraud[:-8] + " 0x0000f",
                    world.payment_id(len(table)),
                    HandbookWorld(6).payment_id(0)[:-8] + fraud[-8:]):  # fmt: skip
        assert truth.scenario(foreign) is None
        assert not truth.is_fraud(foreign)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_whole_world_is_the_published_one(seed: int) -> None:
    world = HandbookWorld(seed)
    started = time.process_time()
    table = world.table()
    assert time.process_time() - started < 15
    found = counts(world.law, table)
    assert found["payments"] == pytest.approx(found["expected_payments"], rel=PAYMENTS_TOLERANCE)
    assert found["payments"] == pytest.approx(found["published_payments"], rel=0.045)
    assert found["fraud_share"] == pytest.approx(found["expected_fraud_share"], rel=FRAUD_TOLERANCE)
    for name, tolerance in SCENARIO_TOLERANCE.items():
        scenario = found["by_scenario"][name]
        assert scenario["share"] == pytest.approx(scenario["expected_share"], rel=tolerance)
    assert found["customers_a_day"] == pytest.approx(found["expected_customers_a_day"], rel=0.03)
    for amount in found["amount_minor"].values():
        assert amount["value"] == pytest.approx(amount["expected"], rel=0.06)
    assert_days_are_alike(world)
    assert_events_are_fast(world)


def assert_days_are_alike(world: HandbookWorld) -> None:
    """About 9,700 payments on each day, Poisson: 100 either way is one standard deviation."""
    day = (world.table().time_ms - START_MS) // DAY_MS
    by_day = np.bincount(day, minlength=DAYS)
    assert len(by_day) == DAYS
    assert by_day.std() == pytest.approx(np.sqrt(by_day.mean()), rel=0.25)


def assert_events_are_fast(world: HandbookWorld) -> None:
    """At least 20,000 events a second of one core."""
    started = time.process_time()
    events = sum(1 for _ in islice(world.events(), 100_000))
    assert events / (time.process_time() - started) > 20_000


def test_the_law_at_full_size_lets_expect_what_is_published() -> None:
    expected = expectations(Law(START_MS, DAYS, 5_000, 10_000))
    assert expected["payments"] == pytest.approx(1_754_000, rel=0.02)
    share = sum(expected[name] for name in SCENARIOS)
    assert share == pytest.approx(0.0084, abs=0.00005)


def test_worlds_of_other_sizes_are_not_compared_with_the_published_one() -> None:
    world, _ = small()
    found = counts(world.law, world.table())
    assert found["published_payments"] is None
    assert found["published_fraud_share"] is None
    assert found["frauds"] == len(world.truth)
    assert found["payments_a_day"] == len(world.table()) / 40


def test_a_world_without_payments_is_counted_too() -> None:
    world = HandbookWorld(0, days=5, customers=3, terminals=2)
    assert list(world.events()) == []
    found = counts(world.law, world.table())
    assert (found["payments"], found["fraud_share"]) == (0, 0.0)
    assert found["amount_minor"]["mean"]["value"] is None


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        HandbookWorld(-1)
