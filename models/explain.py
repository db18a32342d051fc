"""Why a score is what it is: path attribution from one table of leaves (Saabas 2014).

Along the path to a leaf, each split moves the expected log-odds; the move belongs to the
feature of the split. All moves of a leaf are added up once, when the model is loaded, so a
row costs one look-up per tree. Moves are kept as integers: their sum has one value, in
whatever order it is made.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.native import NativeModel

_UNIT: Final = 1 << 20  # moves are kept in 2^-20 of a log-odds unit, in 32 bits
_MOVE_MAX: Final = 2.0**31 / _UNIT - 1.0


class Contribution(NamedTuple):
    """A feature, its value in this row (NaN is missing), and its share of the log-odds.

    ``words`` is a sentence for an analyst, "" from a model without wording.
    """

    feature: str
    value: float
    log_odds: float
    words: str = ""


class LeafTable:
    """For every leaf of every tree, how far each feature moved the score on the way there."""

    def __init__(self, model: NativeModel) -> None:
        trees = [info["tree_structure"] for info in model.dump()["tree_info"]]
        rows = [_moves(tree, model.features) for tree in trees]
        counts = [len(table) for table in rows]
        self._first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
        self._moves = np.concatenate(rows)

    def contributions(self, leaves: NDArray[np.int32]) -> NDArray[np.float64]:
        """Log-odds moved by each feature, shape (n, features), for leaves (n, trees)."""
        places = leaves + self._first
        total = np.stack([self._moves[row].sum(axis=0, dtype=np.int64) for row in places])
        return total / float(_UNIT)


def _moves(tree: dict[str, Any], features: int) -> NDArray[np.int32]:
    """One row per leaf of ``tree``, one column per feature."""
    leaves: dict[int, NDArray[np.float64]] = {}
    waiting = [(tree, np.zeros(features))]
    while waiting:
        node, so_far = waiting.pop()
        if "split_feature" not in node:
            leaves[int(node.get("leaf_index", 0))] = so_far
            continue
        for side in ("left_child", "right_child"):
            child = node[side]
            moved = so_far.copy()
            moved[node["split_feature"]] += _level(child) - node["internal_value"]
            waiting.append((child, moved))
    table = np.stack([leaves[place] for place in range(len(leaves))])
    clipped = np.clip(table, -_MOVE_MAX, _MOVE_MAX)
    return np.rint(clipped * _UNIT).astype(np.int32)


def _level(node: dict[str, Any]) -> float:
    return float(node["internal_value"] if "internal_value" in node else node["leaf_value"])


def strongest(
    names: tuple[str, ...],
    row: NDArray[np.float64],
    log_odds: NDArray[np.float64],
    count: int,
) -> list[Contribution]:
    """The ``count`` features that raised the score most; ties in catalogue order."""
    order = np.argsort(-log_odds, kind="stable")[:count]
    return [
        Contribution(names[place], float(row[place]), float(log_odds[place]))
        for place in order
        if log_odds[place] > 0
    ]
