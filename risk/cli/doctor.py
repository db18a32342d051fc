"""``weir doctor``: what is there, what is missing, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SIGNS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "missing": "[red]missing[/]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="doctor")(doctor)


def doctor(
    report: Annotated[
        Path | None,
        typer.Option(help="Write JSON: ok, checks: [{name, state, found, fix}]."),
    ] = None,
) -> None:
    """Check every part of this machine. Exits 1 when something is missing."""
    import msgspec
    from rich.console import Console
    from rich.table import Table

    from risk.local.checkup import check_all
    from risk.settings import Settings

    checks = check_all(Settings())
    ok = all(check.state != "missing" for check in checks)
    table = Table("part", "state", "found", "what to do", box=None, pad_edge=False)
    for check in checks:
        table.add_row(check.name, SIGNS[check.state], check.found, check.fix)
    console = Console()
    console.print(table)
    console.print("Everything needed is there." if ok else "Something is missing: see above.")
    if report:
        report.write_bytes(msgspec.json.encode({"ok": ok, "checks": checks}))
    if not ok:
        raise typer.Exit(1)
