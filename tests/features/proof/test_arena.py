"""What an arena says of tails, against a plain list of what was told."""

from __future__ import annotations

import random

import numpy as np
import pytest

from features.proof.arena import Arena
from features.proof.arena_kernel import KNOWN, TOLD_VOID, UNRATED, Seen
from features.records import RECORD_WORDS
from risk.domain.limits import TAIL_CAP

_HOLE_WORD = 0
_COLUMN = {UNRATED: Seen._fields.index("unrated"), None: Seen._fields.index("gap")}


def _put(arena: Arena, told: list[tuple[int, int]]) -> None:
    words = np.array([[1 + sequence] * RECORD_WORDS for sequence, _ in told], np.uint32)
    rows = [[0, sequence, state, sequence, 1000 + sequence] for sequence, state in told]
    arena.put(words, np.array(rows, np.int64))


@pytest.mark.parametrize("seed", range(6))
def test_tails_are_seen_as_they_were_told_in_whatever_order(seed: int) -> None:
    rng = random.Random(seed)
    arena = Arena(None)
    states: dict[int, int] = {}
    order = sorted(range(1500), key=lambda sequence: sequence + rng.randrange(1 + 40 * (seed % 3)))
    lost = set(rng.sample(range(1500), 3 * seed))
    for begin in range(0, len(order), 50):
        told = [
            (sequence, rng.choices((KNOWN, UNRATED, TOLD_VOID), (500, seed % 2, seed % 2))[0])
            for sequence in order[begin : begin + 50]
            if sequence not in lost
        ]
        _put(arena, told)
        states.update(one for one in told if one[1] != TOLD_VOID)
        asked = [rng.randrange(1500) for _ in range(60)] + [1 + max(states)]
        _compare(arena, states, asked)


def _compare(arena: Arena, states: dict[int, int], asked: list[int]) -> None:
    rows = [[0, max(0, sequence - TAIL_CAP), sequence, 0] for sequence in asked]
    for row, seen in zip(rows, arena.see(np.array(rows, np.int64)).tolist(), strict=True):
        wanted = [-1] * len(Seen._fields)
        for sequence in range(row[2] - 1, row[1] - 1, -1):
            if states.get(sequence) != KNOWN:
                wanted[_COLUMN[states.get(sequence)]] = sequence
        assert seen[2:7] == wanted[2:7]
        held = [sequence for sequence in range(row[1], row[2]) if sequence in states]
        words = arena.words[seen[0] : seen[1], 0].tolist()
        assert [word - 1 for word in words if word != _HOLE_WORD] == held
