"""`weir drift` and `weir performance`: what became of a model after its launch."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from risk.cli.proofs import ReportFile
from risk.cli.train import (
    Accounts,
    ArchiveToo,
    Begin,
    Dataset,
    Days,
    Delay,
    End,
    Model,
    Seed,
    World,
    wanted_of,
    write_report,
)

DRIFTED = 4
_NUMBERS = ("frauds", "fraud_minor", "fraud_caught_minor", "good_stopped_minor")  # not shares


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("drift")(drift)
    app.command("performance")(performance)


def drift(  # noqa: PLR0913  # every option is one
    *,
    dataset: Dataset = None,
    world: World = None,
    archive: ArchiveToo = False,
    begin: Begin = None,
    end: End = None,
    label_delay_days: Delay = 10.0,
    seed: Seed = 1,
    days: Days = None,
    accounts: Accounts = None,
    model: Model = "champion",
    psi_max: Annotated[float, typer.Option(min=0.0, help="Over this PSI a column drifted.")] = 0.2,
    alert: Annotated[
        bool, typer.Option("--alert", help="With --world: tell the alerts topic of what drifted.")
    ] = False,
    report: ReportFile = None,
) -> None:
    """Measure how far features, score and calibration lie from the model's training.

    PSI and JS over the bins that were stored with the model; what is missing is a bin of its own.
    Calibration looks at payments whose labels had their delay to arrive.

    Report keys: n, reference_n, mature, model_digest, psi_max, drifted (names), features (name,
    psi, js, noise, missing, missing_reference, drifted; the largest first), score (the same),
    calibration (n, frauds, expected, psi, js, drifted; null without labels of both kinds),
    alerted, data.

    Exit codes: 0 nothing drifted, 1 a part did not answer, 2 bad input, 4 something drifted.
    """
    from risk.cli.drift_job import drift_of
    from risk.domain.errors import BadConfiguration

    if alert and world is None:
        raise BadConfiguration("--alert goes with --world: an alert belongs to a world")
    wanted = wanted_of(
        dataset, world, (begin, end, label_delay_days), (seed, days, accounts), archive=archive
    )
    found = drift_of(wanted, model, psi_max, alert=alert)
    write_report(report, found)
    typer.echo(f"{found['n']} payments against {found['reference_n']} of training")
    for one in [*found["features"][:10], found["score"]]:
        typer.echo(_line(one))
    of_labels: dict[str, Any] | None = found["calibration"]
    if of_labels is None:
        typer.echo("calibration: no mature labels of both kinds")
    else:
        typer.echo(
            f"calibration: {of_labels['frauds']} frauds in {of_labels['n']},"
            f" PSI {of_labels['psi']:.3f}{'  drifted' if of_labels['drifted'] else ''}"
        )
    if found["drifted"]:
        raise typer.Exit(DRIFTED)


def performance(  # noqa: PLR0913  # every option is one
    *,
    dataset: Dataset = None,
    world: World = None,
    archive: ArchiveToo = False,
    begin: Begin = None,
    end: End = None,
    label_delay_days: Delay = 10.0,
    seed: Seed = 1,
    days: Days = None,
    accounts: Accounts = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Score with this alias, not as was served.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Stopped from here on; else as served, or review_at.")
    ] = None,
    unbiased: Annotated[
        bool, typer.Option("--unbiased", help="Judge what is stopped by what chance let through.")
    ] = False,
    report: ReportFile = None,
) -> None:
    """Say how well payments were judged, by the labels that have come and for those that will.

    `mature` looks only at payments that had the whole label delay. `corrected` looks at all that
    are old enough: each known fraud counts for those of its age that are not reported yet. How
    many are is learned from the delays of past labels. A payment that was served counts as it was
    answered then; with --model or of a data set it is scored again.

    Report keys: n, frauds_known, immature_share, too_young_share, curve (age in days, share of
    frauds reported by then), longest_delay_days, mature (null without frauds) and corrected (n,
    figures: value, low, high (95 %, bootstrap over accounts) of average_precision, precision,
    recall, fraud_money_caught, good_stopped_per_fraud, frauds, fraud_minor, fraud_caught_minor,
    good_stopped_minor), served (whether as answered), blocked, blocked_labelled, threshold
    (null as served), model_digest (null as served), data.

    --unbiased weighs the payments of the exploration arm by their propensity. Report keys then: n,
    explored, immature, frauds_found, propensity_least, amount_most_minor, stand_for and frauds
    (estimated numbers of all that qualified), fraud_minor, good_minor, and value, low, high of
    precision (share of fraud in what would have been stopped) and good_share; data.

    Exit codes: 0 ok, 1 a part did not answer, 2 bad input, too few frauds are known, or the
    exploration arm was off.
    """
    from risk.cli.drift_job import performance_of, unbiased_of
    from risk.domain.errors import BadConfiguration

    wanted = wanted_of(
        dataset, world, (begin, end, label_delay_days), (seed, days, accounts), archive=archive
    )
    if unbiased:
        if model is not None or threshold is not None:
            raise BadConfiguration("--unbiased is about what was served: no --model, --threshold")
        found = unbiased_of(wanted)
        write_report(report, found)
        _tell_unbiased(found)
        return
    found = performance_of(wanted, model, threshold, seed)
    write_report(report, found)
    typer.echo(
        f"{found['n']} payments, {found['frauds_known']} known frauds;"
        f" {found['immature_share']:.1%} younger than the label delay"
    )
    for kind in ("mature", "corrected"):
        of = found[kind]
        typer.echo(f"{kind}: " + ("no frauds yet" if of is None else f"{of['n']} payments"))
        for name, one in (of or {"figures": {}})["figures"].items():
            form = ",.0f" if name in _NUMBERS else ".4f"
            value, low, high = (format(one[key], form) for key in ("value", "low", "high"))
            typer.echo(f"  {name:<24} {value}  ({low} to {high})")


def _tell_unbiased(found: dict[str, Any]) -> None:
    of = found["precision"]
    typer.echo(
        f"{found['explored']} of {found['n']} payments were let through by chance,"
        f" {found['immature']} of them are younger than the label delay"
    )
    typer.echo(
        f"they stand for {found['stand_for']:.0f} that qualified; of these {of['value']:.1%} are"
        f" fraud ({of['low']:.1%} to {of['high']:.1%}): that is how often stopping them is right"
    )
    typer.echo(
        f"in base minor units: fraud {found['fraud_minor']:,.0f}, good {found['good_minor']:,.0f};"
        f" nothing is known of payments over {found['amount_most_minor']:,}"
    )


def _line(one: dict[str, Any]) -> str:
    told = f"{one['name']:<36} PSI {one['psi']:.3f}  JS {one['js']:.3f}"
    missing = f"missing {one['missing']:.1%} of {one['missing_reference']:.1%}"
    return f"{told}  {missing}{'  drifted' if one['drifted'] else ''}"
