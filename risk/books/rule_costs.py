"""What a rule costs: its compiled function on stored rows, one rule at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from risk.domain.observation import Arrival, Windowed
from risk.rules.book import Book
from risk.rules.compiler import Predicate, Row, Tables, compile_rule, windows_of
from risk.rules.evaluator import RULE_FAILURES, Layout
from risk.rules.parser import parse
from risk.rules.schema import Schema
from risk.rules.window_reader import read_window
from risk.rules.windows import COST_US

Floats = NDArray[np.float64]
SAMPLE_ROWS: Final = 1_024
_ROUNDS: Final = 3


class StoredRow(NamedTuple):
    """What the rules read of a decided payment: its vector (F,), score and windows of then."""

    arrival: Arrival
    vector: Floats
    score: float | None
    windows: Windowed | None


class Sample:
    """Evenly spaced rows of a stream of unknown length: at least half of ``SAMPLE_ROWS``.

    >>> sample = Sample()
    >>> for row in range(5_000): sample.offer(row)
    >>> len(sample.rows), sample.rows[:3]
    (625, [0, 8, 16])
    """

    def __init__(self) -> None:
        self.rows: list[StoredRow] = []
        self._met = 0
        self._step = 1

    def offer(self, row: StoredRow) -> None:
        """The next row of the stream."""
        if self._met % self._step == 0:
            self.rows.append(row)
            if len(self.rows) == SAMPLE_ROWS:
                self.rows = self.rows[::2]
                self._step *= 2
        self._met += 1


class Cost(NamedTuple):
    """Microseconds a payment: ``own_us`` measured, ``windows_us`` as the language states it."""

    own_us: float | None
    windows_us: float


def rule_costs(
    book: Book,
    schema: Schema,
    tables: Tables,
    rows: Sequence[StoredRow],
    monotonic_s: Callable[[], float],
) -> dict[str, Cost]:
    """The cost of each rule that is evaluated, live or in the shadow, by id.

    Every function runs over all of ``rows`` as it does live, the best of three rounds counts, and
    what an empty function takes is taken off. Without rows there is no ``own_us``.
    """
    rules = [rule for rule in book.rules if rule.state in ("live", "shadow")]
    trees = [parse(rule.when) for rule in rules]
    layout = Layout(schema, trees)
    held = _rows(layout, rows)
    nothing_us = _measured(_nothing, held, monotonic_s)
    found = {}
    for rule, tree in zip(rules, trees, strict=True):
        predicate = compile_rule(tree, schema.types(), layout.slots, tables)
        own_us = _measured(predicate, held, monotonic_s)
        stated = [COST_US[read_window(text).function] for text in windows_of(tree)]
        found[rule.id] = Cost(
            None if own_us is None or nothing_us is None else max(0.0, own_us - nothing_us),
            float(sum(stated)),
        )
    return found


def _rows(layout: Layout, rows: Sequence[StoredRow]) -> list[Row]:
    if not rows:
        return []
    matrix = np.array([row.vector for row in rows])
    plain = layout.rows([row.arrival for row in rows], matrix, [row.score for row in rows])
    found: list[Row] = []
    for own, row in zip(plain, rows, strict=True):
        told = row.windows
        held = {} if told is None else dict(zip(told.names, told.values.tolist(), strict=True))
        found.append([*own, *(held.get(name, math.nan) for name in layout.windows)])
    return found


def _nothing(_row: Row) -> bool:
    return False


def _measured(
    predicate: Predicate, rows: Sequence[Row], monotonic_s: Callable[[], float]
) -> float | None:
    if not rows:
        return None
    best_s = math.inf
    for _ in range(_ROUNDS):
        began_s = monotonic_s()
        for row in rows:
            try:
                predicate(row)
            except RULE_FAILURES:
                continue
        best_s = min(best_s, monotonic_s() - began_s)
    return best_s / len(rows) * 1e6
