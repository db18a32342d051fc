"""What is known of the payments of a block: which are mature, and which of them are fraud."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from risk.backtest.block import Block, Ints, id_key
from risk.backtest.columns import Flags
from risk.domain.truth import RANKS, verdicts

DAY_MS: Final = 24 * 60 * 60 * 1000
Words = Mapping[tuple[str, str], Iterable[tuple[int, str]]]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Of each row (n,): the whole label delay has passed; it stands as fraud at that moment."""

    mature: Flags
    fraud: Flags


class Labels:
    """Every word about payments, as it stood at ``as_of_ms``.

    ``words`` are (known at ms, label) by tenant and payment id. A payment is mature where
    ``decided_at`` and ``delay_ms`` lie at or before ``as_of_ms``.
    """

    def __init__(self, words: Words, as_of_ms: int, delay_ms: int) -> None:
        self.as_of_ms: Final = as_of_ms
        self.delay_ms: Final = delay_ms
        said = {}
        for (tenant, payment_id), of in words.items():
            known = [word for word in of if word[0] <= as_of_ms and word[1] in RANKS]
            if known:
                said[id_key(tenant, payment_id)] = verdicts(known)[-1][1]
        frauds = [key for key, fraud in said.items() if fraud]
        self._frauds = np.sort(np.array(frauds, np.uint64))

    def of(self, block: Block) -> Truth:
        """What is known of ``block``."""
        return self.known(block.keys, block.decided_ms)

    def known(self, keys: NDArray[np.uint64], decided_ms: Ints) -> Truth:
        """What is known of payments by ``id_key``, and when they were decided; each (n,)."""
        mature: Flags = decided_ms + self.delay_ms <= self.as_of_ms
        fraud = np.zeros(len(keys), np.bool_)
        if len(self._frauds):
            places = np.searchsorted(self._frauds, keys)
            places = np.minimum(places, len(self._frauds) - 1)
            fraud = self._frauds[places] == keys
        return Truth(mature, fraud)
