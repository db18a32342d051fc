"""From declarations to the table of numbers that the compiled kernel runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from features.catalogue import CATALOGUE
from features.operations import FACTS, OPERATIONS, SLOTS
from features.steps import Step


class Computed(Protocol):
    """What the program needs to know of a value: how it is made, and what stands for none."""

    @property
    def step(self) -> Step: ...

    @property
    def default(self) -> float: ...


class Program(NamedTuple):
    """Steps in the order in which they run, each once.

    ``table`` (P, 8) int64: operation, slot, window_ms, kind mask, field, rows of the two
    inputs (-1 none), number. ``ends`` (slots + 1): where the rows of each slot begin and end;
    the rows after the last slot need no tail. ``outputs`` (F): the row of each feature, and
    ``defaults`` (F) what stands for a missing value.
    """

    table: NDArray[np.int64]
    ends: NDArray[np.int64]
    outputs: NDArray[np.int64]
    defaults: NDArray[np.float64]


def compile_program(specs: Sequence[Computed]) -> Program:
    """The program of ``specs``; equal steps become one row.

    Rows over tails go by slot, kinds and falling window, because the kernel chooses records
    once for all rows of the same choice, and a window from the wider one before it.
    """
    found: dict[Step, None] = {}
    for spec in specs:
        _collect(spec.step, found)
    over_tails = sorted((step for step in found if step.past is not None), key=_place)
    rows = {
        step: row
        for row, step in enumerate([*over_tails, *(step for step in found if step.past is None)])
    }
    slots = [_place(step)[0] for step in over_tails]
    return Program(
        table=np.array([_numbers(step, rows) for step in rows], np.int64).reshape(-1, 8),
        ends=np.searchsorted(np.array(slots, np.int64), np.arange(len(SLOTS) + 1)).astype(np.int64),
        outputs=np.array([rows[spec.step] for spec in specs], np.int64),
        defaults=np.array([spec.default for spec in specs], np.float64),
    )


@cache
def catalogue_program() -> Program:
    """The program of the whole catalogue."""
    return compile_program(CATALOGUE)


def _collect(step: Step, found: dict[Step, None]) -> None:
    """Inputs before the steps that use them."""
    for earlier in step.inputs:
        _collect(earlier, found)
    found.setdefault(step)


def _place(step: Step) -> tuple[int, int, int, str]:
    assert step.past is not None
    return (SLOTS[step.past.entity], step.past.mask, -step.past.window_ms, step.text())


def _numbers(step: Step, rows: dict[Step, int]) -> list[int]:
    slot, mask, window_ms = _place(step)[:3] if step.past is not None else (-1, 0, 0)
    inputs = [rows[earlier] for earlier in step.inputs] + [-1, -1]
    field = FACTS[step.field] if step.field else -1
    return [
        OPERATIONS[step.operation], slot, -window_ms, mask,
        field, inputs[0], inputs[1], step.number,
    ]  # fmt: skip
