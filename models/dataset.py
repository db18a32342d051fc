"""From a history of events to training rows: the vectors that serving would have computed.

The history is observed in the order in which it arrived, by the same memory and the same
feature functions as live. A row is one scored payment. What is known of its fraud depends on
the moment asked about (``Samples.fraud_at``): labels that came later are not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES
from features.local_memory import LocalMemory
from features.vectors import vectors
from risk.domain.base_amount import amount_in_base
from risk.domain.decoding import canonical
from risk.domain.errors import BadConfiguration
from risk.domain.event import AnyEvent, Label
from risk.domain.money import ExchangeRates
from risk.domain.observation import Arrival, Claimed
from risk.domain.truth import verdicts

_BATCH: Final = 512
DAY_MS: Final = 24 * 60 * 60 * 1000
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Samples:
    """Rows in order of arrival.

    ``matrix`` is (n, F) float64 in catalogue order, NaN where missing; ``time_ms`` (n,) event
    times; ``amount_base`` (n,) minor units, -1 without an exchange rate. ``labels`` holds, by
    row, (known at ms, what then stood: is fraud) after each word (``risk.domain.truth``).
    """

    matrix: NDArray[np.float64]
    time_ms: NDArray[np.int64]
    amount_base: NDArray[np.int64]
    labels: Mapping[int, tuple[tuple[int, bool], ...]]

    def __len__(self) -> int:
        return len(self.matrix)

    def fraud_at(self, as_of_ms: int) -> NDArray[np.bool_]:
        """Which rows were known to be fraud at ``as_of_ms``, shape (n,): the last verdict."""
        fraud = np.zeros(len(self), dtype=np.bool_)
        for row, words in self.labels.items():
            known = [is_fraud for known_at_ms, is_fraud in words if known_at_ms <= as_of_ms]
            fraud[row] = bool(known) and known[-1]
        return fraud

    def fraud_since(self, as_of_ms: int) -> NDArray[np.int64]:
        """Since when each row was held to be fraud without a break until ``as_of_ms``.

        Shape (n,), milliseconds; -1 where it is not.
        """
        since = np.full(len(self), -1, dtype=np.int64)
        for row, words in self.labels.items():
            for known_at_ms, is_fraud in words:
                if known_at_ms > as_of_ms:
                    break
                if not is_fraud:
                    since[row] = -1
                elif since[row] < 0:
                    since[row] = known_at_ms
        return since


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one stretch of time, and their fraud as known at its own ``as_of_ms``."""

    rows: NDArray[np.int64]
    fraud: NDArray[np.bool_]
    from_ms: int
    to_ms: int
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class Split:
    """Train, then a gap, then validation, then a gap, then test, each later than the one before.

    A part's labels are those known when the next part begins (for test: at the end), and the
    gap gives them the label delay to arrive. Nothing is drawn at random.
    """

    train: Part
    validation: Part
    test: Part


def observe(
    events: Iterable[AnyEvent], rates: ExchangeRates, progress: Progress = lambda events: None
) -> Samples:
    """Rows for every scored event of ``events``, which are in order of arrival.

    Repeated events count once. ``progress`` is told how many events have been observed.
    """
    memory = LocalMemory(vectors)
    rows = _Rows()
    batch: list[Arrival] = []
    seen = 0
    for event in events:
        batch.append(_arrival(event, rates))
        if len(batch) == _BATCH:
            rows.add(batch, memory)
            seen += len(batch)
            batch = []
            progress(seen)
    rows.add(batch, memory)
    progress(seen + len(batch))
    return rows.samples()


def join(parts: Sequence[Samples]) -> Samples:
    """Rows of histories that were observed apart (each by a memory of its own), in order."""
    labels: dict[int, tuple[tuple[int, bool], ...]] = {}
    first = 0
    for part in parts:
        labels |= {first + row: words for row, words in part.labels.items()}
        first += len(part)
    return Samples(
        matrix=np.concatenate([part.matrix for part in parts]),
        time_ms=np.concatenate([part.time_ms for part in parts]),
        amount_base=np.concatenate([part.amount_base for part in parts]),
        labels=labels,
    )


