"""What the commands that prove something share: the range, the history, the tables, the models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from features.parity import Models
    from features.proof.history import History
    from features.proof.told import ToBase
    from risk.settings import Settings

Archive = Annotated[
    bool, typer.Option("--archive", help="Read the archive of the world, and no Kafka.")
]


def writable(file: Path | None) -> Path | None:
    """A usage error where ``file`` cannot be written: before the work, not after it."""
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        raise typer.BadParameter(f"{file}: name a file in a folder that exists")
    return file


ReportFile = Annotated[
    Path | None,
    typer.Option("--report", help="Write the result as JSON.", callback=writable),
]
UNPROVABLE = 4  # exit code: nothing differs, but not everything could be proven


def settings_of(world: str | None) -> Settings:
    """The settings, for another world where one is named."""
    from risk.settings import Settings

    given: dict[str, Any] = {} if world is None else {"world": world}
    return Settings(**given)


def range_ms(begin: str | None, end: str | None) -> tuple[int, int]:
    """``--from`` and ``--to`` in ms; without them everything. Raises BadConfiguration."""
    from risk.domain.errors import BadConfiguration
    from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN
    from risk.domain.times import parse_rfc3339

    try:
        from_ms = TIME_MS_MIN if begin is None else parse_rfc3339(begin)
        to_ms = TIME_MS_MAX - 1 if end is None else parse_rfc3339(end)
    except ValueError as error:
        raise BadConfiguration(f"--from and --to: {error}") from None
    if not TIME_MS_MIN <= from_ms < to_ms < TIME_MS_MAX:
        raise BadConfiguration("--from must be before --to, both between the years 2000 and 2099")
    return from_ms, to_ms


@contextmanager
def parts_of(settings: Settings, command: str, *, archive: bool = False) -> Iterator[Settings]:
    """The settings with Kafka's address, and that of MLflow where one is known or runs.

    A proof from the archive needs no Kafka.
    """
    from risk.collector import settle
    from risk.local import parts

    settle()

    needs = () if archive else ("kafka",)
    with parts.resolve(settings, needs, command=command) as ready:
        live = parts.running(settings.state)
        mlflow = ready.mlflow or (live.mlflow if live is not None else "")
        yield ready.model_copy(update={"mlflow": mlflow})


def rates_of(settings: Settings) -> ToBase:
    """Amounts in the base currency by any table of exchange rates that this folder has used."""
    from risk.domain.base_amount import amount_in_base
    from risk.domain.event import AnyEvent, Payment, Refund
    from risk.tables.load import RateTables, exchange_rates

    tables = RateTables(settings.state, exchange_rates(settings.rates, settings.base_currency))

    def to_base(event: AnyEvent, digest: str) -> int | None:
        if not isinstance(event, Payment | Refund):
            return None  # it has none, whatever the table
        return amount_in_base(event, tables.of(digest))

    return to_base


def models_of(settings: Settings) -> Models:
    """The models that the cache or the registry has."""
    from features.catalogue import FEATURE_NAMES, catalogue_digest
    from models.at_hand import ModelsAtHand
    from models.names import model_name
    from models.registry import Registry
    from models.source import Catalogue, ModelSource

    name, cache = model_name(settings.world), settings.state / "cache" / "models"
    catalogue = Catalogue(FEATURE_NAMES, catalogue_digest())
    source = ModelSource(settings.mlflow, name, cache, catalogue)
    return ModelsAtHand(source, Registry(settings.mlflow, name) if settings.mlflow else None)


async def history_of(
    settings: Settings,
    from_ms: int | None = None,
    to_ms: int | None = None,
    *,
    archive: bool = False,
) -> History:
    """The world's decisions and ledger in Kafka, or in the archive, as far as the range needs.

    Raises BadConfiguration where an archive is asked for and there is none.
    """
    from risk.domain.errors import BadConfiguration
    from streams.archive_store import archive_folder
    from streams.history import open_history
    from streams.history_archive import open_archive_history
    from streams.topics import Topics

    if archive:
        folder = archive_folder(settings.state, settings.world)
        if not folder.is_dir():
            raise BadConfiguration(
                f"--archive: world {settings.world} has no archive in {settings.state};"
                " `weir run` and `weir archive` make one"
            )
        return open_archive_history(folder, settings.world, from_ms, to_ms)
    return await open_history(settings.kafka, Topics(settings.world), from_ms, to_ms)


def damages_of(history: History) -> list[str]:
    """What of the archive could not be read, by file; nothing for a history in Kafka."""
    return list(getattr(history, "damages", ()))


@contextmanager
def shown(verb: str, history_records: int) -> Iterator[Callable[[int], None]]:
    """Progress over so many records: a bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), Remaining())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(verb, total=history_records)
        yield lambda count: bar.advance(task, count)


def write_report(report: Path | None, found: Any) -> None:
    """Write ``found`` as JSON, where a file is asked for."""
    if report is None:
        return
    import msgspec

    report.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def leave(verdict: str) -> None:
    """End with the exit code of a verdict: 0 proven, 1 different, 4 not proven."""
    if verdict == "different":
        raise typer.Exit(1)
    if verdict != "equal":
        raise typer.Exit(UNPROVABLE)
