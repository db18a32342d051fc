"""The windows that rules asked for, made again from history as the vectors are."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from features.proof.bits import same_bits
from features.proof.rebuilder import Batch, Item, Rebuilder
from features.windows import windows_program
from risk.rules.window_reader import read_window


class RebuiltWindows(NamedTuple):
    """What was found of the windows of a batch, by row.

    ``wrong``: the first window that differs, what was served and what was rebuilt.
    ``inexact``: the windows that reach past their tail.
    """

    wrong: dict[int, tuple[str, float | None, float | None]]
    inexact: dict[int, list[str]]


def windows_of(item: Item) -> tuple[str, ...]:
    """The texts of the windows that a decision was made with, in the order of their texts."""
    return tuple(sorted(item.evidence.windows or ()))


def known_windows(item: Item) -> bool:
    """Whether this code knows every window that a decision was made with."""
    try:
        return all(read_window(text).text() == text for text in windows_of(item))
    except ValueError:
        return False


def rebuilt_windows(rebuilder: Rebuilder, batch: Batch) -> RebuiltWindows:
    """Make the windows of ``batch`` again, those of one book at once."""
    found = RebuiltWindows({}, {})
    by_names: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, item in enumerate(batch.ready):
        if item.evidence.windows:
            by_names[windows_of(item)].append(row)
    for names, rows in by_names.items():
        items = [batch.ready[row] for row in rows]
        part = Batch(items, batch.spans[rows], frozenset(), [])
        values, flags = rebuilder.vectors(part, windows_program(names))
        served = np.array([_served(item, names) for item in items], np.float64)
        same = same_bits(served, values)
        for at, row in enumerate(rows):
            if not same[at].all():
                column = int(np.flatnonzero(~same[at])[0])
                of = (float(served[at, column]), float(values[at, column]))
                found.wrong[row] = (names[column], *map(_plain, of))  # type: ignore[assignment]
            if flags[at].any():
                found.inexact[row] = [names[one] for one in np.flatnonzero(flags[at])]
    return found


def _served(item: Item, names: Sequence[str]) -> list[float]:
    told = item.evidence.windows
    assert isinstance(told, dict)
    return [math.nan if (value := told[name]) is None else value for name in names]


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
