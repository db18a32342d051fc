"""`weir dataset`: a training set whose vectors were made again, with its certificate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models.trainset import Manifest
    from models.trainset_events import Asked
    from risk.settings import Settings

_DAY_MS = 24 * 60 * 60 * 1000
_Out = Annotated[
    Path, typer.Option("--out", help="Folder to make; it must not be there.", show_default=False)
]
_Name = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="An imported data set, a file of `weir simulate`, `simulated` or `handbook`.",
    ),
]
_World = Annotated[
    str | None, typer.Option("--world", help="What was really served in this world.")
]
_From = Annotated[
    str | None,
    typer.Option("--from", help="RFC 3339, inclusive; occurred_at, of a world decided_at."),
]
_To = Annotated[str | None, typer.Option("--to", help="RFC 3339, exclusive.")]
_Delay = Annotated[
    float, typer.Option(min=0.0, max=3650.0, help="Time after --to that labels get to arrive.")
]
_Archive = Annotated[
    bool, typer.Option("--archive", help="With --world: read its archive, and no Kafka.")
]
_Seed = Annotated[int, typer.Option(min=0, help="Of `simulated` and `handbook`.")]
_Days = Annotated[float | None, typer.Option(help="Of `simulated` and `handbook`.")]
_Accounts = Annotated[int | None, typer.Option(min=1, help="Of `simulated` and `handbook`.")]
_Start = Annotated[str | None, typer.Option(help="RFC 3339; of `simulated` and `handbook`.")]
_Report = Annotated[Path | None, typer.Option("--report", help="Write the manifest too.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dataset")(dataset)


def dataset(  # noqa: PLR0913  # every option is one
    *,
    out: _Out,
    name: _Name = None,
    world: _World = None,
    begin: _From = None,
    end: _To = None,
    label_delay_days: _Delay = 10.0,
    archive: _Archive = False,
    seed: _Seed = 1,
    days: _Days = None,
    accounts: _Accounts = None,
    start: _Start = None,
    report: _Report = None,
) -> None:
    """Make a training set: FOLDER/rows.parquet and FOLDER/manifest.json, whole or not at all.

    Every vector is made again: from the topics or the archive of a world, compared with what was
    served; from a data set by the memory and the kernel that serve.

    Report keys (the manifest): version, source, from, to, label_delay_days, labels_as_of,
    labels_until, catalogue, features, rates, rows, labelled, frauds, left_out (cause to count),
    maturity (day, age_days, payments, mature, share, labelled, frauds), scenarios, certificate
    (that of `weir parity`; null for data sets), libraries, file (name, bytes, sha256).

    Exit codes: 0 ok, 1 a served vector differs or a record is damaged (left out and named), 2 bad
    input, 3 another process makes this set, 4 made, but some payments could not be proven.
    """
    from risk.cli.dataset_sources import MadeUp
    from risk.cli.proofs import leave, write_report
    from risk.domain.errors import BadConfiguration

    if (name is None) == (world is None):
        raise BadConfiguration("name either --dataset or --world")
    if archive and world is None:
        raise BadConfiguration("--archive goes with --world")
    asked = _asked(begin, end, label_delay_days)
    sizes = MadeUp(seed=seed, days=days, accounts=accounts, start=start)
    if world is not None:
        if sizes.named:
            raise BadConfiguration("--seed, --days, --accounts and --start go with --dataset")
        made, verdict = of_world(world, asked, out, archive=archive)
    else:
        assert name is not None
        made, verdict = of_dataset(name, asked, out, sizes), "equal"
    write_report(report, made)
    for line in told(made, out):
        typer.echo(line)
    leave(verdict)


def told(made: Manifest, out: Path) -> list[str]:
    """The set in a few lines."""
    mature = sum(day.mature for day in made.maturity)
    lines = [
        f"{out}: {made.rows} payments, {made.frauds} known to be fraud at {made.labels_as_of}",
        f"{mature / made.rows:.1%} of them had {made.label_delay_days:g} days to be found out",
    ]
    lines += [f"  left out: {cause} {count}" for cause, count in made.left_out.items()]
    return lines


def _asked(begin: str | None, end: str | None, delay_days: float) -> Asked:
    from models.trainset_events import Asked
    from risk.cli.proofs import range_ms

    from_ms, to_ms = range_ms(begin, end)
    return Asked(
        None if begin is None else from_ms,
        None if end is None else to_ms,
        round(delay_days * _DAY_MS),
    )


def of_dataset(name: str, asked: Asked, out: Path, sizes: object) -> Manifest:
    from features import kernel
    from models.trainset_events import write_from_events
    from risk.cli.dataset_sources import MadeUp, source_of
    from risk.tables.load import exchange_rates

    assert isinstance(sizes, MadeUp)
    settings = _settings(None)
    rates = exchange_rates(settings.rates, settings.base_currency)
    source = source_of(settings.state, name, sizes)
    kernel.warm()
    return write_from_events(source, asked, rates, out)


def of_world(world: str, asked: Asked, out: Path, *, archive: bool) -> tuple[Manifest, str]:
    import asyncio

    from features import kernel
    from risk.cli.proofs import parts_of, settings_of

    if out.exists():
        raise _exists(out)  # before any server is started
    with parts_of(settings_of(world), "dataset", archive=archive) as ready:
        kernel.warm()
        return asyncio.run(_from_world(ready, asked, out, archive=archive))


async def _from_world(
    settings: Settings, asked: Asked, out: Path, *, archive: bool
) -> tuple[Manifest, str]:
    from models.trainset_world import Means, write_from_world
    from risk.cli.proofs import history_of, models_of, rates_of, shown
    from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN
    from risk.tables.load import exchange_rates

    from_ms = TIME_MS_MIN if asked.from_ms is None else asked.from_ms
    to_ms = TIME_MS_MAX - 1 if asked.to_ms is None else asked.to_ms
    labels_ms = min(TIME_MS_MAX - 1, to_ms + asked.delay_ms)
    survey = await history_of(settings, from_ms, labels_ms, archive=archive)
    history = await history_of(settings, from_ms, to_ms, archive=archive)
    rates = exchange_rates(settings.rates, settings.base_currency).digest()
    means = Means(rates_of(settings), models_of(settings), rates)
    told = {
        "kind": "world",
        "world": settings.world,
        "read_from": "archive" if archive else "topics",
    }
    with shown("proving", sum(span.end - span.first for span in history.extent.spans)) as advance:
        made, found = await write_from_world(told, (survey, history), asked, means, out, advance)
    return made, found.verdict


def _exists(out: Path) -> Exception:
    from risk.domain.errors import BadConfiguration

    return BadConfiguration(f"--out {out} is there already; name another folder")


def _settings(world: str | None) -> Settings:
    from risk.cli.proofs import settings_of

    return settings_of(world)
