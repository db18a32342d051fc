"""The catalogue of metrics is closed: names, labels and values."""

from __future__ import annotations

from typing import get_args

import pytest

from risk.observability.catalogue import METRICS, CounterName, GaugeName, HistogramName
from risk.observability.metrics import Metrics


def test_every_name_is_in_the_catalogue_with_its_kind() -> None:
    for kind, names in (
        ("counter", get_args(CounterName)),
        ("gauge", get_args(GaugeName)),
        ("histogram", get_args(HistogramName)),
    ):
        assert {name for name, spec in METRICS.items() if spec.kind == kind} == set(names)


def test_counts_and_shows() -> None:
    metrics = Metrics()
    metrics.count("weir_decisions_total", door="http", outcome="allow")
    metrics.count("weir_late_total", 3)
    metrics.set("weir_epoch", 7)
    metrics.observe("weir_decision_seconds", 0.004, door="http")
    assert metrics.value("weir_decisions_total", door="http", outcome="allow") == 1
    assert metrics.value("weir_decision_seconds_bucket", door="http", le="0.005") == 1
    text = metrics.render().decode()
    assert "weir_late_total 3.0" in text
    assert "weir_epoch 7.0" in text
    assert 'weir_decisions_total{door="stream",outcome="block"} 0.0' in text


@pytest.mark.parametrize(
    "labels",
    [
        {"door": "http", "outcome": "acc_123"},
        {"door": "http"},
        {"door": "http", "outcome": "allow", "account": "acc_123"},
    ],
)
def test_an_id_cannot_become_a_label(labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="weir_decisions_total"):
        Metrics().count("weir_decisions_total", **labels)  # type: ignore[arg-type]


def test_both_deadlines_are_edges() -> None:
    assert {2.0, 30.0} <= set(METRICS["weir_decision_seconds"].buckets)


def test_two_processes_in_one_do_not_share() -> None:
    first, second = Metrics(), Metrics()
    first.count("weir_late_total")
    assert second.value("weir_late_total") == 0
