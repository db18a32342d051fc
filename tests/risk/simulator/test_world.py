"""The simulated world: repeatable, ordered, valid, and with the shares it promises."""

from __future__ import annotations

import time
from collections import Counter
from functools import cache

import pytest

from risk.domain.decoding import canonical
from risk.domain.event import AnyEvent, Label, Login, OutcomeReport, Payment, Refund
from risk.domain.ids import looks_like_card_number
from risk.simulator.agenda import Truth
from risk.simulator.population import DAY_MS
from risk.simulator.scenarios import SCENARIOS
from risk.simulator.world import World

START_MS = 1_780_000_000_000


@cache
def month() -> tuple[list[AnyEvent], Truth]:
    world = World(seed=11, accounts=900, start_ms=START_MS)
    return list(world.events(30)), world.truth


def text(seed: int, days: float, start_ms: int = START_MS) -> bytes:
    return b"\n".join(canonical(event).body for event in World(seed, 80, start_ms).events(days))


def test_same_seed_same_bytes() -> None:
    world = World(3, 80, START_MS)
    first = b"\n".join(canonical(event).body for event in world.events(2))
    again = b"\n".join(canonical(event).body for event in world.events(2))
    assert first == again == text(3, 2)


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    long, short = text(3, 2), text(3, 1)
    assert long.startswith(short)
    assert len(long) > len(short)


def test_different_seeds_differ() -> None:
    assert text(3, 1) != text(4, 1)


def test_ids_of_another_start_are_others() -> None:
    here = {event.id for event in World(3, 80, START_MS).events(1)}
    there = {event.id for event in World(3, 80, START_MS + 1).events(1)}
    assert not here & there


def test_events_come_in_event_time_order_inside_the_time_asked_for() -> None:
    times = [event.occurred_at_ms for event in month()[0]]
    assert times == sorted(times)
    assert times[0] >= START_MS
    assert times[-1] < START_MS + 30 * DAY_MS


def test_every_event_is_valid_and_has_an_id_of_its_own() -> None:
    events = month()[0]
    for event in events:
        canonical(event)
        assert not looks_like_card_number(event.id)
    assert len({event.id for event in events}) == len(events)


def test_every_type_of_event_is_there() -> None:
    kinds = Counter(event.kind for event in month()[0])
    assert set(kinds) == {
        "payment", "transfer", "withdrawal", "top_up", "login", "device_change",
        "beneficiary_added", "password_reset", "refund", "outcome", "label",
    }  # fmt: skip
    assert any(isinstance(event, Login) and not event.succeeded for event in month()[0])


def test_fraud_share_and_scenarios() -> None:
    events, truth = month()
    payments = [event for event in events if isinstance(event, Payment)]
    found = Counter(truth.scenario(event.id) for event in payments)
    share = 1 - found[None] / len(payments)
    assert 0.004 < share < 0.011
    # The rare scenarios do not come up in every month.
    names = {name for name in found if name}
    assert {"card_testing", "account_takeover", "stolen_card", "friendly_fraud"} < names
    assert names <= {scenario.name for scenario in SCENARIOS}


def test_outcomes_follow_their_payment_within_seconds() -> None:
    events, truth = month()
    payments = {event.id: event for event in events if isinstance(event, Payment)}
    outcomes = [
        event
        for event in events
        if isinstance(event, OutcomeReport) and event.result in ("authorised", "declined")
    ]
    assert len(outcomes) > 0.999 * len(payments)
    declined: Counter[bool] = Counter()
    total: Counter[bool] = Counter()
    for outcome in outcomes:
        payment = payments[outcome.payment_id]
        assert 0 < outcome.occurred_at_ms - payment.occurred_at_ms < 5_000
        assert (outcome.account, outcome.card, outcome.device) == (
            payment.account, payment.card, payment.device,
        )  # fmt: skip
        assert (outcome.reason is not None) == (outcome.result == "declined")
        fraud = truth.is_fraud(payment.id)
        total[fraud] += 1
        declined[fraud] += outcome.result == "declined"
    assert 0.01 < declined[False] / total[False] < 0.04
    assert 0.05 < declined[True] / total[True] < 0.5


def test_labels_come_late_and_not_for_every_fraud() -> None:
    events, truth = month()
    payments = {event.id: event for event in events if isinstance(event, Payment)}
    labels = [event for event in events if isinstance(event, Label)]
    delays_h: dict[str, list[float]] = {}
    for label in labels:
        assert label.occurred_at == label.known_at
        delay_ms = label.known_at_ms - payments[label.payment_id].occurred_at_ms
        delays_h.setdefault(label.label, []).append(delay_ms / 3_600_000)
    assert min(delays_h["fraud_report"]) > 0.4
    assert 8 < sorted(delays_h["fraud_report"])[len(delays_h["fraud_report"]) // 2] < 72
    assert min(delays_h["chargeback"]) > 5 * 24
    old = {
        payment_id
        for payment_id, payment in payments.items()
        if truth.is_fraud(payment_id) and payment.occurred_at_ms < START_MS + 15 * DAY_MS
    }
    labelled = {label.payment_id for label in labels if truth.is_fraud(label.payment_id)}
    assert 0.4 < len(old & labelled) / len(old) < 0.95


def test_refunds_name_their_payment_and_do_not_exceed_it() -> None:
    events = month()[0]
    payments = {event.id: event for event in events if isinstance(event, Payment)}
    refunds = [event for event in events if isinstance(event, Refund)]
    assert refunds
    for refund in refunds:
        payment = payments[refund.payment_id or ""]
        assert refund.amount_minor <= payment.amount_minor
        assert refund.currency == payment.currency
        assert refund.occurred_at > payment.occurred_at


def test_currencies_without_minor_unit_and_with_three_decimals_occur() -> None:
    payments = [event for event in month()[0] if isinstance(event, Payment)]
    currencies = Counter(event.currency for event in payments)
    assert {"JPY", "TND", "GBP"} <= set(currencies)
    assert currencies["EUR"] > 0.6 * len(payments)


def test_tempo_makes_the_same_people_pay_more_often() -> None:
    slow = sum(isinstance(event, Payment) for event in World(5, 200, START_MS).events(1))
    fast = sum(isinstance(event, Payment) for event in World(5, 200, START_MS, tempo=4).events(1))
    assert 3 < fast / slow < 5


def test_events_are_made_faster_than_a_worker_reads_them() -> None:
    began_s = time.process_time()
    events = sum(1 for _ in World(5, 2_000, START_MS).events(4))
    assert events / (time.process_time() - began_s) > 20_000  # measured: about 100,000


def test_one_account_is_a_world() -> None:
    accounts = {
        event.account for event in World(5, 1, START_MS).events(20) if event.account is not None
    }
    assert len(accounts) == 1


@pytest.mark.parametrize("share", [0.0, 0.03])
def test_the_share_of_fraud_is_the_one_asked_for(share: float) -> None:
    world = World(7, 600, START_MS, fraud_share=share)
    payments = [event for event in world.events(25) if isinstance(event, Payment)]
    frauds = sum(world.truth.is_fraud(event.id) for event in payments)
    assert 0.75 * share <= frauds / len(payments) <= 1.25 * share


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="share of fraud"):
        World(5, 10, START_MS, fraud_share=1.0)


def test_no_account_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 account"):
        World(5, 0, START_MS)
