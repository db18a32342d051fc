"""Counting what happens: the catalogue of metrics on one Prometheus registry per process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from risk.observability.catalogue import (
    METRICS,
    CounterName,
    GaugeName,
    HistogramName,
    MetricSpec,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LABEL_CHARS_MAX = 64
_Metric = Counter | Gauge | Histogram


class Metrics:
    """The metrics of one process. A label value outside the catalogue is a ValueError.

    Counters with closed labels start at 0 for every combination, so that a rate over the
    first event is not lost.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._metrics = {name: self._build(name, spec) for name, spec in METRICS.items()}

    def count(self, name: CounterName, amount: float = 1, **labels: str) -> None:
        """Add ``amount`` to a counter."""
        metric = self._at(name, labels)
        assert isinstance(metric, Counter)
        metric.inc(amount)

    def set(self, name: GaugeName, value: float, **labels: str) -> None:
        """Set a gauge."""
        metric = self._at(name, labels)
        assert isinstance(metric, Gauge)
        metric.set(value)

    def observe(self, name: HistogramName, value: float, times: int = 1, **labels: str) -> None:
        """Add a value (seconds, or payments of a batch) to a histogram, ``times`` times."""
        metric = self._at(name, labels)
        assert isinstance(metric, Histogram)
        for _ in range(times):
            metric.observe(value)

    def value(self, name: str, **labels: str) -> float:
        """The present value of a sample (histograms: ``NAME_count``), 0 if it has none."""
        return self._registry.get_sample_value(name, labels) or 0.0

    def render(self) -> bytes:
        """The Prometheus text, of type ``CONTENT_TYPE``."""
        return generate_latest(self._registry)

    def _build(self, name: str, spec: MetricSpec) -> _Metric:
        labels = tuple(spec.labels)
        if spec.kind == "histogram":
            return Histogram(name, spec.help, labels, registry=self._registry, buckets=spec.buckets)
        if spec.kind == "gauge":
            return Gauge(name, spec.help, labels, registry=self._registry)
        counter = Counter(name, spec.help, labels, registry=self._registry)
        for values in _combinations(list(spec.labels.values())):
            counter.labels(*values)
        return counter

    def _at(self, name: str, labels: dict[str, str]) -> _Metric:
        spec = METRICS[name]
        if labels.keys() != spec.labels.keys():
            raise ValueError(f"{name} has the labels {list(spec.labels)}, not {list(labels)}")
        for label, value in labels.items():
            allowed = spec.labels[label]
            if value not in allowed and (allowed or len(value) > _LABEL_CHARS_MAX):
                raise ValueError(f"{name}: {label}={value!r} is not in the catalogue")
        metric = self._metrics[name]
        return metric.labels(**labels) if labels else metric


def _combinations(values: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Every combination of label values; none for a metric without labels."""
    if not values:
        return []
    rows: list[tuple[str, ...]] = [()]
    for choices in values:
        rows = [(*row, choice) for row in rows for choice in choices]
    return rows
