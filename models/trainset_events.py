"""A training set from a history of events: the vectors that serving would have computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from features.local_memory import LocalMemory
from features.vectors import vectors
from models.trainset import Manifest
from models.trainset_writer import Labels, Ranges, Row, TrainsetWriter, making
from risk.domain.base_amount import amount_in_base
from risk.domain.decoding import canonical
from risk.domain.errors import BadConfiguration
from risk.domain.event import AnyEvent, Label, Payment
from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN
from risk.domain.money import ExchangeRates
from risk.domain.observation import Arrival, Claimed

BATCH: Final = 512
Progress = Callable[[int], None]


class TruthLike(NamedTuple):
    """An event with the scenario that made it, where the world is made up."""

    event: AnyEvent
    scenario: str | None


class Asked(NamedTuple):
    """The range and the label delay; None are the bounds of the source."""

    from_ms: int | None
    to_ms: int | None
    delay_ms: int


class Source(NamedTuple):
    """A history that can be read twice, in order of arrival, each event once."""

    told: Mapping[str, Any]
    events: Callable[[], Iterable[TruthLike]]


def write_from_events(
    source: Source,
    asked: Asked,
    rates: ExchangeRates,
    out: Path,
    progress: Progress = lambda events: None,
) -> Manifest:
    """The training set of ``source`` at ``out``; its manifest.

    Reads the source twice: for labels, and for vectors. Memory grows with entities and labels,
    not with payments. Raises BadConfiguration.
    """
    with making(out) as draft:
        labels, ranges = survey(source.events(), asked)
        with TrainsetWriter(draft, labels, ranges) as writer:
            for rows, matrix in _vectors(source.events(), ranges, rates, progress):
                writer.add(rows, matrix)
        return writer.manifest(source.told, rates.digest(), {}, None)


def survey(events: Iterable[TruthLike], asked: Asked) -> tuple[Labels, Ranges]:
    """Every label of the history, and the ranges. Raises BadConfiguration where it is empty."""
    labels = Labels()
    first_ms, last_ms = TIME_MS_MAX, TIME_MS_MIN
    for event, _ in events:
        labels.watch(event, released_ms(event))
        if isinstance(event, Payment):
            first_ms = min(first_ms, event.occurred_at_ms)
            last_ms = max(last_ms, event.occurred_at_ms)
    if last_ms < first_ms:
        raise BadConfiguration("this history has no payments")
    return labels, ranges_of(asked, (first_ms, last_ms), labels.until_ms)


def ranges_of(asked: Asked, held_ms: tuple[int, int], until_ms: int) -> Ranges:
    """``asked`` within a history whose payments lie between ``held_ms``, both included.

    Raises BadConfiguration where the range is empty or has no payments.
    """
    from_ms = held_ms[0] if asked.from_ms is None else asked.from_ms
    to_ms = held_ms[1] + 1 if asked.to_ms is None else asked.to_ms
    if from_ms >= to_ms:
        raise BadConfiguration("--from must be before --to")
    if from_ms > held_ms[1] or to_ms <= held_ms[0]:
        raise BadConfiguration("there are no payments in this range: look at --from and --to")
    return Ranges(from_ms, to_ms, asked.delay_ms, to_ms + asked.delay_ms, until_ms)


def released_ms(event: AnyEvent) -> int:
    """When an event is played: a label when it is known, all others when they occurred."""
    return event.known_at_ms if isinstance(event, Label) else event.occurred_at_ms


class _Memory(LocalMemory):
    """Forgets claims: each event of a source comes once, so no retry asks for them."""

    def forget(self) -> None:
        self._claims.clear()


def _vectors(
    events: Iterable[TruthLike], ranges: Ranges, rates: ExchangeRates, progress: Progress
) -> Iterator[tuple[list[Row], Any]]:
    memory = _Memory(vectors)
    seen = 0
    for batch in _batches(events, ranges.to_ms):
        arrivals = [_arrival(event, rates) for event, _ in batch]
        rows, fresh = [], []
        for arrival, one, (_, scenario) in zip(
            arrivals, memory.observe_now(arrivals), batch, strict=True
        ):
            vector = one.vector if isinstance(one, Claimed) else None
            event = arrival.event
            if vector is not None and event.occurred_at_ms >= ranges.from_ms:
                assert isinstance(event, Payment)
                rows.append(row_of(event, arrival.arrived_at_ms, arrival.amount_base, scenario))
                fresh.append(vector)
        memory.forget()
        if fresh:
            yield rows, np.stack(fresh)
        seen += len(batch)
        progress(seen)


def _batches(events: Iterable[TruthLike], to_ms: int) -> Iterator[list[TruthLike]]:
    """Events before ``to_ms``, some at a time; raises BadConfiguration for a wrong order."""
    batch: list[TruthLike] = []
    last_ms = TIME_MS_MIN
    for one in events:
        at_ms = released_ms(one.event)
        if at_ms < last_ms:
            raise BadConfiguration(f"event {one.event.id} comes after later ones; sort by time")
        last_ms = at_ms
        if at_ms >= to_ms:
            break
        batch.append(one)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def row_of(
    event: Payment, arrived_ms: int, amount_base: int | None, scenario: str | None = None
) -> Row:
    """What a row tells of ``event`` besides its vector and what was served."""
    return Row(
        event.id, event.tenant, event.kind, event.account, event.occurred_at_ms, arrived_ms,
        amount_base, event.currency, event.channel, event.country, event.mcc, scenario,
    )  # fmt: skip


def _arrival(event: AnyEvent, rates: ExchangeRates) -> Arrival:
    checked = canonical(event)
    amount = amount_in_base(event, rates)
    return Arrival(
        checked.event, checked.body, checked.fingerprint, "stream", released_ms(event), amount
    )
