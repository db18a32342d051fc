"""Training rows: the vectors of serving, labels as of a moment, splits by time only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import FEATURE_NAMES
from features.local_memory import LocalMemory
from features.vectors import vectors
from models.dataset import DAY_MS, Samples, join, observe, split_by_time
from risk.domain.decoding import canonical
from risk.domain.errors import BadConfiguration
from risk.domain.event import AnyEvent, Label, Payment, Refund
from risk.domain.observation import Arrival, Claimed
from risk.domain.times import from_ms
from risk.simulator.world import World
from risk.tables.load import exchange_rates
from tests.support.small_model import DAYS, START_MS, small_samples

RATES = exchange_rates(None, "EUR")
HOUR_MS = 3_600_000


def payment(number: int, at_ms: int, **fields: Any) -> Payment:
    return Payment(
        id=f"pay_{number}",
        occurred_at=from_ms(at_ms),
        account="acc_1",
        amount_minor=1_000 + number,
        currency=fields.pop("currency", "EUR"),
        **fields,
    )


def label(of: int, word: Any, known_ms: int) -> Label:
    return Label(
        id=f"lab_{of}_{word}",
        occurred_at=from_ms(known_ms),
        payment_id=f"pay_{of}",
        label=word,
        known_at=from_ms(known_ms),
        account="acc_1",
    )


def one_by_one(events: list[AnyEvent]) -> Iterator[tuple[str, np.ndarray]]:
    """(payment id, vector), observed in batches of one by a memory of its own."""
    memory = LocalMemory(vectors)
    for event in events:
        checked = canonical(event)
        amount = None
        if isinstance(event, Payment | Refund):
            amount = RATES.to_base(event.amount_minor, event.currency)
        arrival = Arrival(checked.event, checked.body, checked.fingerprint, "stream", 0, amount)
        (seen,) = memory.observe_now([arrival])
        if isinstance(seen, Claimed) and seen.vector is not None:
            yield event.id, seen.vector


@pytest.fixture(scope="module")
def history() -> list[AnyEvent]:
    return list(World(11, 60, START_MS).events(4.0))


def test_rows_are_the_vectors_of_the_memory_bit_for_bit(history: list[AnyEvent]) -> None:
    samples = observe(history, RATES)
    expected = list(one_by_one(history))
    assert len(samples) == len(expected) > 300
    assert samples.matrix.tobytes() == np.stack([row for _, row in expected]).tobytes()
    assert samples.matrix.shape[1] == len(FEATURE_NAMES)
    assert np.isnan(samples.matrix).any()


def test_progress_counts_every_event(history: list[AnyEvent]) -> None:
    told: list[int] = []
    observe(history, RATES, told.append)
    assert told == sorted(told)
    assert told[-1] == len(history)


def test_an_event_that_comes_twice_is_one_row() -> None:
    one = payment(1, START_MS)
    other = msgspec.structs.replace(one, amount_minor=5)
    samples = observe([one, one, payment(2, START_MS + 1), other], RATES)
    assert samples.time_ms.tolist() == [START_MS, START_MS + 1]


def test_amounts_are_in_the_base_currency_where_a_rate_is_known() -> None:
    samples = observe([payment(1, START_MS), payment(2, START_MS, currency="KPW")], RATES)
    assert samples.amount_base.tolist() == [1_001, -1]


def test_a_label_counts_from_when_it_is_known_and_the_highest_rank_stands() -> None:
    known_ms = START_MS + HOUR_MS
    events: list[AnyEvent] = [
        payment(1, START_MS),
        payment(2, START_MS + 1),
        payment(3, START_MS + 2),
        label(1, "fraud_report", known_ms),
        label(2, "analyst_legit", known_ms),
        label(1, "dispute_won", known_ms + HOUR_MS),
        label(1, "chargeback", known_ms + 2 * HOUR_MS),
        label(9, "chargeback", known_ms),
    ]
    events.append(label(1, "dispute_won", known_ms + 3 * HOUR_MS))
    samples = observe(events, RATES)
    assert samples.fraud_at(known_ms + 3 * HOUR_MS).tolist() == [True, False, False]
    assert samples.fraud_at(known_ms - 1).tolist() == [False, False, False]
    assert samples.fraud_at(known_ms).tolist() == [True, False, False]
    assert samples.fraud_at(known_ms + HOUR_MS).tolist() == [True, False, False]
    assert samples.fraud_at(known_ms + 2 * HOUR_MS).tolist() == [True, False, False]


def test_a_vector_does_not_know_the_future(history: list[AnyEvent]) -> None:
    half = len(history) // 2
    whole, first = observe(history, RATES), observe(history[:half], RATES)
    assert whole.matrix[: len(first)].tobytes() == first.matrix.tobytes()


def test_joined_histories_keep_their_labels() -> None:
    one, two = small_samples(1, 200), small_samples(2, 300)
    both = join([one, two])
    end_ms = START_MS + 2 * DAYS * DAY_MS
    assert len(both) == 500
    assert np.array_equal(
        both.fraud_at(end_ms), np.concatenate([one.fraud_at(end_ms), two.fraud_at(end_ms)])
    )


@settings(max_examples=60, deadline=None)
@given(delay_days=st.floats(0.0, 5.0), share=st.floats(0.2, 0.8), seed=st.integers(1, 5))
def test_parts_follow_each_other_with_the_label_delay_between(
    delay_days: float, share: float, seed: int
) -> None:
    samples = small_samples(seed)
    as_of_ms, delay_ms = START_MS + DAYS * DAY_MS, int(delay_days * DAY_MS)
    split = split_by_time(samples, as_of_ms, delay_ms, share)
    for before, after in ((split.train, split.validation), (split.validation, split.test)):
        times = samples.time_ms
        assert times[before.rows].max() + delay_ms <= after.from_ms <= times[after.rows].min()
        # Nothing that was learned only after the next part began is used.
        assert before.as_of_ms == after.from_ms
    assert split.test.to_ms + delay_ms == split.test.as_of_ms == as_of_ms
    for part in (split.train, split.validation, split.test):
        assert np.array_equal(part.fraud, samples.fraud_at(part.as_of_ms)[part.rows])


def test_a_history_that_is_too_short_says_how_long_it_must_be() -> None:
    samples = small_samples(1)
    with pytest.raises(BadConfiguration, match=r"take at least 31\.0 days"):
        split_by_time(samples, START_MS + DAYS * DAY_MS, 10 * DAY_MS)


def test_parts_without_fraud_are_refused() -> None:
    samples = small_samples(1)
    honest = Samples(samples.matrix, samples.time_ms, samples.amount_base, {})
    with pytest.raises(BadConfiguration, match="the train part has 0 frauds"):
        split_by_time(honest, START_MS + DAYS * DAY_MS, DAY_MS)


def test_an_empty_history_is_refused() -> None:
    with pytest.raises(BadConfiguration, match="no payments"):
        split_by_time(observe([], RATES), START_MS, DAY_MS)


def test_fraud_counts_from_when_it_stands_without_a_break() -> None:
    words = {
        0: ((10, True), (20, True)),
        1: ((10, True), (20, False)),
        2: ((10, True), (20, False), (30, True)),
        3: ((40, True),),
    }
    samples = Samples(np.zeros((5, 1)), np.zeros(5, np.int64), np.zeros(5, np.int64), words)
    assert samples.fraud_since(30).tolist() == [10, -1, 30, -1, -1]
