"""`weir features`: what the models and rules know of a payment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_Report = Annotated[Path | None, typer.Option("--report", help="Write the result as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the command group ``features``."""
    group = typer.Typer(help="The feature catalogue: list, show.", no_args_is_help=True)
    group.command("list")(list_features)
    group.command("show")(show)
    app.add_typer(group, name="features")


def list_features(
    entity: Annotated[
        str | None, typer.Option("--entity", help="Only those of one kind of entity, or payment.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference page instead of a table.")
    ] = False,
    report: _Report = None,
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
    report: _Report = None,
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


def _write(report: Path | None, content: object) -> None:
    import msgspec

    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
