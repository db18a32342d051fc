"""Tuning: never below the fixed settings, goes on where it was stopped, says what went wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.boosting import FIXED
from models.tune import Budget, Parts, study_name, tune
from risk.domain.errors import BadConfiguration, Unavailable
from tests.support.small_model import small_samples

SAMPLES = small_samples(3, 2_400)
FRAUD = SAMPLES.fraud_at(1 << 60)
PARTS = Parts(SAMPLES.matrix[:1_600], FRAUD[:1_600], SAMPLES.matrix[1_600:], FRAUD[1_600:])


def test_a_stopped_search_goes_on(tmp_path: Path) -> None:
    store = tmp_path / "deep" / "tuning.db"
    told: list[tuple[int, int, float]] = []
    first = tune(PARTS, Budget(2, rounds=50), store, "one", 7, lambda *words: told.append(words))
    assert [(done, total) for done, total, _ in told] == [(1, 2), (2, 2)]
    assert first.resumed == 0
    second = tune(PARTS, Budget(4, rounds=50), store, "one", 7)
    assert (second.resumed, second.trials) == (2, 4)
    assert second.value >= first.value >= told[0][2]
    assert second.parameters.keys() >= FIXED.keys()
    assert second.rounds % 25 == 0
    assert tune(PARTS, Budget(4, rounds=50), store, "one", 7) == second.__class__(
        second.parameters, second.rounds, second.value, 4, second.pruned, 4
    )


def test_other_data_or_seed_is_another_study() -> None:
    assert len({study_name(data, seed) for data in ("a", "b") for seed in (1, 2)}) == 4
    assert study_name("a", 1) == study_name("a", 1)


def test_a_store_that_is_no_database_is_named(tmp_path: Path) -> None:
    store = tmp_path / "tuning.db"
    store.write_bytes(b"not a database, whatever its name says" * 200)
    with pytest.raises(Unavailable, match=r"tuning\.db"):
        tune(PARTS, Budget(1, rounds=50), store, "one", 7)


def test_an_empty_budget_is_refused() -> None:
    with pytest.raises(BadConfiguration, match="more than 0"):
        Budget(0)
    with pytest.raises(BadConfiguration, match="more than 0"):
        Budget(1, -1.0)


def test_seconds_end_a_search(tmp_path: Path) -> None:
    found = tune(PARTS, Budget(500, 0.2, 50), tmp_path / "t.db", "one", 7)
    assert 1 <= found.trials < 100
    assert np.isfinite(found.value)
