"""The one function that turns arrivals and tails into vectors, online and offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features import folded, kernel
from features.catalogue import FEATURE_NAMES
from features.operations import FACTS, REPORTING_MINOR, ROUND_MINOR, SLOTS
from features.program import catalogue_program
from features.records import (
    AMOUNT_UNKNOWN,
    FLAG_CARD_ABSENT,
    RECORD_BYTES,
    Facts,
    facts,
)
from features.rollup_kernel import words_of_cells
from features.rollups import CELL_BYTES, cells_in
from features.tails import Tail
from features.windows import program_with
from risk.domain.event import Payment
from risk.domain.kinds import entities, record_kind
from risk.domain.observation import Arrival
from risk.domain.times import to_ms

_HOUR_MS: Final = 60 * 60 * 1000
_DAY_MS: Final = 24 * _HOUR_MS
_UNDER_REPORTING_MINOR: Final = REPORTING_MINOR - REPORTING_MINOR // 10
_THURSDAY: Final = 3  # 1970-01-01
_NO_TAILS: Final = [-1, -1, 0] * len(SLOTS)


def vectors(
    items: Sequence[tuple[Arrival, tuple[Tail, ...]]],
    known: Sequence[Facts] | None = None,
    windows: tuple[str, ...] = (),
) -> tuple[NDArray[np.float64], list[tuple[str, ...]]]:
    """Vectors (n, F) in catalogue order, NaN where missing, and per item the inexact features.

    ``windows`` are windows that rules ask for, by their text: each adds a column behind those
    of the catalogue. They change no bit of the others.

    Each item is a scored event and one tail for each of its entities, in any order. The bits
    of a row depend on its item alone. ``known`` are the facts of the events, where the caller
    has them already. Raises ValueError where tails and event do not fit.
    """
    program = program_with(windows) if windows else catalogue_program()
    names = FEATURE_NAMES + windows
    chunks: list[bytes | memoryview] = []
    spans: list[int] = []
    rows: list[int] = []
    fallen = _Fallen()
    start = 0
    for number, (arrival, tails) in enumerate(items):
        payment = arrival.event
        if not isinstance(payment, Payment):
            raise ValueError(f"{payment.kind} {payment.id} is not scored and has no vector")
        _check(payment, tails)
        of_item = _NO_TAILS.copy()
        for tail in tails:
            if tail.truncated and tail.rolled is not None:
                fallen.add(number, tail, start)
                chunks.append(tail.older)
                start += len(tail.older) // RECORD_BYTES
            stop = start + len(tail.records) // RECORD_BYTES
            at = 3 * SLOTS[tail.kind]
            of_item[at : at + 3] = start, stop, tail.truncated
            chunks.append(tail.records)
            start = stop
        spans += of_item
        of = known[number] if known is not None else facts_of(arrival)
        rows += fact_row(payment, of)
    if not items:
        return np.empty((0, len(names)), np.float64), []
    words = kernel.words_of(b"".join(chunks))
    batch = kernel.Batch(
        words,
        np.array(spans, np.int64).reshape(len(items), len(SLOTS), 3),
        np.array(rows, np.int64).reshape(len(items), len(FACTS)),
        *fallen.tiles(words, len(items)),
    )
    out, inexact = kernel.run(program, batch)
    return out, _names(inexact, names)


class _Fallen:
    """What is known of the records before the truncated tails of a batch."""

    def __init__(self) -> None:
        self._of: list[tuple[int, int]] = []
        self._asked: list[tuple[int, int, int, int, int]] = []
        self._cells: list[bytes | memoryview] = []
        self._held = 0

    def add(self, item: int, tail: Tail, start: int) -> None:
        """The records before ``tail`` will stand in the batch from ``start`` on."""
        newest_ms, cells = cells_in(tail.rolled or b"")
        held, older = len(cells) // CELL_BYTES, len(tail.older) // RECORD_BYTES
        self._of.append((item, SLOTS[tail.kind]))
        self._asked.append((self._held, self._held + held, newest_ms, start, start + older))
        self._cells.append(cells)
        self._held += held

    def tiles(self, words: NDArray[np.uint32], items: int) -> folded.Tiles:
        """``cells`` and ``tiles`` of the batch."""
        return folded.tiles(
            words,
            words_of_cells(b"".join(self._cells)),
            np.array(self._asked, np.int64).reshape(-1, folded.ASKED),
            np.array(self._of, np.int64).reshape(-1, 2),
            items,
        )


def facts_of(arrival: Arrival) -> Facts:
    """The integers of an arrival's event."""
    return facts(arrival.event, record_kind(arrival.event), arrival.amount_base)


def fact_row(payment: Payment, of: Facts) -> tuple[int, ...]:
    """One row of the facts matrix, in the order of ``features.operations.FACTS``."""
    opened = payment.account_opened_at
    age_days = -1 if opened is None else max(0, (of.time_ms - to_ms(opened)) // _DAY_MS)
    return (
        *of.hashes,
        of.country,
        of.mcc,
        of.channel,
        of.currency,
        -1 if of.amount_base == AMOUNT_UNKNOWN else of.amount_base,
        of.lat,
        of.lon,
        of.time_ms,
        of.time_ms // _HOUR_MS % 24,
        (of.time_ms // _DAY_MS + _THURSDAY) % 7,
        of.kind,
        _differ(payment.country, payment.card_country),
        _differ(payment.country, payment.ip_country),
        -1 if payment.channel is None else int(of.flags & FLAG_CARD_ABSENT != 0),
        age_days,
        -1 if payment.kyc_level is None else payment.kyc_level,
        int(payment.device is None),
        int(payment.ip is None),
        int(payment.card is None),
        _differ(payment.card_country, payment.ip_country),
        int(payment.amount_minor > 0 and payment.amount_minor % ROUND_MINOR == 0),
        -1
        if of.amount_base == AMOUNT_UNKNOWN
        else int(_UNDER_REPORTING_MINOR <= of.amount_base < REPORTING_MINOR),
    )


def _differ(one: str | None, other: str | None) -> int:
    return -1 if one is None or other is None else int(one != other)


def _check(payment: Payment, tails: tuple[Tail, ...]) -> None:
    wanted = [kind for kind, _ in entities(payment)]
    held = [tail.kind for tail in tails]
    if held != wanted and sorted(held) != sorted(wanted):
        raise ValueError(
            f"payment {payment.id} needs one tail each of {', '.join(wanted)}; got"
            f" {', '.join(held) or 'none'}"
        )
    for tail in tails:
        if len(tail.records) % RECORD_BYTES:
            raise ValueError(
                f"the {tail.kind} tail of payment {payment.id} has {len(tail.records)} bytes,"
                f" not a multiple of {RECORD_BYTES}"
            )


def _names(inexact: NDArray[np.uint8], names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The names of the flagged columns of each row; most rows have none."""
    found: list[tuple[str, ...]] = [()] * len(inexact)
    for row in np.flatnonzero(inexact.any(axis=1)):
        found[row] = tuple(names[place] for place in np.flatnonzero(inexact[row]))
    return found
