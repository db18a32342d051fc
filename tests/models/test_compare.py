"""Champion against challenger on made-up payments whose figures are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models.compare import Labels, compare, pairs_of
from models.guardrails import FILE_NAME, Guardrails, read_guardrails, verdicts
from models.shadow import ShadowBatch
from risk.domain.errors import BadConfiguration
from risk.policy import Policy

ONE, TWO, OTHER = ("1" * 64, "c"), ("2" * 64, "c"), ("3" * 64, "c")
NOW_MS = 1_780_000_000_000
DAY_MS = 24 * 60 * 60 * 1000
COUNT = 2_000


def batch(by_one: list[float], by_two: list[float], **changed: Any) -> ShadowBatch:
    """Payments of 500 accounts, 20 days old, in batches of any size."""
    count = len(by_one)
    made = ShadowBatch(
        champion=ONE, challenger=TWO, dropped=0,
        tenant=["main"] * count,
        payment_id=[f"pay_{place}" for place in range(count)],
        account=[f"acc_{place % 500}" for place in range(count)],
        at_ms=[NOW_MS - 20 * DAY_MS] * count,
        amount=[10_000] * count,
        channel=["ecom" if place % 4 else "pos" for place in range(count)],
        country=["DE"] * count,
        champion_score=by_one, challenger_score=by_two,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changed)


def scores(seed: int) -> list[float]:
    return [float(one) for one in np.random.default_rng(seed).beta(0.3, 6.0, COUNT)]


def compared(one: ShadowBatch, labels: Labels | None = None) -> dict[str, Any]:
    return compare(pairs_of([one], ONE, TWO), labels or {}, Policy(), NOW_MS, 10 * DAY_MS)


def failed(found: dict[str, Any], limits: Guardrails | None = None) -> list[str]:
    told = verdicts(found, limits or Guardrails())
    return [one.name for one in told if one.status == "failed"]


def worst(champion: list[float], count: int) -> dict[tuple[str, str], list[tuple[int, str]]]:
    """Labels: the payments that the champion holds for the riskiest are frauds."""
    places = np.argsort(-np.array(champion))[:count].tolist()
    return {("main", f"pay_{place}"): [(NOW_MS - DAY_MS, "chargeback")] for place in places}


def test_the_same_scores_agree_and_pass() -> None:
    same = scores(1)
    found = compared(batch(same, same), worst(same, 60))
    assert found["agreement"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["rank_correlation"]["value"] == pytest.approx(1.0)
    assert (found["flips"], found["frauds"], found["immature_share"]) == ({}, 60, 0.0)
    assert found["money"]["saved_minor"]["value"] == 0.0
    assert found["average_precision_gain"]["value"] == 0.0
    assert found["metrics"]["champion"] == found["metrics"]["challenger"]
    assert failed(found) == []
    assert {one.status for one in verdicts(found, Guardrails())} == {"passed"}


def test_flips_and_money_are_those_reckoned_by_hand() -> None:
    champion, challenger = [0.01] * COUNT, [0.01] * COUNT
    champion[0], challenger[0] = 0.01, 0.9  # a fraud that only the challenger blocks
    champion[1], challenger[1] = 0.9, 0.2  # a good payment that it only reviews
    labels = {("main", "pay_0"): [(NOW_MS - DAY_MS, "fraud_report")]}
    found = compared(batch(champion, challenger), labels)
    assert found["flips"] == {"allow->block": 1, "block->review": 1}
    assert found["agreement"]["value"] == pytest.approx(1 - 2 / COUNT)
    block = 1_500 + 0.01 * 10_000
    # Champion: the fraud is lost with its fee, the good customer stopped. Challenger: a review.
    assert found["money"]["champion_minor"] == round(10_000 + 2_000 + block)
    assert found["money"]["challenger_minor"] == round(300 + 0.05 * block)
    saved = found["money"]["saved_minor"]
    assert saved["value"] == pytest.approx(12_000 + block - 300 - 0.05 * block)
    assert saved["low"] <= saved["value"] <= saved["high"]


def test_another_ranking_a_higher_rate_and_worse_truth_are_refused() -> None:
    champion = scores(1)
    found = compared(batch(champion, scores(2)), worst(champion, 60))
    assert {"rank_shift", "average_precision"} <= set(failed(found))
    more = [min(1.0, one * 3.0) for one in champion]
    found = compared(batch(champion, more), worst(champion, 60))
    assert {"stop_rate", "mean_score", "calibration"} <= set(failed(found))
    assert "rank_shift" not in failed(found)


def test_a_segment_that_is_harmed_is_found_although_the_whole_is_fine() -> None:
    champion = scores(1)
    challenger = [
        min(0.59, one + 0.1) if place % 4 == 0 and place % 3 == 0 else one
        for place, one in enumerate(champion)
    ]
    limits = Guardrails(stop_rate_change_max=2.0, mean_score_change_max=2.0,
                        rank_correlation_min=0.0)  # fmt: skip
    assert failed(compared(batch(champion, challenger)), limits) == ["segment channel=pos"]


def test_labels_that_had_no_time_to_come_are_not_asked() -> None:
    champion = scores(1)
    young = batch(champion, scores(2), at_ms=[NOW_MS - DAY_MS] * COUNT)
    found = compared(young, worst(champion, 60))
    assert (found["immature_share"], found["frauds"], found["metrics"]) == (1.0, 0, None)
    told = {one.name: one.status for one in verdicts(found, Guardrails())}
    assert (told["calibration"], told["average_precision"]) == ("unknown", "unknown")
    # A label of tomorrow is not known, and a dispute that was won is no fraud.
    labels = {
        ("main", "pay_0"): [(NOW_MS + 1, "chargeback")],
        ("main", "pay_1"): [(NOW_MS - 2, "analyst_fraud"), (NOW_MS - 1, "dispute_won")],
        ("main", "pay_2"): [(NOW_MS - 1, "chargeback")],
    }
    assert compared(batch(champion, champion), labels)["frauds"] == 1


def test_only_these_two_models_count_and_each_payment_once() -> None:
    one = batch([0.1, 0.2], [0.1, 0.3], dropped=5)
    others = [batch([0.1], [0.1], champion=OTHER), batch([0.1], [0.1], challenger=OTHER)]
    pairs = pairs_of([one, one, *others], ONE, TWO)
    assert (len(pairs), pairs.dropped) == (2, 10)
    assert failed(compare(pairs, {}, Policy(), NOW_MS, 0)) == ["evidence"]
    nothing = compare(pairs_of([], ONE, TWO), {}, Policy(), NOW_MS, 0)
    assert (nothing["payments"], failed(nothing)) == (0, ["evidence"])


def test_payments_without_account_or_amount_are_compared_too() -> None:
    one = batch([0.1] * 3, [0.1] * 3, account=["", "", "acc_1"], amount=[None, 5, 10])
    pairs = pairs_of([one], ONE, TWO)
    assert len(set(pairs.account.tolist())) == 3
    assert pairs.segments["amount"][0] == "unknown"
    assert compare(pairs, {}, Policy(), NOW_MS, 0)["payments"] == 3


def test_left_out_payments_fail_a_guardrail() -> None:
    same = scores(1)
    assert failed(compared(batch(same, same, dropped=COUNT))) == ["dropped"]


def test_limits_come_from_a_file(tmp_path: Path) -> None:
    assert read_guardrails(None, tmp_path) == Guardrails()
    (tmp_path / FILE_NAME).write_text('{"payments_min": 5}')
    assert read_guardrails(None, tmp_path).payments_min == 5
    for text, message in (
        ('{"payments_min": 0}', "payments_min must be at least 1"),
        ('{"rate_floor": 2}', "rate_floor must lie between 0 and 1"),
        ('{"stop_rate_change_max": -1}', "must be a number from 0"),
        ('{"rank_correlation_min": 2}', "between -1 and 1"),
        ('{"paymets_min": 1}', "unknown field"),
    ):
        (tmp_path / FILE_NAME).write_text(text)
        with pytest.raises(BadConfiguration, match=message):
            read_guardrails(None, tmp_path)
    with pytest.raises(BadConfiguration, match="No such file"):
        read_guardrails(tmp_path / "absent.json", tmp_path)
