"""`weir backfill`: a feature for the decisions that were made without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from risk.cli.proofs import Archive

if TYPE_CHECKING:
    from features.backfill import Has, Wanted
    from features.backfill_store import DayStore
    from features.coverage import Coverage
    from risk.settings import Settings

_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
_From = Annotated[
    str | None, typer.Option("--from", help="RFC 3339; from that UTC day on. Default: all.")
]
_To = Annotated[
    str | None, typer.Option("--to", help="RFC 3339, exclusive; whole UTC days. Default: all.")
]
_Status = Annotated[bool, typer.Option("--status", help="Only show the coverage.")]
_Again = Annotated[bool, typer.Option("--again", help="Compute stored days once more.")]
_Report = Annotated[Path | None, typer.Option("--report", help="Write the coverage as JSON.")]
_DAY_MS = 24 * 60 * 60 * 1000
_SHOWN = 31


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backfill")(backfill)


def backfill(  # noqa: PLR0913  # every option is one
    names: Annotated[list[str], typer.Argument(metavar="FEATURE...", show_default=False)],
    *,
    begin: _From = None,
    end: _To = None,
    world: _World = None,
    archive: Archive = False,
    status: _Status = False,
    again: _Again = False,
    report: _Report = None,
) -> None:
    """Compute features for stored decisions whose catalogue did not have them, bit for bit.

    Nothing is migrated: values go to backfill/WORLD/FEATURE in the state folder, a file for each
    UTC day. Interrupted, the next run goes on with the first day that is not stored.

    Report keys: complete, features (feature, definition, from, to, decisions, covered, complete,
    days: day, decisions, served, computed, unprovable, share). Exit codes: 0 complete, 1 failure,
    2 bad input, 3 another one runs in this world, 4 some decisions cannot have the feature.
    """
    import asyncio

    from features import kernel
    from risk.cli.proofs import UNPROVABLE, parts_of, settings_of, write_report

    settings, wanted = settings_of(world), _whole_days(begin, end)
    stores = stores_of(settings, names)
    with parts_of(settings, "backfill", archive=archive) as ready, _alone(ready, status=status):
        if not status:
            kernel.warm()
            asyncio.run(_fill(ready, stores, wanted, archive=archive, again=again))
        found = asyncio.run(coverage_of(ready, stores, wanted, archive=archive))
    complete = all(one.complete for one in found)
    write_report(report, {"complete": complete, "features": found})
    for one in found:
        for line in told(one):
            typer.echo(line)
    if not complete:
        raise typer.Exit(UNPROVABLE)


def told(one: Coverage) -> list[str]:
    """The coverage of one feature, in a few lines."""
    share = one.covered / one.decisions if one.decisions else 1.0
    lines = [f"{one.feature}: {one.covered} of {one.decisions} decisions have it ({share:.2%})"]
    lines += [
        f"  {day.day}  {day.share:>7.2%} of {day.decisions}: {day.served} served,"
        f" {day.computed} computed"
        + "".join(f", {cause} {count}" for cause, count in day.unprovable.items())
        for day in one.days[-_SHOWN:]
    ]
    return lines


def stores_of(settings: Settings, names: Sequence[str]) -> list[DayStore]:
    """Where the values of these features are; raises BadConfiguration for an unknown one."""
    import difflib

    from features.backfill_store import DayStore
    from features.catalogue import FEATURE_NAMES, feature
    from risk.domain.errors import BadConfiguration

    for name in names:
        if name not in FEATURE_NAMES:
            near = difflib.get_close_matches(name, FEATURE_NAMES, 1)
            hint = f"; did you mean {near[0]}?" if near else "; see `weir features list`"
            raise BadConfiguration(f"there is no feature {name!r}{hint}")
    root = settings.state / "backfill" / settings.world
    return [DayStore(root, feature(name)) for name in dict.fromkeys(names)]


def has_of(settings: Settings) -> Has:
    """Which catalogues have a feature: this code's, and those that the state folder keeps."""
    from features.known_catalogues import KnownCatalogues
    from risk.domain.errors import BadVersion
    from risk.versions.store import VersionStore

    store = VersionStore(settings.state / "versions")

    def body_of(digest: str) -> bytes | None:
        try:
            found = store.get("catalogue", digest)
        except BadVersion:
            return None  # what cannot be read has no feature that counts
        return None if found is None else found.body

    return KnownCatalogues(body_of).has


async def coverage_of(
    settings: Settings, stores: Sequence[DayStore], wanted: Wanted, *, archive: bool
) -> list[Coverage]:
    """The coverage of each feature over the decisions in the topics, or in the archive."""
    from features.coverage import count_decisions, coverage
    from risk.cli.proofs import history_of

    history = await history_of(settings, wanted.from_ms, wanted.to_ms, archive=archive)
    counted = await count_decisions(history, wanted)
    has = has_of(settings)
    return [coverage(store, counted, has, wanted) for store in stores]


async def _fill(
    settings: Settings,
    stores: Sequence[DayStore],
    wanted: Wanted,
    *,
    archive: bool,
    again: bool,
) -> None:
    from features.backfill import Backfill
    from risk.cli.proofs import history_of, rates_of, shown

    held = [store.notes() for store in stores]
    done = frozenset[str]()
    if not again:
        closed = [{day for day, note in notes.items() if note.closed} for notes in held]
        done = frozenset(set.intersection(*closed))
    wanted = wanted._replace(done=done)
    history = await history_of(settings, wanted.from_ms, wanted.to_ms, archive=archive)
    work = Backfill(history.extent, rates_of(settings), stores, has_of(settings), wanted)
    total = sum(span.end - span.first for span in history.extent.spans)
    with shown("computing", total) as advance:
        try:
            async for chunk in history.chunks():
                work.take(chunk)
                advance(len(chunk))
            work.finish()
        finally:
            work.abandon()


def _whole_days(begin: str | None, end: str | None) -> Wanted:
    from features.backfill import Wanted
    from risk.cli.proofs import range_ms

    from_ms, to_ms = range_ms(begin, end)
    whole_to_ms = -(-to_ms // _DAY_MS) * _DAY_MS
    return Wanted(from_ms // _DAY_MS * _DAY_MS, to_ms if end is None else whole_to_ms)


@contextmanager
def _alone(settings: Settings, *, status: bool) -> Iterator[None]:
    """One process computes for a world; whoever only looks does not wait."""
    import fcntl

    from risk.domain.errors import AlreadyRunning

    if status:
        yield
        return
    root = settings.state / "backfill" / settings.world
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"another backfill runs in world {settings.world}") from None
        yield
