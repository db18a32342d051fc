"""Recall of scenarios at a share of payments reviewed, against a plain count."""

from __future__ import annotations

import numpy as np

from models.scenario_recall import by_scenario

NAMES = np.array(["", "theft", "mule"], dtype=object)


def test_it_is_the_share_of_each_scenario_among_the_riskiest() -> None:
    rng = np.random.default_rng(4)
    scenario = NAMES[rng.choice(3, 20_000, p=(0.98, 0.015, 0.005))]
    score = rng.random(20_000) + (scenario != "") * 0.3
    account = rng.integers(0, 500, 20_000)
    found = by_scenario(scenario, score, account)
    assert found is not None
    riskiest = np.argsort(-score)[:200]
    assert found.reviewed == 200
    for name in ("theft", "mule"):
        caught = int((scenario[riskiest] == name).sum())
        one = found.by_name[name]
        assert one.payments == int((scenario == name).sum())
        assert one.recall.value == caught / one.payments
        assert one.recall.low < one.recall.value < one.recall.high
    assert found.payments == sum(one.payments for one in found.by_name.values())
    assert found.good_reviewed == int((scenario[riskiest] == "").sum())


def test_equal_scores_get_no_luck() -> None:
    scenario = np.array(["theft"] * 10 + [""] * 990, dtype=object)
    found = by_scenario(scenario, np.full(1_000, 0.5), np.arange(1_000))
    assert found is not None
    assert found.reviewed == 10
    assert abs(found.recall.value - 0.01) < 1e-12
    turned = by_scenario(scenario[::-1], np.full(1_000, 0.5), np.arange(1_000))
    assert turned is not None
    assert turned.recall.value == found.recall.value


def test_a_world_without_fraud_has_none() -> None:
    assert by_scenario(np.array(["", ""], dtype=object), np.ones(2), np.arange(2)) is None
