"""`weir import` and `weir send`: foreign payment files in, data sets played into a world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from risk.cli.proofs import ReportFile

if TYPE_CHECKING:
    from streams.importer.build import Rejected
    from streams.importer.mapping import Kind
    from streams.importer.run import ImportReport

_File = Annotated[Path, typer.Argument(help="CSV, CSV.gz or Parquet.", show_default=False)]
_MappingFile = Annotated[
    Path, typer.Option("--mapping", help="TOML: which column is which field.", show_default=False)
]
_Dataset = Annotated[
    str, typer.Option("--dataset", help="Name of the data set.", show_default=False)
]
_SHOWN_REJECTED = 5


def register(app: typer.Typer) -> None:
    """Add the command group ``import`` and the command ``send``."""
    group = typer.Typer(help="Foreign payment files into data sets.", no_args_is_help=True)
    group.command("payments")(import_payments)
    group.command("labels")(import_labels)
    group.command("outcomes")(import_outcomes)
    group.command("check")(check)
    app.add_typer(group, name="import")
    app.command("send")(send)


def import_payments(
    file: _File, mapping: _MappingFile, dataset: _Dataset, report: ReportFile = None
) -> None:
    """Import payments, with the outcomes and labels their rows carry. Run it again to go on.

    Report keys: dataset, file, kind, rows, accepted, events, rejected, duplicates, resumed_at_row,
    seconds, rejected_file, first_rejected (line, field, column, code, reason).
    """
    _import("payments", file, mapping, dataset, report)


def import_labels(
    file: _File, mapping: _MappingFile, dataset: _Dataset, report: ReportFile = None
) -> None:
    """Import labels that name their payment. Report keys as of payments."""
    _import("labels", file, mapping, dataset, report)


def import_outcomes(
    file: _File, mapping: _MappingFile, dataset: _Dataset, report: ReportFile = None
) -> None:
    """Import outcomes that name their payment. Report keys as of payments."""
    _import("outcomes", file, mapping, dataset, report)


def check(
    file: _File,
    mapping: _MappingFile,
    rows: Annotated[int, typer.Option("--rows", min=1, help="How many rows to show.")] = 5,
    report: ReportFile = None,
) -> None:
    """Show the first rows as events; nothing is stored. Exit code 2 where one is refused.

    Report keys: rows, rejected (line, field, column, code, reason), events.
    """
    from streams.importer.mapping import load_mapping
    from streams.importer.run import preview

    found = preview(file, load_mapping(mapping), rows)
    for body in found.events:
        typer.echo(bytes(body).decode())
    for one in found.rejected:
        typer.echo(_line(one), err=True)
    _write(report, found)
    if found.rejected:
        raise typer.Exit(2)


def send(
    dataset: _Dataset,
    world: Annotated[str, typer.Option("--world", help="A world of its own.", show_default=False)],
    speed: Annotated[str, typer.Option("--speed", help="1x, 60x or max.")] = "max",
    report: ReportFile = None,
) -> None:
    """Play a data set through the stream door, in event-time order.

    Report keys: dataset, world, events, rejected, seconds, per_s, first_ms, last_ms.
    """
    import asyncio

    from risk.domain.clock import SystemClock
    from risk.local import parts
    from risk.settings import Settings
    from streams.importer.dataset import dataset_folder
    from streams.importer.send import send_dataset, sendable, speed_of

    settings = Settings(world=world)
    folder = dataset_folder(settings.state, dataset)
    factor = speed_of(speed)
    sendable(folder)
    with (
        parts.resolve(settings, ("kafka",), command="send") as ready,
        _progress("sending") as shown,
    ):
        sent = asyncio.run(send_dataset(folder, world, factor, ready.kafka, SystemClock(), shown))
    _write(report, sent)
    typer.echo(
        f"{sent.dataset}: {sent.events} events sent to world {sent.world} in {sent.seconds:.1f} s "
        f"({sent.per_s:.0f}/s), {sent.rejected} rejected"
    )


def _import(kind: Kind, file: Path, mapping: Path, dataset: str, report: Path | None) -> None:
    from risk.domain.clock import SystemClock
    from risk.settings import Settings
    from streams.importer.dataset import dataset_folder
    from streams.importer.mapping import load_mapping
    from streams.importer.run import import_file

    checked = load_mapping(mapping, kind)
    folder = dataset_folder(Settings().state, dataset)
    with _progress(file.name) as shown:
        found = import_file(file, checked, folder, SystemClock(), shown)
    _write(report, found)
    _tell(found)


def _tell(found: ImportReport) -> None:
    typer.echo(
        f"{found.dataset}: {found.rows} rows, {found.events} events, {found.rejected} rejected, "
        f"{found.duplicates} duplicates in {found.seconds:.1f} s"
    )
    if found.resumed_at_row and found.resumed_at_row == found.rows:
        typer.echo("the import was complete before; nothing was added")
    elif found.resumed_at_row:
        typer.echo(f"went on after row {found.resumed_at_row} of an earlier run")
    for one in found.first_rejected[:_SHOWN_REJECTED]:
        typer.echo(f"  {_line(one)}")
    if found.rejected > _SHOWN_REJECTED:
        typer.echo(f"  all of them: {found.rejected_file}")


def _line(one: Rejected) -> str:
    place = f"{one.field} (column {one.column!r}) " if one.column else f"{one.field} ".lstrip()
    return f"line {one.line}: {place}{one.reason}"


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on a terminal, else nothing."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _write(report: Path | None, found: Any) -> None:
    if report is None:
        return
    import msgspec

    report.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
