"""`weir features`: what the models and rules know of a payment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from risk.cli.proofs import ReportFile

_START_MS = 1_760_000_000_000


def register(app: typer.Typer) -> None:
    """Add the command group ``features``."""
    group = typer.Typer(
        help="The feature catalogue: list, show, distribution.", no_args_is_help=True
    )
    group.command("list")(list_features)
    group.command("show")(show)
    group.command("distribution")(distribution)
    app.add_typer(group, name="features")


def list_features(
    entity: Annotated[
        str | None, typer.Option("--entity", help="Only those of one kind of entity, or payment.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference page instead of a table.")
    ] = False,
    report: ReportFile = None,
) -> None:
    """List the features in vector order. Report keys: digest, features (as in show)."""
    from rich.console import Console
    from rich.table import Table

    from features import reference
    from features.catalogue import CATALOGUE, catalogue_digest
    from risk.domain.errors import BadConfiguration

    entities = list(dict.fromkeys(spec.entity for spec in CATALOGUE))
    if entity is not None and entity not in entities:
        raise BadConfiguration(f"--entity {entity}: choose one of {', '.join(entities)}")
    chosen = [spec for spec in CATALOGUE if entity in (None, spec.entity)]
    features = [reference.whole(spec) for spec in chosen]
    _write(report, {"digest": catalogue_digest(), "features": features})
    if markdown:
        typer.echo(reference.markdown(), nl=False)
        return
    columns = ("name", "window", "unit", "sentence")
    table = Table(*columns, title=f"{len(chosen)} features, catalogue {catalogue_digest()[:12]}")
    for spec in chosen:
        cells = reference.row(spec)
        table.add_row(*(cells[column] for column in columns))
    Console().print(table)


def show(
    name: Annotated[str, typer.Argument(help="The name of a feature.", show_default=False)],
    report: ReportFile = None,
) -> None:
    """Show one feature whole. Report keys: name, entity, window, dtype, unit, default,
    exactness, sentence, version, owner, monotone (1: more of it never means less risk), example
    (a story that a test runs, and its value), computation.
    """
    from difflib import get_close_matches

    from features import reference
    from features.catalogue import FEATURE_NAMES, feature
    from risk.domain.errors import BadConfiguration

    if name not in FEATURE_NAMES:
        near = get_close_matches(name, FEATURE_NAMES, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; see `weir features list`"
        raise BadConfiguration(f"no feature {name}{hint}")
    found = reference.whole(feature(name))
    _write(report, found)
    width = max(len(key) for key in found)
    for key, value in found.items():
        if value != "":
            typer.echo(f"{key:<{width}}  {value}")


def distribution(
    accounts: Annotated[int, typer.Option(help="People of the made-up world.", min=10)] = 400,
    days: Annotated[float, typer.Option(help="Length of its history.", min=1.0)] = 45.0,
    seed: Annotated[int, typer.Option(help="Seed of the world.")] = 20_260_101,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference page instead of a table.")
    ] = False,
    report: ReportFile = None,
) -> None:
    """Show how the values of each feature are spread over a made-up history, and over its frauds.
    Report keys: digest, payments, frauds, features: [{name, whole, fraud}], each with missing,
    zero (shares), q25, q50, q75, q99 (null where no value is known).
    """
    import numpy as np
    from rich.console import Console
    from rich.table import Column, Table

    from features import distribution as spread
    from features.catalogue import catalogue_digest
    from models.dataset import observe
    from risk.settings import Settings
    from risk.simulator.world import World
    from risk.tables.load import exchange_rates

    settings = Settings()
    rates = exchange_rates(settings.rates, settings.base_currency)
    samples = observe(World(seed, accounts, _START_MS).events(days), rates)
    fraud = samples.fraud_at(np.iinfo(np.int64).max)
    found = spread.distributions(samples.matrix, fraud)
    payments, frauds = len(samples), int(fraud.sum())
    _write(
        report,
        {
            "digest": catalogue_digest(),
            "payments": payments,
            "frauds": frauds,
            "features": [
                {"name": one.name, "whole": one.whole._asdict(), "fraud": one.fraud._asdict()}
                for one in found
            ],
        },
    )
    if markdown:
        source = f"the made-up world of seed {seed}, {accounts} accounts, {days:g} days"
        typer.echo(spread.markdown(found, source, payments, frauds), nl=False)
        return
    table = Table(Column("name", no_wrap=True), *spread.Spread._fields, "q50 of fraud")
    for one in found:
        cells = [*one.whole, one.fraud.q50]
        table.add_row(one.name, *("" if np.isnan(cell) else f"{cell:.4g}" for cell in cells))
    Console().print(table)


def _write(report: Path | None, content: object) -> None:
    import msgspec

    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
