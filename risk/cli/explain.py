"""`weir explain`: why a payment got its outcome, and what would have changed it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from risk.cli.proofs import UNPROVABLE, Archive

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from features.replaying import Replayable
    from models.counterfactual import Counterfactual
    from models.scorer import Scorer
    from risk.cli.versions_at_hand import VersionsAtHand
    from risk.replay import Named
    from risk.rules.book import Book
    from risk.settings import Settings

_Report = Annotated[Path | None, typer.Option("--report", help="Write the result as JSON.")]
_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
SHOWN = 10
INPUTS = 6  # features that are tried where none is named


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


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    payment_id: Annotated[str, typer.Argument(show_default=False)],
    counterfactual: Annotated[
        list[str] | None,
        typer.Option("--counterfactual", metavar="FEATURE", help="An input to vary; repeat."),
    ] = None,
    tenant: Annotated[str, typer.Option(help="The payment's tenant.")] = "main",
    world: _World = None,
    archive: Archive = False,
    report: _Report = None,
) -> None:
    """Explain the decision on a payment from its stored vector and the versions that judged.

    Shares are exact TreeSHAP values. The counterfactual is the smallest change of one input, else
    of two, that gives another outcome, through model, rules and policy: of the features named
    with --counterfactual, else of the six with the largest shares. It is exact for the model and
    for rules that compare a feature with a number. Inputs that would move together in truth are
    varied one by one.
    Report keys: payment_id, tenant, outcome, score, reasons, rule_hits, base_log_odds, shares
    (feature, sentence, unit, value, log_odds), tried, counterfactual (outcome, instead, changes,
    size). Exit codes: 0 done, 2 no such payment or feature, 4 a version is missing.
    """
    import asyncio

    from risk.cli.proofs import parts_of, settings_of, write_report

    settings = settings_of(world)
    with parts_of(settings, "explain", archive=archive) as ready:
        found, named, versions = asyncio.run(_look(ready, tenant, payment_id, archive=archive))
    if named is None:
        for one in versions.missing:
            typer.echo(f"missing: {one}", err=True)
        raise typer.Exit(UNPROVABLE)
    told = explained(found, named, versions.book, counterfactual or [])
    write_report(report, told)
    for line in _lines(told):
        typer.echo(line)


async def _look(
    settings: Settings, tenant: str, payment_id: str, *, archive: bool
) -> tuple[Replayable, Named | None, VersionsAtHand]:
    from features.replaying import Search, search
    from risk.cli.proofs import history_of, rates_of
    from risk.cli.versions_at_hand import VersionsAtHand
    from risk.domain.errors import BadConfiguration
    from risk.replay import evidence_of

    history = await history_of(settings, archive=archive)
    found = await search(history, Search(history.extent, rates_of(settings), tenant, payment_id))
    if found is None:
        raise BadConfiguration(f"history has no decision on payment {payment_id} of {tenant}")
    versions = VersionsAtHand(settings, kafka=not archive)
    try:
        return found, await versions.of(evidence_of(found.decision)), versions
    finally:
        await versions.close()


def explained(
    found: Replayable, named: Named, book: Book | None, inputs: Sequence[str]
) -> Explanation:
    """The explanation of a decision; raises BadConfiguration for an unknown feature."""
    import numpy as np

    from models.counterfactual import smallest
    from models.scorer import Scorer
    from risk.domain.errors import BadConfiguration
    from risk.replay import evidence_of, outcomes_with

    decision, evidence = found.decision, evidence_of(found.decision)
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
        best = smallest(row, ways, lambda matrix: outcomes_with(found.decision, named, matrix))
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
    import numpy as np

    from features.catalogue import CATALOGUE

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
    from features.catalogue import CATALOGUE
    from models.counterfactual import stretches

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


def _lines(told: Explanation) -> list[str]:
    score = "no score" if told.score is None else f"score {told.score:.4f}"
    lines = [f"payment {told.payment_id}: {told.outcome}, {score}"]
    lines += [f"  {one['code']}: {one['sentence']}" for one in told.reasons]
    if told.base_log_odds is not None:
        lines.append(f"What moved the score (log-odds, from {told.base_log_odds:+.2f}):")
    for one in told.shares[:SHOWN]:
        value = "missing" if one.value is None else f"{one.value:g}"
        lines.append(f"  {one.log_odds:+.3f}  {one.feature} = {value} ({one.unit})")
        lines.append(f"          {one.sentence}")
    if told.counterfactual is not None:
        changes = " and ".join(
            f"{one.feature} had been {one.instead:g} instead of"
            f" {'missing' if one.value is None else format(one.value, 'g')}"
            for one in told.counterfactual.changes
            if one.instead is not None
        )
        lines.append(f"It would have been {told.counterfactual.instead} if {changes}.")
    elif told.tried:
        lines.append(f"No change of one or two of {', '.join(told.tried)} gives another outcome.")
    return lines
