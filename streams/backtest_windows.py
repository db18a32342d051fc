"""Windows of rules for decisions whose evidence lacks them, made from rebuilt tails."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing

import numpy as np
from numpy.typing import NDArray

from features.proof.history import History
from features.proof.rebuilder import Batch, Item, Rebuilder
from features.windows import windows_program
from risk.backtest.block import Block, id_key
from risk.backtest.builder import ToBase

Progress = Callable[[int], None]


class Windows:
    """Values of ``names`` by payment. ``unprovable`` counts decisions whose tails are not whole."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.unprovable = 0
        self._keys: list[NDArray[np.uint64]] = []
        self._values: list[NDArray[np.float64]] = []
        self._order: NDArray[np.int64] | None = None

    def add(self, items: Sequence[Item], values: NDArray[np.float64]) -> None:
        """``values`` (n, names) of ``items``."""
        keys = [id_key(item.decision.tenant, item.decision.payment_id) for item in items]
        self._keys.append(np.array(keys, np.uint64))
        self._values.append(values)

    def into(self, block: Block) -> Block:
        """``block`` with these windows wherever its evidence lacks them."""
        if not self._keys:
            return block
        keys, values = self._sorted()
        places = np.minimum(np.searchsorted(keys, block.keys), len(keys) - 1)
        made = keys[places] == block.keys
        windows = dict(block.windows)
        for column, name in enumerate(self.names):
            nothing = np.full(len(block), np.nan), np.zeros(len(block), np.bool_)
            held, known = windows.get(name, nothing)
            windows[name] = (np.where(known, held, values[places, column]), known | made)
        return dataclasses.replace(block, windows=windows)

    def _sorted(self) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
        if len(self._keys) > 1 or self._order is None:
            keys, values = np.concatenate(self._keys), np.concatenate(self._values)
            self._order = np.argsort(keys, kind="stable")
            self._keys, self._values = [keys[self._order]], [values[self._order]]
        return self._keys[0], self._values[0]


async def rebuilt(
    history: History,
    names: tuple[str, ...],
    times: tuple[int, int],
    to_base: ToBase,
    progress: Progress = lambda records: None,
) -> Windows:
    """The windows of every decision in the range, by the kernel that serves, from its own tails."""
    found, program = Windows(names), windows_program(names)

    def wanted(item: Item) -> bool:
        return times[0] <= item.told.arrived_at_ms < times[1]

    rebuilder = Rebuilder(history.extent, to_base, wanted)

    def judge(batch: Batch) -> None:
        found.unprovable += len(batch.unprovable)
        if batch.ready:
            found.add(batch.ready, rebuilder.vectors(batch, program)[0])

    async with aclosing(history.chunks()) as chunks:
        async for chunk in chunks:
            for batch in rebuilder.take(chunk):
                judge(batch)
            progress(len(chunk))
    judge(rebuilder.finish())
    return found


def lacking(blocks: Iterable[Block], wanted: Sequence[str]) -> tuple[str, ...]:
    """Which of the windows ``wanted`` some decision with features does not have."""
    found: set[str] = set()
    for block in blocks:
        for name in set(wanted) - found:
            known = block.windows[name][1] if name in block.windows else np.zeros(1, np.bool_)
            if len(block) and not (known | ~block.has_features).all():
                found.add(name)
    return tuple(sorted(found))
