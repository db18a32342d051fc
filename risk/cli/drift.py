"""`weir drift` and `weir performance`: what became of a model after its launch."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from risk.cli.train import (
    Accounts,
    ArchiveToo,
    Begin,
    Dataset,
    Days,
    Delay,
    End,
    Model,
    Report,
    Seed,
    World,
    wanted_of,
    write_report,
)

DRIFTED = 4


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("drift")(drift)


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
    report: Report = None,
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


def _line(one: dict[str, Any]) -> str:
    told = f"{one['name']:<36} PSI {one['psi']:.3f}  JS {one['js']:.3f}"
    missing = f"missing {one['missing']:.1%} of {one['missing_reference']:.1%}"
    return f"{told}  {missing}{'  drifted' if one['drifted'] else ''}"
