"""`weir labels`: the truth about payments, from files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="The truth about payments that arrives later.", no_args_is_help=True)
    group.command("import")(import_)
    app.add_typer(group, name="labels")


def import_(
    file: Annotated[Path, typer.Argument(help="CSV.", show_default=False)],
    world: Annotated[str, typer.Option("--world", help="Whose payments these are.")] = "live",
    check: Annotated[bool, typer.Option("--check", help="Only check; send nothing.")] = False,
    report: Annotated[Path | None, typer.Option("--report", help="Write the result as JSON.")] = (
        None
    ),
) -> None:
    """Send the labels of a CSV file. Sending it again changes nothing.

    Columns: payment_id, label (chargeback, fraud_report, dispute_won, analyst_fraud,
    analyst_legit), known_at (RFC 3339); also id, occurred_at, tenant, account, card, merchant,
    beneficiary, device, ip. Where a line is wrong nothing of the file is sent.

    Report keys: file, world, rows, by_label, rejected, first_rejected (line, field, code,
    reason), sent.

    Exit codes: 0 ok, 1 Kafka did not answer, 2 a line or the file is wrong.
    """
    import asyncio

    import msgspec

    from risk.domain.clock import SystemClock
    from risk.local import parts
    from risk.settings import Settings
    from streams.importer.labels import check_file, send_file

    settings, clock = Settings(world=world), SystemClock()
    found = check_file(file, world, clock.now_ms() if world == "live" else None)
    if not check and not found.rejected and found.rows:
        with parts.resolve(settings, ("kafka",), command="labels") as ready:
            sent = asyncio.run(send_file(file, found, ready.kafka, clock))
        found = msgspec.structs.replace(found, sent=sent)
    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    for one in found.first_rejected:
        typer.echo(f"line {one.line}: {one.field or 'the line'}: {one.reason}", err=True)
    kinds = ", ".join(f"{count} {label}" for label, count in found.by_label.items())
    typer.echo(
        f"{found.file}: {found.rows} labels ({kinds}), {found.rejected} wrong, {found.sent} sent"
    )
    if found.rejected:
        raise typer.Exit(2)
