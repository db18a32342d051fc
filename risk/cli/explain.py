"""`weir explain`: why a payment got its outcome, and what would have changed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from risk.cli.proofs import UNPROVABLE, Archive, ReportFile

if TYPE_CHECKING:
    from features.replaying import Replayable
    from models.explaining import Explanation
    from risk.cli.versions_at_hand import VersionsAtHand
    from risk.replay import Named
    from risk.settings import Settings

_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
SHOWN = 10


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
    report: ReportFile = None,
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

    from models.explaining import explained
    from risk.cli.proofs import parts_of, settings_of, write_report

    settings = settings_of(world)
    with parts_of(settings, "explain", archive=archive) as ready:
        found, named, versions = asyncio.run(_look(ready, tenant, payment_id, archive=archive))
    if named is None:
        for one in versions.missing:
            typer.echo(f"missing: {one}", err=True)
        raise typer.Exit(UNPROVABLE)
    told = explained(found.decision, named, versions.book, counterfactual or [])
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
