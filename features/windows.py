"""The windows that rules write out, as rows of the program behind those of the catalogue."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from features import steps
from features.catalogue import CATALOGUE
from features.program import Computed, Program, compile_program
from features.steps import Past, Step
from risk.rules.window_reader import read_window
from risk.rules.windows import OTHERS, WindowKey, span_text

_AMOUNTS: Final[dict[str, Callable[[Past], Step]]] = {
    "count": steps.count,
    "sum": steps.amount_sum,
    "max": steps.amount_maximum,
    "avg": steps.amount_mean,
}


class _Column(NamedTuple):
    step: Step
    default: float = math.nan


def step_of(key: WindowKey) -> Step:
    """How a window is computed: the same steps as those of features."""
    past = Past(key.entity, span_text(key.span_ms), key.kinds)
    if key.function == "distinct":
        return steps.distinct(past, OTHERS[key.what])
    return _AMOUNTS[key.function](past)


def _columns(windows: tuple[str, ...]) -> list[_Column]:
    return [_Column(step_of(read_window(text))) for text in windows]


@lru_cache(maxsize=64)
def program_with(windows: tuple[str, ...]) -> Program:
    """The program of the catalogue, then of ``windows``. Raises ValueError for other texts."""
    computed: list[Computed] = [*CATALOGUE, *_columns(windows)]
    return compile_program(computed)


@lru_cache(maxsize=256)
def windows_program(windows: tuple[str, ...]) -> Program:
    """The program of ``windows`` alone: for who already has the vectors."""
    return compile_program(_columns(windows))
