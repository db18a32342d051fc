"""`weir retrain`: from what was served to a challenger in the shadow, and never further."""

from __future__ import annotations

from typing import Annotated

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
    Seed,
    World,
    wanted_of,
    write_report,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("retrain")(retrain)


def retrain(  # noqa: PLR0913  # every option is one
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
    no_tune: Annotated[bool, typer.Option("--no-tune", help="Fixed settings.")] = False,
    trials: Annotated[int, typer.Option(min=1, help="Of tuning; earlier runs count.")] = 40,
    seconds: Annotated[float | None, typer.Option(help="At most so long for tuning.")] = None,
    report: ReportFile = None,
) -> None:
    """Train on what was served, compare with the champion, and shadow the new model.

    With --world the rows are what that world served, proven again. The new version is checked and
    becomes the challenger: it scores live payments and decides nothing. Nothing here makes a
    model live; that is `weir models promote`, with its guardrails.

    Report keys: those of `weir train`, and champion and challenger (model_digest, and of the
    same test part value, low, high of the figures of `weir evaluate`; champion null where none may
    serve, then champion_refused says why).

    Exit codes: 0 ok, 1 a part did not answer or the model is refused, 2 bad input, 3 in use.
    """
    from risk.cli.retrain_job import retrained
    from risk.cli.train_job import Options

    wanted = wanted_of(
        dataset, world, (begin, end, label_delay_days), (seed, days, accounts), archive=archive
    )
    options = Options(
        seed=seed, trials=None if no_tune else trials, seconds=seconds, alias=None, compare=False
    )
    found = retrained(wanted, options)
    write_report(report, found)
    for name in ("champion", "challenger"):
        one = found[name]
        if one is None:
            typer.echo(f"{name:<12} none: {found['champion_refused']}")
            continue
        told = one["average_precision"]
        typer.echo(
            f"{name:<12} average precision {told['value']:.4f} ({told['low']:.4f} to"
            f" {told['high']:.4f})"
        )
    typer.echo(
        f"version {found['version']} is in the shadow; `weir models compare` tells when it is"
        " better, `weir models promote` makes it live"
    )
