"""Why a payment got its outcome, from its decision and the versions that judged it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.catalogue import CATALOGUE
from models.counterfactual import Counterfactual, smallest, stretches
from models.scorer import Scorer
from risk.domain.decision import Decision
from risk.domain.errors import BadConfiguration
from risk.replay import Named, evidence_of, outcomes_with
from risk.rules.book import Book

INPUTS: Final = 6  # features that are tried where none is named


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What a feature adds to the log-odds, exactly (TreeSHAP)."""

    feature: str
    sentence: str
    unit: str
    value: float | None
    log_odds: float


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why. ``shares`` are sorted by size; with ``base_log_odds`` they add up to the raw score."""

    payment_id: str
    tenant: str
    outcome: str
    score: float | None
    reasons: list[dict[str, Any]]
    rule_hits: list[dict[str, Any]]
    base_log_odds: float | None
    shares: list[Share]
    tried: list[str]
    counterfactual: Counterfactual | None


def explained(
    decision: Decision, named: Named, book: Book | None, inputs: Sequence[str]
) -> Explanation:
    """The explanation of a decision; raises BadConfiguration for an unknown feature."""
    evidence = evidence_of(decision)
    unknown = [one for one in inputs if one not in named.features]
    if unknown:
        raise BadConfiguration(
            f"--counterfactual: {unknown[0]!r} is no feature; see `weir features list`"
        )
    shares: list[Share] = []
    base: float | None = None
    tried: list[str] = []
    best: Counterfactual | None = None
    scorer = named.scoring
    if isinstance(scorer, Scorer) and evidence.vector is not None:
        row = np.array([np.nan if one is None else one for one in evidence.vector], np.float64)
        added = scorer.shap(row[None, :])[0]
        shares, base = _shares(named.features, row, added[:-1]), float(added[-1])
        tried = list(inputs) or [one.feature for one in shares[:INPUTS]]
        ways = _ways(scorer, book, row, tried)
        best = smallest(row, ways, lambda matrix: outcomes_with(decision, named, matrix))
    return Explanation(
        payment_id=decision.payment_id,
        tenant=decision.tenant,
        outcome=decision.outcome,
        score=decision.score,
        reasons=msgspec.to_builtins(decision.reasons),
        rule_hits=msgspec.to_builtins(decision.rule_hits),
        base_log_odds=base,
        shares=shares,
        tried=tried,
        counterfactual=best,
    )


def _shares(
    names: Sequence[str], row: NDArray[np.float64], added: NDArray[np.float64]
) -> list[Share]:
    specs = {one.name: one for one in CATALOGUE}
    return [
        Share(
            feature=names[at],
            sentence=specs[names[at]].sentence if names[at] in specs else "",
            unit=specs[names[at]].unit if names[at] in specs else "",
            value=None if np.isnan(row[at]) else float(row[at]),
            log_odds=float(added[at]),
        )
        for at in np.argsort(-np.abs(added), kind="stable")
        if added[at] != 0.0
    ]


def _ways(
    scorer: Scorer, book: Book | None, row: NDArray[np.float64], tried: Sequence[str]
) -> list[tuple[str, int, list[float]]]:
    """The values of each input that stand for all the values that it could have."""
    whole = {one.name for one in CATALOGUE if one.dtype != "decimal"}
    ways = []
    for name in tried:
        at = scorer.names.index(name)
        borders = [*scorer.thresholds(name), *(compared(book, name) if book else ())]
        ways.append((name, at, stretches(borders, float(row[at]), whole=name in whole)))
    return ways


def compared(book: Book, name: str) -> list[float]:
    """The numbers with which rules of ``book`` compare ``name`` itself; 0 and 1 for a flag."""
    found = [0.0, 1.0]
    for rule in book.rules:
        for node in ast.walk(ast.parse(f"({rule.when}\n)", mode="eval")):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                if any(isinstance(one, ast.Name) and one.id == name for one in sides):
                    found += [
                        float(one.value)
                        for one in sides
                        if isinstance(one, ast.Constant) and isinstance(one.value, int | float)
                    ]
    return sorted(set(found))
