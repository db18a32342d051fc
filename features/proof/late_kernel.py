"""Finds, in compiled code, the records of a tail that came after a given time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled
from features.proof.arena_kernel import Ints
from risk.domain.kinds import HOLE


@compiled
def first_late(
    words: NDArray[np.uint32], arrived_ms: Ints, spans: Ints, times: Ints, out: Ints
) -> None:
    """Fill ``out`` (n,) with a place of each item that it must not have seen, -1 for none.

    ``times`` (n, 4): event time, when the decision was out, skew, horizon. Records that no
    feature can see, by their own time, are not looked at.
    """
    for item in range(len(spans)):
        out[item] = -1
        now, limit, skew, horizon = (
            times[item, 0], times[item, 1], times[item, 2], times[item, 3],
        )  # fmt: skip
        for slot in range(spans.shape[1]):
            if spans[item, slot, 0] < 0:
                continue
            for at in range(spans[item, slot, 0], spans[item, slot, 1]):
                w1 = np.int64(words[at, 1])
                if w1 >> 10 & 31 == HOLE or arrived_ms[at] <= limit:
                    continue
                age = now - (np.int64(words[at, 0]) | (w1 & 1023) << 32)
                if -skew <= age < horizon and out[item] < 0:
                    out[item] = at
