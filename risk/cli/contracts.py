"""``weir contracts``: the texts that other systems build against, made from the code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
Folder = Annotated[Path, typer.Option(help="Where the texts are.")]
Report = Annotated[Path | None, typer.Option(help="Write JSON: ok, files, differing (file names).")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="The contracts: JSON Schema, OpenAPI, AsyncAPI.")
    group.command(name="write")(write)
    group.command(name="check")(check)
    app.add_typer(group, name="contracts")


def texts() -> dict[str, str]:
    """File name to text, of every contract."""
    from importlib.metadata import version

    from api.contract import openapi
    from risk import contracts
    from streams import asyncapi

    documents = {
        "event.schema.json": contracts.event_schema(),
        "decision.schema.json": contracts.decision_schema(),
        "ledger.schema.json": contracts.ledger_schema(),
        "openapi.json": openapi(),
        "asyncapi.json": asyncapi.document(version("weir")),
    }
    return {name: contracts.render(document) for name, document in documents.items()}


def write(folder: Folder = FOLDER, report: Report = None) -> None:
    """Write every contract into the folder."""
    made = texts()
    folder.mkdir(parents=True, exist_ok=True)
    differing = _differing(made, folder)
    for name in differing:
        (folder / name).write_text(made[name])
    typer.echo(f"{len(made)} contracts, {len(differing)} written")
    _report(report, ok=True, files=sorted(made), differing=differing)


def check(folder: Folder = FOLDER, report: Report = None) -> None:
    """Compare the contracts with the code. Exits 1 where they differ."""
    made = texts()
    differing = _differing(made, folder)
    _report(report, ok=not differing, files=sorted(made), differing=differing)
    if differing:
        names = ", ".join(differing)
        typer.echo(f"not as the code has it: {names}; run `weir contracts write`", err=True)
        raise typer.Exit(1)
    typer.echo(f"{len(made)} contracts agree with the code")


def _differing(made: dict[str, str], folder: Path) -> list[str]:
    return [
        name
        for name, text in sorted(made.items())
        if not (folder / name).is_file() or (folder / name).read_text() != text
    ]


def _report(path: Path | None, *, ok: bool, files: list[str], differing: list[str]) -> None:
    import msgspec

    if path is not None:
        found = {"ok": ok, "files": files, "differing": differing}
        path.write_bytes(msgspec.json.encode(found))
