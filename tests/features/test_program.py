"""The compiled table: one row for a step, inputs first, defaults in place of the missing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from features import kernel
from features.catalogue import CATALOGUE, feature
from features.kernel import Batch
from features.operations import FACTS, OPERATIONS, SLOTS
from features.program import catalogue_program, compile_program


def test_equal_steps_are_computed_once() -> None:
    program = compile_program([feature("card_amount_mean_30d"), feature("card_amount_ratio_30d")])
    operations = sorted(OPERATIONS[name] for name in ("sum", "known", "divide", "divide", "fact"))
    assert sorted(program.table[:, 0].tolist()) == operations


def test_inputs_come_before_the_rows_that_use_them() -> None:
    program = catalogue_program()
    for row, numbers in enumerate(program.table):
        assert all(earlier < row for earlier in numbers[5:7])


def test_rows_over_tails_stand_by_slot() -> None:
    program = catalogue_program()
    assert len(program.ends) == len(SLOTS) + 1
    for slot in SLOTS.values():
        rows = program.table[program.ends[slot] : program.ends[slot + 1]]
        assert set(rows[:, 1].tolist()) == {slot}
    assert set(program.table[program.ends[-1] :, 1].tolist()) == {-1}
    assert len(program.outputs) == len(program.defaults) == len(CATALOGUE)


def test_operations_and_facts_are_numbered_without_gaps() -> None:
    assert sorted(OPERATIONS.values()) == list(range(len(OPERATIONS)))
    assert list(FACTS.values()) == list(range(len(FACTS)))


def test_a_default_stands_for_what_is_missing() -> None:
    spec = feature("card_payments_1h")
    program = compile_program([spec, replace(spec, default=-1.0)])
    spans = np.full((1, len(SLOTS), 3), -1, np.int64)
    facts = np.zeros((1, len(FACTS)), np.int64)
    out, inexact = kernel.run(program, Batch(kernel.words_of(b""), spans, facts))
    assert math.isnan(out[0, 0])
    assert out[0, 1] == -1.0
    assert not inexact.any()
