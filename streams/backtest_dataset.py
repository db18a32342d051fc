"""A training set of `weir dataset` as a block, for a back-test without topics or archive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import FEATURE_NAMES
from models.trainset import Trainset, open_trainset
from risk.backtest.block import OUTCOMES, UNDECIDED, Block, Ids, id_key
from risk.backtest.columns import Floats, Text
from risk.rules.functions import HOUR_MS, weekday_of

# The set keeps these texts of a payment; rules that read others cannot be tested on it.
TEXTS: Final = ("type", "account", "currency", "channel", "country", "mcc")
_OUTCOME_PLACES: Final = {str(one.value): place for place, one in enumerate(OUTCOMES)}
_DAY_HOURS: Final = 24


class Dataset:
    """A set that was checked. Raises BadConfiguration as ``open_trainset``."""

    def __init__(self, folder: Path) -> None:
        self._held: Trainset = open_trainset(folder)
        self.manifest: Final = self._held.manifest
        self.as_of_ms: Final = self._held.labels_as_of_ms

    def block(self) -> Block:
        """All rows. A payment that nobody decided has the outcome ``UNDECIDED``."""
        told = self._held.table(
            ["payment_id", "tenant", "arrived_at", "occurred_at", "amount_base_minor",
             "served_score", "served_outcome", *TEXTS]
        )  # fmt: skip
        ids: list[str] = told["payment_id"].to_pylist()
        tenants: list[str] = told["tenant"].to_pylist()
        occurred = _milliseconds(told["occurred_at"]).astype(np.float64)
        outcomes = [
            _OUTCOME_PLACES.get(one or "", UNDECIDED) for one in _texts(told, "served_outcome")
        ]
        return Block(
            name="dataset",
            ids=Ids.of(ids),
            keys=np.array(
                [id_key(one, other) for one, other in zip(tenants, ids, strict=True)], np.uint64
            ),
            tenant=Text.of(tenants),
            decided_ms=_milliseconds(told["arrived_at"]),
            outcome=np.array(outcomes, np.int8),
            score=_numbers(told["served_score"]),
            has_features=np.ones(len(ids), np.bool_),
            features=np.ascontiguousarray(self._held.matrix().T),
            places={name: place for place, name in enumerate(FEATURE_NAMES)},
            numbers={
                "amount": _numbers(told["amount_base_minor"]),
                "occurred_at": occurred,
                "hour": occurred // HOUR_MS % _DAY_HOURS,
                "weekday": np.asarray(weekday_of(occurred)),
            },
            texts={name: Text.of(_texts(told, name)) for name in TEXTS},
        )

    def words(self) -> dict[tuple[str, str], list[tuple[int, str]]]:
        """What stood of each labelled payment when the set was made, as one word."""
        told = self._held.table(["payment_id", "tenant", "label", "label_known_at"])
        known = told.filter(pc.is_valid(told["label_known_at"]))
        return {
            (tenant, payment_id): [(at_ms, "chargeback" if fraud else "analyst_legit")]
            for payment_id, tenant, fraud, at_ms in zip(
                known["payment_id"].to_pylist(),
                known["tenant"].to_pylist(),
                known["label"].to_pylist(),
                _milliseconds(known["label_known_at"]).tolist(),
                strict=True,
            )
        }


def _milliseconds(column: Any) -> Any:
    return column.cast(pa.int64()).to_numpy()


def _numbers(column: Any) -> Floats:
    found: Floats = column.cast(pa.float64()).fill_null(math.nan).to_numpy()
    return found


def _texts(told: Any, name: str) -> Sequence[str | None]:
    found: list[str | None] = told[name].to_pylist()
    return found
