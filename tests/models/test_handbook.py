"""The Handbook protocol against slow, plain readings of it."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dataset import observe
from models.evaluate import auc
from models.handbook import (
    FEATURES,
    STARTS_MS,
    Metrics,
    baseline_features,
    fold,
    folds,
    mean_and_spread,
    measure,
)
from models.rivals import RIVALS
from risk.domain.errors import BadConfiguration
from risk.domain.times import to_ms
from risk.simulator.handbook import HandbookWorld
from risk.simulator.handbook_law import DAY_MS, Table
from risk.tables.load import exchange_rates

HOUR_MS = 3_600_000
START_MS = 1_522_540_800_000


def a_table(rows: list[tuple[int, int, int, int, bool]]) -> Table:
    """Rows are (time, customer, terminal, amount, fraud)."""
    ordered = sorted(rows)
    column = [np.array(values) for values in zip(*ordered, strict=True)] or [np.empty(0)] * 5
    return Table(
        column[0].astype(np.int64), column[1].astype(np.int32), column[2].astype(np.int32),
        column[3].astype(np.int64), column[4].astype(np.int8),
    )  # fmt: skip


# Six-hour steps make equal times and window edges common.
HISTORIES = st.lists(
    st.tuples(
        st.integers(0, 60 * 4).map(lambda step: START_MS + step * 6 * HOUR_MS),
        st.integers(0, 3), st.integers(0, 3), st.integers(0, 100_000), st.booleans(),
    ),
    max_size=80,
)  # fmt: skip


def plain_features(table: Table) -> list[list[float]]:
    """The 15 features, one payment and one window at a time."""
    rows = list(
        zip(
            table.time_ms.tolist(), table.customer.tolist(), table.terminal.tolist(),
            table.amount_minor.tolist(), table.fraud.tolist(), strict=True,
        )
    )  # fmt: skip
    found = []
    for now, customer, terminal, amount, _ in rows:
        moment = datetime.fromtimestamp(now / 1000, UTC)
        features = [float(amount), float(moment.weekday() in (5, 6)), float(moment.hour <= 6)]
        for days in (1, 7, 30):
            paid = [
                row[3] for row in rows if row[1] == customer and now - days * DAY_MS < row[0] <= now
            ]
            features += [len(paid), sum(paid) / len(paid)]
        known = now - 7 * DAY_MS
        for days in (1, 7, 30):
            frauds = [
                row[4]
                for row in rows
                if row[2] == terminal and known - days * DAY_MS < row[0] <= known
            ]
            features += [len(frauds), sum(frauds) / len(frauds) if frauds else 0.0]
        found.append(features)
    return found


@settings(max_examples=120, deadline=None)
@given(HISTORIES)
def test_features_are_the_described_ones(rows: list[tuple[int, int, int, int, bool]]) -> None:
    table = a_table(rows)
    assert baseline_features(table).tolist() == plain_features(table)


def test_features_of_a_drawn_world_are_the_described_ones() -> None:
    table = HandbookWorld(5, days=60, customers=20, terminals=600).table()
    matrix = baseline_features(table)
    assert matrix.shape == (len(table), len(FEATURES)) == (len(table), 15)
    assert matrix.tolist() == plain_features(table)
    assert matrix[:, 10].max() > 0


def plain_fold(table: Table, start_ms: int) -> tuple[list[int], list[int]]:
    day = ((table.time_ms - start_ms) // DAY_MS).tolist()
    customer, fraud = table.customer.tolist(), table.fraud.tolist()
    train = [row for row in range(len(table)) if 0 <= day[row] < 7]
    test = []
    for row in range(len(table)):
        if 14 <= day[row] < 21:
            known = any(
                customer[other] == customer[row]
                and fraud[other]
                and 0 <= day[other] <= day[row] - 8
                for other in range(len(table))
            )
            test += [] if known else [row]
    return train, test


def test_folds_take_out_customers_whose_fraud_is_known() -> None:
    table = HandbookWorld(5, days=40, customers=25, terminals=600).table()
    for start in (0, 3, 10):
        found = fold(table, START_MS + start * DAY_MS)
        train, test = plain_fold(table, START_MS + start * DAY_MS)
        assert found.train.tolist() == train
        assert found.test.tolist() == test
        assert len(test) < np.sum(
            (table.time_ms >= found.test_ms) & (table.time_ms < found.test_ms + 7 * DAY_MS)
        )


def test_every_label_of_the_training_is_known_when_the_test_starts() -> None:
    table = HandbookWorld(5, days=40, customers=25, terminals=600).table()
    found = fold(table, START_MS)
    assert table.time_ms[found.train].max() + 7 * DAY_MS < found.test_ms


def test_the_protocols_start_on_the_published_days() -> None:
    def days(*texts: str) -> tuple[int, ...]:
        return tuple(to_ms(datetime.fromisoformat(f"2018-{text}T00:00Z")) for text in texts)

    assert STARTS_MS["one"] == days("07-25")
    assert STARTS_MS["folds"] == days("07-25", "08-01", "08-08", "08-15")
    assert STARTS_MS["choice"] == days("06-20", "06-27", "07-04", "07-11")
    # The last day on which a model is chosen comes before the first day that is tested.
    assert STARTS_MS["choice"][-1] + 21 * DAY_MS <= STARTS_MS["one"][0] + 14 * DAY_MS


def test_a_world_too_short_is_refused() -> None:
    with pytest.raises(BadConfiguration, match="full length"):
        folds(HandbookWorld(5, days=40, customers=25, terminals=600).table(), "folds")
    with pytest.raises(BadConfiguration, match="full length"):
        fold(a_table([]), START_MS)
    with pytest.raises(BadConfiguration, match="full length"):  # its last test day is missing
        fold(HandbookWorld(5, days=20, customers=25, terminals=600).table(), START_MS)


def test_mean_and_population_spread() -> None:
    mean, spread = mean_and_spread([Metrics(0.75, 0.5, 0.25), Metrics(0.875, 0.75, 0.25)])
    assert mean == Metrics(0.8125, 0.625, 0.25)
    assert spread == Metrics(0.0625, 0.125, 0.0)


def test_logistic_regression_does_what_is_published() -> None:
    """Four folds: 0.868, 0.623, 0.297; draws of the law differ by about 0.02."""
    table = HandbookWorld(7).table()
    matrix = baseline_features(table)
    tested = folds(table, "folds")
    assert [one.start_ms for one in tested] == list(STARTS_MS["folds"])
    assert all(one.test_ms == next_one.start_ms + 7 * DAY_MS for one, next_one in pairwise(tested))
    mean, spread = mean_and_spread(
        [
            measure(
                table,
                one,
                RIVALS["logistic_regression"](
                    matrix[one.train], table.fraud[one.train], matrix[one.test]
                ),
            )
            for one in tested
        ]
    )
    assert mean.auc_roc == pytest.approx(0.868, abs=0.03)
    assert mean.average_precision == pytest.approx(0.623, abs=0.03)
    assert mean.card_precision_at_100 == pytest.approx(0.297, abs=0.03)
    assert spread.average_precision < 0.04
    perfect, _ = mean_and_spread(
        [measure(table, one, table.fraud[one.test].astype(float)) for one in tested]
    )
    assert perfect.auc_roc == perfect.average_precision == 1.0
    assert perfect.card_precision_at_100 == pytest.approx(0.42, abs=0.04)


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_learn_and_repeat_themselves(name: str) -> None:
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(900, 4))
    fraud = matrix[:, 1] + 0.3 * rng.normal(size=900) > 1.2
    first = RIVALS[name](matrix[:600], fraud[:600], matrix[600:])
    again = RIVALS[name](matrix[:600], fraud[:600], matrix[600:])
    assert first.shape == (300,)
    assert auc(fraud[600:], first) > 0.95
    assert first == pytest.approx(again, abs=1e-12)


def test_the_live_features_of_a_world_have_the_rows_of_its_table() -> None:
    """So that folds and metrics hold for the vectors that serving computes."""
    world = HandbookWorld(5, days=30, customers=40, terminals=600)
    table = world.table()
    samples = observe(world.events(), exchange_rates(None, "EUR"))
    assert samples.time_ms.tolist() == table.time_ms.tolist()
    assert samples.amount_base.tolist() == table.amount_minor.tolist()
    end_ms = START_MS + 37 * DAY_MS
    assert samples.fraud_at(end_ms).tolist() == table.fraud.tolist()
    # A label counts from its own moment on, 7 days after the payment.
    paid_ms = int(table.time_ms[table.fraud][0])
    assert not samples.fraud_at(paid_ms + 7 * DAY_MS - 1).any()
    assert samples.fraud_at(paid_ms + 7 * DAY_MS)[np.flatnonzero(table.fraud)[0]]
