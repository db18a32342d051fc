"""The whole of training on made-up rows: honest parts, papers, comparison, stable meaning."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from features.catalogue import FEATURE_NAMES
from models.boosting import FIXED, boost, check, monotone_constraints
from models.comparison import COMPARED
from models.dataset import DAY_MS, Samples
from models.inspection import inspect
from models.learning import Learned, Request, learn
from models.measures import NAMES
from models.native import NativeModel
from models.rows import Rows, amount_band
from models.rule_scores import rule_scores, starter_book
from risk.domain.errors import BadConfiguration
from risk.policy import Policy
from risk.tables.load import exchange_rates
from tests.support.small_model import DAYS, START_MS, small_samples

POLICY = Policy()
RATES = exchange_rates(None, "EUR")


def made_up(samples: Samples, seed: int = 1) -> Rows:
    rng = np.random.Generator(np.random.PCG64(seed))
    n = len(samples)
    return Rows(
        samples=samples,
        payment_id=np.array([f"payment-{row}" for row in range(n)], dtype=object),
        account=rng.integers(0, 300, n),
        segments={
            "channel": rng.choice(np.array(["ecom", "pos_chip"], dtype=object), n),
            "country": np.full(n, "unknown", dtype=object),
            "mcc": np.full(n, "5999", dtype=object),
            "amount": amount_band(samples.amount_base),
            "account": np.full(n, "old", dtype=object),
        },
        told={"source": {"kind": "made up"}, "sha256": "0" * 64, "certificate": None},
        until_ms=START_MS + DAYS * DAY_MS,
    )


def request(**given: object) -> Request:
    ticks = iter(range(10_000))
    base: dict[str, object] = {
        "label_delay_ms": 2 * DAY_MS, "seed": 1, "policy": POLICY,
        "monotonic_s": lambda: float(next(ticks)),
    }  # fmt: skip
    return Request(**{**base, **given})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def learned() -> Learned:
    def by_rules(rows: Rows, chosen: np.ndarray) -> np.ndarray:
        return rule_scores(starter_book(), RATES, "EUR", rows, chosen)

    return learn(made_up(small_samples(1, 4_000)), request(rules=by_rules))


def test_everything_that_a_run_logs_is_there(learned: Learned) -> None:
    inspect(learned.bundle)
    assert tuple(learned.figures) == NAMES
    assert learned.figures["auc_roc"]["low"] < learned.figures["auc_roc"]["value"]
    assert set(learned.segments) == {"channel", "country", "mcc", "amount", "account"}
    assert learned.segments["channel"]["ecom"]["n"] > 200
    assert 0.5 < learned.segments["channel"]["ecom"]["auc_roc"]["value"] <= 1.0
    names = {path for path in learned.files if path.startswith("plots/")}
    assert {f"plots/{name}.svg" for name in (
        "precision_recall", "roc", "calibration", "gain", "lift", "scores", "importance_gain",
        "importance_shap",
    )} == names  # fmt: skip
    for name in names:
        ET.fromstring(learned.files[name])
    assert json.loads(learned.files["data.json"])["source"] == {"kind": "made up"}
    assert json.loads(learned.files["importance.json"])["shap"]


def test_the_comparison_has_every_rival(learned: Learned) -> None:
    rows = {one.model: one for one in learned.comparison}
    assert set(rows) == {"weir", "rule_set", *COMPARED}
    assert all(0.0 <= one.auc_roc <= 1.0 for one in rows.values())
    assert rows["weir"].average_precision > rows["isolation_forest"].average_precision
    assert rows["random_forest"].seconds > 0.0


def test_the_same_rows_and_seed_give_the_same_model(learned: Learned) -> None:
    again = learn(made_up(small_samples(1, 4_000)), request(with_rivals=False))
    assert again.bundle.model_digest == learned.bundle.model_digest
    assert again.bundle.calibration_digest == learned.bundle.calibration_digest
    assert again.plan == learned.plan


def more_fraud(samples: Samples, part: float) -> Samples:
    """Without ``part`` of the good payments: the fraud rate rises, the law stays."""
    rng = np.random.Generator(np.random.PCG64(9))
    fraud = samples.fraud_at(1 << 60)
    kept = np.flatnonzero(fraud | (rng.random(len(fraud)) >= part))
    place = {int(row): at for at, row in enumerate(kept)}
    return Samples(
        samples.matrix[kept],
        samples.time_ms[kept],
        samples.amount_base[kept],
        {place[row]: words for row, words in samples.labels.items() if row in place},
    )


def test_thresholds_mean_the_same_after_the_fraud_rate_has_doubled() -> None:
    """At fixed thresholds the share of good payments stopped moves by less than a fifth."""
    samples = small_samples(7, 30_000)
    doubled = more_fraud(samples, 0.5 / (1.0 - float(samples.fraud_at(1 << 60).mean())))
    rates = [float(one.fraud_at(1 << 60).mean()) for one in (samples, doubled)]
    assert rates[1] / rates[0] == pytest.approx(2.0, rel=0.05)
    later = small_samples(8, 20_000)
    good = ~later.fraud_at(1 << 60)
    from models.calibrate import Calibration

    stopped = []
    for one in (samples, doubled):
        bundle = learn(made_up(one), request(with_rivals=False)).bundle
        raw = NativeModel(bundle.files["model.txt"].decode()).raw(later.matrix)
        score = Calibration(bundle.calibration).of(raw)
        stopped.append([float((score[good] >= at).mean()) for at in (0.05, POLICY.review_at)])
    for before, after in zip(*stopped, strict=True):
        assert after == pytest.approx(before, rel=0.2)
        assert before > 0.005


def test_no_labels_one_class_and_bad_columns_are_named() -> None:
    samples = small_samples(2, 1_000)
    none = Samples(samples.matrix, samples.time_ms, samples.amount_base, {})
    with pytest.raises(BadConfiguration, match="0 frauds"):
        learn(made_up(none), request())
    matrix, fraud = samples.matrix.copy(), samples.fraud_at(1 << 60)
    with pytest.raises(BadConfiguration, match="nothing but fraud"):
        check(matrix, np.ones(len(matrix), np.bool_), "train")
    matrix[:, 3] = 4.0
    assert check(matrix, fraud, "train") == (FEATURE_NAMES[3],)
    matrix[5, 7] = np.inf
    with pytest.raises(BadConfiguration, match=f"{FEATURE_NAMES[7]} is infinite"):
        check(matrix, fraud, "train")
    with pytest.raises(BadConfiguration, match="every feature is constant"):
        check(np.ones_like(matrix), fraud, "train")


def test_class_weights_are_refused() -> None:
    samples = small_samples(2, 300)
    with pytest.raises(BadConfiguration, match="scale_pos_weight"):
        boost(samples.matrix, samples.fraud_at(1 << 60), {**FIXED, "scale_pos_weight": 9.0}, 2, 1)


def test_monotone_constraints_hold() -> None:
    assert len(monotone_constraints()) == len(FEATURE_NAMES)
    samples = small_samples(2, 2_000)
    fraud = samples.fraud_at(1 << 60)
    constraints = [0] * len(FEATURE_NAMES)
    constraints[0] = -1  # against the law of these rows, so it must be the constraint that holds
    model = NativeModel(boost(samples.matrix, fraud, FIXED, 40, 1, constraints=constraints))
    row = np.repeat(samples.matrix[:1], 50, axis=0)
    row[:, 0] = np.linspace(0.0, 30.0, 50)
    assert (np.diff(model.raw(row)) <= 0.0).all()
