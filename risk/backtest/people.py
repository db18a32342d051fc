"""Accounts as numbers over all blocks, and intervals by drawing accounts again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from risk.backtest.block import Block, Ints
from risk.backtest.columns import Floats
from risk.backtest.report import Interval

REPLICATES: Final = 400
_LOW_HIGH: Final = (0.025, 0.975)


class People:
    """Numbers accounts from 0, by tenant, in the order in which they are met."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str | None, str | None], int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, block: Block) -> Ints:
        """The number of the account of each row, (n,)."""
        account, tenant = block.texts["account"], block.tenant
        # One number for both codes; missing is -1, so both are moved up by one.
        width = len(account.words) + 1
        pairs = (tenant.codes.astype(np.int64) + 1) * width + account.codes + 1
        distinct, inverse = np.unique(pairs, return_inverse=True)
        words = (*account.words, None)
        tenants = (*tenant.words, None)
        numbers = [
            self._numbers.setdefault(
                (tenants[pair // width - 1], words[pair % width - 1]), len(self._numbers)
            )
            for pair in distinct.tolist()
        ]
        found: Ints = np.array(numbers, np.int64)[inverse.reshape(-1)]
        return found


def intervals(account: Ints, columns: Sequence[Floats], people: int, seed: int) -> list[Interval]:
    """The sum of each column with its 95 % interval; accounts are drawn again as a whole.

    ``account`` (k,) and each column (k,) are of the rows that add anything; the other accounts
    of ``people`` only thin the draw. Of a draw of ``people`` accounts those that add something
    are binomial, and even among themselves: the same draws, for a fraction of the work.
    """
    values = [float(column.sum()) for column in columns]
    distinct, place = np.unique(account, return_inverse=True)
    if not len(distinct):
        return [Interval(value=value, low=value, high=value) for value in values]
    by_account = np.stack([np.bincount(place, weights=column) for column in columns])
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = np.zeros((REPLICATES, len(columns)))
    for number in range(REPLICATES):
        size = rng.binomial(people, len(distinct) / people)
        times = np.bincount(rng.integers(0, len(distinct), size), minlength=len(distinct))
        # Not by BLAS: its threads fight for the one core that a back-test gets.
        drawn[number] = np.einsum("a,ca->c", times.astype(np.float64), by_account)
    low, high = np.quantile(drawn, _LOW_HIGH, axis=0)
    return [
        Interval(value=value, low=float(one), high=float(other))
        for value, one, other in zip(values, low, high, strict=True)
    ]
