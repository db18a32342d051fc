"""`weir models`: list and show risk models; their life is in ``models_life``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from risk.cli import models_life
from risk.cli.proofs import ReportFile

if TYPE_CHECKING:
    from pathlib import Path

    from models.registry import Registry, Version
    from risk.settings import Settings

_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
_Version = Annotated[str, typer.Argument(help="A version's number.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the command group ``models``."""
    group = typer.Typer(
        help="Risk models and their life: draft, shadow, live, retired.", no_args_is_help=True
    )
    group.command("list")(list_models)
    group.command("show")(show)
    models_life.register(group)
    app.add_typer(group, name="models")


def list_models(world: _World = None, report: ReportFile = None) -> None:
    """List the versions, newest first. Report keys: name, versions (as in show)."""
    from rich.console import Console
    from rich.table import Table

    from risk.domain.times import rfc3339

    settings = _settings(world)
    with _registry(settings, "models list") as registry:
        versions = registry.versions()
    _write(report, {"name": registry.name, "versions": [_whole(known) for known in versions]})
    table = Table(
        "version", "state", "alias", "registered", "AUC", "AP", "features", "model", box=None
    )
    for known in versions:
        table.add_row(
            known.version,
            known.state,
            ", ".join(known.aliases),
            rfc3339(known.created_at_ms)[:10],
            _number(known, "auc"),
            _number(known, "average_precision"),
            known.catalogue[:8],
            known.model[:8],
        )
    Console().print(table if versions else "No model is registered; `weir train` makes one.")


def show(version: _Version, world: _World = None, report: ReportFile = None) -> None:
    """Show one version whole.

    Report keys: name, version, run_id, created_at, aliases, state (draft, shadow, live, retired),
    signed, bundle, model, calibration, catalogue, metrics, parameters, card, changes (action,
    alias, version, bundle, before, by, at_ms, reason, overridden).
    """
    import msgspec

    from risk.domain.times import rfc3339

    settings = _settings(world)
    with _registry(settings, "models show") as registry:
        found = registry.version(version)
        content = _whole(found) | {"card": registry.card(version)}
        changes = [one for one in registry.changes() if version in (one.version, one.before)]
        content["changes"] = [msgspec.to_builtins(one) for one in changes]
    _write(report, content)
    keys = ("version", "state", "run_id", "created_at", "aliases", "signed", "model")
    for key in (*keys, "calibration", "catalogue"):
        value = content[key]
        typer.echo(f"{key:<12} {', '.join(value) if isinstance(value, list) else value}")
    for one in changes:
        typer.echo(f"{rfc3339(one.at_ms)} {one.action} {one.alias} by {one.by}: {one.reason}")
    typer.echo(f"\n{content['card']}")


def _settings(world: str | None) -> Settings:
    from risk.settings import Settings

    given = Settings()
    return given if world is None else Settings(world=world)


@contextmanager
def _registry(settings: Settings, command: str) -> Iterator[Registry]:
    """The registry of the settings' world, on the running MLflow or one of our own."""
    from models.names import model_name
    from models.registry import Registry
    from models.signature import ModelKeys, keys_folder
    from risk.local.parts import resolve

    with resolve(settings, ("mlflow",), command=command) as resolved:
        keys = ModelKeys(keys_folder(resolved.state))
        yield Registry(resolved.mlflow, model_name(resolved.world), keys)


def _whole(known: Version) -> dict[str, Any]:
    from risk.domain.times import rfc3339

    return {
        "name": known.name,
        "version": known.version,
        "run_id": known.run_id,
        "created_at": rfc3339(known.created_at_ms),
        "aliases": list(known.aliases),
        "state": known.state,
        "signed": bool(known.signature),
        "bundle": known.bundle,
        "model": known.model,
        "calibration": known.calibration,
        "catalogue": known.catalogue,
        "metrics": dict(known.metrics),
        "parameters": dict(known.parameters),
    }


def _number(known: Version, metric: str) -> str:
    value = known.metrics.get(metric)
    return "" if value is None else f"{value:.4f}"


def _write(report: Path | None, content: object) -> None:
    import msgspec

    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
