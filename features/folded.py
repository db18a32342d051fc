"""What the events of a batch see of the records before their tails, as the kernel wants it."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.operations import SLOTS
from features.rollup_kernel import CELL_WORDS, LIMITS, Ints, fold_tails

ASKED: Final = 5  # columns of the rows that ``features.rollup_kernel.fold_tails`` takes


class Tiles(NamedTuple):
    """``cells`` and ``tiles`` of ``features.kernel.Batch``."""

    cells: NDArray[np.uint32]
    tiles: Ints


def tiles(
    words: NDArray[np.uint32], cells: NDArray[np.uint32], asked: Ints, of: Ints, items: int
) -> Tiles:
    """Fold what ``asked`` says (see ``fold_tails``); rows of ``of``: the item and slot of each."""
    found = np.full((items, len(SLOTS), 3), -1, np.int64)
    if not len(asked):
        return Tiles(np.empty((0, CELL_WORDS), np.uint32), found)
    # Rows that go on from others begin with no more cells than those end with.
    records = asked[:, 4] - asked[:, 3]
    room = int((asked[:, 1] - asked[:, 0] + records).sum())
    out = np.empty((room, CELL_WORDS), np.uint32)
    found[of[:, 0], of[:, 1]] = fold_tails(words, cells, asked, LIMITS, out)
    return Tiles(out, found)