def split_by_time(
    samples: Samples, as_of_ms: int, label_delay_ms: int, train_share: float = 0.6
) -> Split:
    """Cut the history that ends at ``as_of_ms``; the rest of the share is halved.

    Raises BadConfiguration where the history is too short for three gaps of the label delay,
    or a part lacks fraud or good payments.
    """
    if len(samples) == 0:
        raise BadConfiguration("training: the history has no payments")
    start_ms = int(samples.time_ms.min())
    usable_ms = as_of_ms - start_ms - 3 * label_delay_ms
    if usable_ms < DAY_MS:
        raise BadConfiguration(
            f"training: {(as_of_ms - start_ms) / DAY_MS:.1f} days of history are too few for a"
            f" label delay of {label_delay_ms / DAY_MS:.1f} days; take at least"
            f" {3 * label_delay_ms / DAY_MS + 1:.1f} days"
        )
    train_ms = int(usable_ms * train_share)
    other_ms = (usable_ms - train_ms) // 2
    validation_ms = start_ms + train_ms + label_delay_ms
    test_ms = validation_ms + other_ms + label_delay_ms
    split = Split(
        train=_part(samples, start_ms, start_ms + train_ms, validation_ms),
        validation=_part(samples, validation_ms, validation_ms + other_ms, test_ms),
        test=_part(samples, test_ms, as_of_ms - label_delay_ms, as_of_ms),
    )
    for name, part in (
        ("train", split.train),
        ("validation", split.validation),
        ("test", split.test),
    ):
        frauds = int(part.fraud.sum())
        if frauds == 0 or frauds == len(part.fraud):
            raise BadConfiguration(
                f"training: the {name} part has {frauds} frauds in {len(part.fraud)} payments;"
                " take a longer history"
            )
    return split


def _part(samples: Samples, from_ms: int, to_ms: int, as_of_ms: int) -> Part:
    rows = np.flatnonzero((samples.time_ms >= from_ms) & (samples.time_ms < to_ms))
    return Part(rows, samples.fraud_at(as_of_ms)[rows], from_ms, to_ms, as_of_ms)


def _arrival(event: AnyEvent, rates: ExchangeRates) -> Arrival:
    checked = canonical(event)
    amount = amount_in_base(event, rates)
    return Arrival(
        checked.event, checked.body, checked.fingerprint, "stream", event.occurred_at_ms, amount
    )


class _Rows:
    """Collects rows batch by batch."""

    def __init__(self) -> None:
        self._matrices: list[NDArray[np.float64]] = []
        self._times: list[int] = []
        self._amounts: list[int] = []
        self._row: dict[tuple[str, str], int] = {}
        self._words: dict[tuple[str, str], list[tuple[int, str]]] = {}

    def add(self, batch: list[Arrival], memory: LocalMemory) -> None:
        fresh: list[NDArray[np.float64]] = []
        for arrival, seen in zip(batch, memory.observe_now(batch), strict=True):
            event = arrival.event
            if isinstance(event, Label):
                words = self._words.setdefault((event.tenant, event.payment_id), [])
                words.append((event.known_at_ms, event.label))
            if not isinstance(seen, Claimed) or seen.vector is None:
                continue
            name = (event.tenant, event.id)
            if name not in self._row:
                self._row[name] = len(self._row)
                fresh.append(seen.vector)
                self._times.append(event.occurred_at_ms)
                self._amounts.append(-1 if arrival.amount_base is None else arrival.amount_base)
        if fresh:
            self._matrices.append(np.stack(fresh))

    def samples(self) -> Samples:
        """What was collected; labels of payments that never came are left out."""
        empty = np.empty((0, len(FEATURE_NAMES)))
        return Samples(
            matrix=np.concatenate(self._matrices) if self._matrices else empty,
            time_ms=np.array(self._times, dtype=np.int64),
            amount_base=np.array(self._amounts, dtype=np.int64),
            labels={
                self._row[name]: verdicts(words)
                for name, words in self._words.items()
                if name in self._row
            },
        )
