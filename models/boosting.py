"""The trees: LightGBM with settings for rare frauds, and the checks that come before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import lightgbm
import numpy as np
from numpy.typing import NDArray

from features.catalogue import CATALOGUE, FEATURE_NAMES
from models.train import PARAMETERS
from risk.domain.errors import BadConfiguration

Parameters = Mapping[str, float | int | str | bool]
ROUNDS: Final = 250
# Fine bins keep the tail of the amounts apart: 255 would put it into one.
FIXED: Final[Parameters] = {
    **PARAMETERS,
    "max_bin": 4095,
    "min_sum_hessian_in_leaf": 1.0,
    "lambda_l2": 1.0,
}
_NEVER: Final = ("scale_pos_weight", "is_unbalance")


def monotone_constraints() -> list[int]:
    """-1, 0 or 1 for each feature, as declared beside it."""
    return [int(getattr(spec, "monotone", 0)) for spec in CATALOGUE]


def check(matrix: NDArray[np.float64], fraud: NDArray[np.bool_], part: str) -> tuple[str, ...]:
    """The features that are constant or missing throughout ``part``; no tree can use them.

    Raises BadConfiguration where there is nothing to learn from: no payments, one class only,
    infinite values, or no feature that differs.
    """
    frauds = int(fraud.sum())
    if frauds in (0, len(fraud)):
        what = "no labels of fraud" if frauds == 0 else "nothing but fraud"
        raise BadConfiguration(
            f"training: the {part} part has {what} among {len(fraud)} payments; take a longer"
            " history, or a label delay after which frauds are known"
        )
    constant = []
    for place, name in enumerate(FEATURE_NAMES):
        column = matrix[:, place]
        known = column[~np.isnan(column)]
        if np.isinf(known).any():
            raise BadConfiguration(f"training: feature {name} is infinite in the {part} part")
        if len(known) == 0 or (len(known) == len(column) and (known == known[0]).all()):
            constant.append(name)
    if len(constant) == len(FEATURE_NAMES):
        raise BadConfiguration(f"training: every feature is constant in the {part} part")
    return tuple(constant)


def boost(
    matrix: NDArray[np.float64],
    fraud: NDArray[np.bool_],
    parameters: Parameters,
    rounds: int,
    seed: int,
    names: Sequence[str] = FEATURE_NAMES,
    constraints: Sequence[int] | None = None,
) -> str:
    """LightGBM's native text of ``rounds`` trees. The same arguments give the same bytes.

    ``constraints`` are those of the catalogue unless given. Raises BadConfiguration for class
    weights: they ruin ranking and calibration where frauds are rare.
    """
    booster = lightgbm.train(
        prepared(parameters, seed, monotone_constraints() if constraints is None else constraints),
        dataset(matrix, fraud, parameters, names),
        num_boost_round=rounds,
    )
    text: str = booster.model_to_string()
    return text


def prepared(parameters: Parameters, seed: int, constraints: Sequence[int]) -> dict[str, Any]:
    """``parameters`` for LightGBM, with seed and constraints."""
    weighted = [name for name in _NEVER if name in parameters]
    if weighted:
        raise BadConfiguration(f"training: {weighted[0]} distorts probabilities and is refused")
    whole: dict[str, Any] = {**parameters, "seed": seed}
    if any(constraints):
        whole |= {"monotone_constraints": list(constraints)}
    return whole


def dataset(
    matrix: NDArray[np.float64],
    fraud: NDArray[np.bool_],
    parameters: Parameters,
    names: Sequence[str] = FEATURE_NAMES,
    reference: lightgbm.Dataset | None = None,
) -> lightgbm.Dataset:
    """LightGBM's binned copy of the rows."""
    binning = {
        name: parameters[name]
        for name in ("max_bin", "min_data_in_bin", "num_threads", "verbosity", "force_row_wise")
        if name in parameters
    }
    return lightgbm.Dataset(
        matrix, fraud.astype(np.float64), feature_name=list(names), params=binning,
        reference=reference, free_raw_data=True,
    )  # fmt: skip


def out_of_fold(
    groups: NDArray[np.integer], fraud: NDArray[np.bool_], score: Callable[..., NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Scores of each row by a model that saw none of its group.

    ``score(train, test)`` trains on the rows of one mask and scores those of the other. Groups
    without which one class is absent stay NaN.
    """
    raw = np.full(len(groups), np.nan)
    for group in np.unique(groups):
        held = groups == group
        rest = fraud[~held]
        if rest.any() and not rest.all():
            raw[held] = score(~held, held)
    return raw
