"""`weir lists`: create, fill, look into, export and remove lists; everything is noted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from risk.cli.proofs import ReportFile, writable

if TYPE_CHECKING:
    from risk.lists.entries import Entry
    from risk.storage.lists import SqlLists
    from risk.versions.version import Live

_Name = Annotated[str, typer.Argument(metavar="LIST", show_default=False)]
_As = Annotated[str, typer.Option("--as", help="Who does it; kept for ever.")]
_Why = Annotated[str, typer.Option("--reason", help="Why; kept for ever.")]
_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
_PAGE = 5_000
_TYPES = (
    "account, card, device, ip, merchant, beneficiary, terminal, country, currency, mcc, bin,"
    " email_hash, phone_hash or text."
)
_EFFECTS = "block, allow, hold (until each entry expires) or none (only rules read it)."
_FIELDS = "A field of the payment that it acts on; may be repeated. Else the type's own."


def register(app: typer.Typer) -> None:
    """Add the command group ``lists``."""
    group = typer.Typer(
        help="Lists that block, allow or hold payments, and that rules test with `in`.",
        no_args_is_help=True,
    )
    for name, command in (
        ("create", create), ("add", add), ("remove", remove), ("show", show),
        ("list", show_all), ("import", import_file), ("export", export), ("check", check),
        ("audit", audit), ("drop", drop), ("publish", publish),
    ):  # fmt: skip
        group.command(name)(command)
    app.add_typer(group, name="lists")


def create(
    name: _Name,
    type_name: Annotated[str, typer.Option("--type", help=_TYPES)],
    author: _As,
    effect: Annotated[str, typer.Option(help=_EFFECTS)] = "none",
    field: Annotated[list[str] | None, typer.Option(help=_FIELDS)] = None,
    sentence: Annotated[str, typer.Option(help="What the list is for; decisions say it.")] = "",
    world: _World = None,
) -> None:
    """Make an empty list. Exit codes: 0, 1 Kafka or SQL does not answer, 2 refused."""
    from risk.cli.lists_desk import at_the_desk

    fields = tuple(field or ())
    live = at_the_desk(
        world, lambda desk: desk.create(name, type_name, effect, author, fields, sentence)
    )
    _say(f"list {name} of type {type_name}, effect {effect}", name, live, None)


def add(
    name: _Name,
    values: Annotated[list[str], typer.Argument(metavar="VALUE...", show_default=False)],
    author: _As,
    reason: _Why,
    until: Annotated[str | None, typer.Option(help="When it expires (RFC 3339).")] = None,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Put values on a list. What stands there already gets this reason and expiry.

    Report keys: list, version, number, entries. Exit codes: 0, 1 Kafka or SQL does not answer,
    2 refused.
    """
    from risk.cli.lists_desk import at_the_desk
    from risk.lists.entries import NewEntry

    until_ms = _time_ms(until)
    entries = [NewEntry(value=one, reason=reason, expires_at_ms=until_ms) for one in values]
    live = at_the_desk(world, lambda desk: desk.add(name, entries, author))
    _say(f"list {name}: {len(entries)} written", name, live, report, entries=len(entries))


def remove(
    name: _Name,
    values: Annotated[list[str], typer.Argument(metavar="VALUE...", show_default=False)],
    author: _As,
    reason: _Why,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Take values off a list. Report keys and exit codes as add."""
    from risk.cli.lists_desk import at_the_desk

    live = at_the_desk(world, lambda desk: desk.remove(name, values, author, reason))
    _say(f"list {name}: {len(values)} removed", name, live, report, entries=len(values))


def drop(
    name: _Name, author: _As, reason: _Why, world: _World = None, report: ReportFile = None
) -> None:
    """Remove a list with its entries; its record stays. Refused while the live book names it.

    Report keys: list, version (digest of all lists), number. Exit codes as create.
    """
    from risk.cli.lists_desk import at_the_desk

    live = at_the_desk(world, lambda desk: desk.drop(name, author, reason))
    _say(f"list {name} is removed", name, live, report)


def publish(
    anew: Annotated[
        bool, typer.Option("--anew", help="Also where another SQL store made what judges.")
    ] = False,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Make live what is stored, where a change was kept and Kafka then did not answer.

    Report keys: list, version (digest of all lists), number. Exit codes as create.
    """
    from risk.cli.lists_desk import at_the_desk

    live = at_the_desk(world, lambda desk: desk.publish(anew=anew))
    _say("what is stored is live", "", live, report)


def import_file(
    name: _Name,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, show_default=False)],
    author: _As,
    reason: Annotated[str, typer.Option(help="The reason of lines without one.")] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="What the file does not name is taken off the list.")
    ] = False,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Put every line of a CSV file (value, reason, expires_at) on a list, or nothing.

    At most 256 MiB a file, 4 KiB a line and 5,000,000 entries a list. Report keys: list, file,
    sha256, size_bytes, lines, entries (different values), duplicates, added, updated, removed,
    total, version, seconds. Exit codes: 0, 1 Kafka or SQL does not answer, 2 refused: the first
    20 wrong lines are named, and nothing was changed.
    """
    import msgspec

    from risk.cli.lists_desk import at_the_desk
    from risk.cli.proofs import write_report
    from risk.domain.clock import SystemClock

    clock = SystemClock()
    began_s = clock.monotonic_s()
    done = at_the_desk(
        world, lambda desk: desk.import_file(name, file, author, reason, replace=replace)
    )
    seconds = round(clock.monotonic_s() - began_s, 2)
    write_report(report, {**msgspec.to_builtins(done), "seconds": seconds})
    typer.echo(
        f"list {name}: {done.added} added, {done.updated} written anew, {done.removed} removed,"
        f" {done.total} in all ({seconds} s); version {done.version[:12]} is live"
    )


def export(
    name: _Name,
    out: Annotated[
        Path, typer.Option("--out", help="The CSV file.", show_default=False, callback=writable)
    ],
    full: Annotated[
        bool, typer.Option("--full", help="Also author and added_at; import takes it without.")
    ] = False,
    world: _World = None,
) -> None:
    """Write a list as CSV: value, reason, expires_at. Exit codes: 0, 1 no SQL, 2 no such list."""
    import csv
    from itertools import chain

    from risk.cli.lists_desk import stored_lists

    columns = ["value", "reason", "expires_at", *(["author", "added_at"] if full else [])]
    written = 0
    with stored_lists(world) as lists:
        pages = _pages(lists, name)
        first = next(pages)
        with out.open("w", newline="", encoding="utf-8") as target:
            rows = csv.writer(target)
            rows.writerow(columns)
            for page in chain([first], pages):
                rows.writerows([_shown(one)[column] for column in columns] for one in page)
                written += len(page)
    typer.echo(f"list {name}: {written} entries in {out}")


def show_all(world: _World = None, report: ReportFile = None) -> None:
    """List every list. Report keys: lists (name, type, effect, fields, sentence, entries, author,
    created_at_ms). Exit codes: 0, 1 no SQL."""
    import msgspec

    from risk.cli.lists_desk import stored_lists
    from risk.cli.proofs import write_report

    with stored_lists(world) as lists:
        held, counts = lists.all(), lists.counts()
    rows = [
        {key: value for key, value in msgspec.to_builtins(one).items() if key != "segments"}
        | {"entries": counts.get(one.name, 0)}
        for one in held
    ]
    write_report(report, {"lists": rows})
    for one in held:
        acts = f"{one.effect} by {', '.join(one.fields)}" if one.fields else "for rules"
        said = f"{one.name:<28}{one.type:<12}{counts.get(one.name, 0):>9}  {acts}  {one.sentence}"
        typer.echo(said.rstrip())
    if not held:
        typer.echo("no lists; `weir lists create` makes one")


def show(
    name: _Name,
    after: Annotated[str, typer.Option(help="Begin behind this value.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=_PAGE)] = 100,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Show a list's entries by value. Report keys: list, entries (value, reason, expires_at,
    author, added_at). Exit codes: 0, 1 no SQL, 2 no such list."""
    from risk.cli.lists_desk import stored_lists
    from risk.cli.proofs import write_report

    with stored_lists(world) as lists:
        page = next(_pages(lists, name, after, limit))
    write_report(report, {"list": name, "entries": [_shown(one) for one in page]})
    for one in page:
        typer.echo(_line(one))
    if len(page) == limit:
        typer.echo(f"more: --after {page[-1].value!r}")


def check(
    value: Annotated[str, typer.Argument(metavar="VALUE", show_default=False)],
    type_name: Annotated[str | None, typer.Option("--type", help="Only such lists.")] = None,
    world: _World = None,
    report: ReportFile = None,
) -> None:  # fmt: skip
    """Say on which lists VALUE stands; an address also in a network, a BIN also by fewer digits.

    Report keys: value, matches (list, type, effect, state, entry). Exit codes: 0 (on a list or
    not), 1 no SQL.
    """
    import msgspec

    from risk.cli.lists_desk import stored_lists
    from risk.cli.proofs import write_report
    from risk.domain.clock import SystemClock
    from risk.lists.wider import matches_of

    with stored_lists(world) as lists:
        matches = matches_of(lists, value, type_name, SystemClock().now_ms())
    write_report(report, {"value": value, "matches": msgspec.to_builtins(matches)})
    for one in matches:
        typer.echo(f"{one.list} ({one.effect}, {one.state}): {_line(one.entry)}")
    if not matches:
        typer.echo(f"{value} is on no list")


def audit(
    name: Annotated[str | None, typer.Argument(metavar="[LIST]", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1)] = 100,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """The record, newest first: who changed what, when and why, and the version it made.

    Report keys: notes (list, action, value, entries, expires_at_ms, actor, at_ms, reason, version,
    file). Exit codes: 0, 1 no SQL, 2 there never was such a list.
    """
    import msgspec

    from risk.cli.lists_desk import stored_lists
    from risk.cli.proofs import write_report
    from risk.domain.times import rfc3339
    from risk.lists.entries import the_list

    with stored_lists(world) as lists:
        notes = lists.notes(name, limit)
        if name is not None and not notes:
            the_list(lists.all(), name)
    write_report(report, {"notes": msgspec.to_builtins(notes)})
    for one in notes:
        what = one.value or f"{one.entries} entries"
        said = f"{rfc3339(one.at_ms)}  {one.action:<8}{one.list}  {what}  {one.actor}"
        typer.echo(f"{said}  {one.reason}  {one.version[:12]}")


def _pages(
    lists: SqlLists, name: str, after: str = "", limit: int = _PAGE
) -> Iterator[list[Entry]]:
    """Pages of a list's entries, at least one; raises UnknownList."""
    from risk.lists.entries import the_list

    the_list(lists.all(), name)
    while True:
        page = lists.entries(name, after, limit)
        yield page
        if len(page) < limit:
            return
        after = page[-1].value


def _say(text: str, name: str, live: Live, report: Path | None, entries: int | None = None) -> None:
    from risk.cli.proofs import write_report

    told = {"list": name, "version": live.digest, "number": live.number}
    write_report(report, told if entries is None else {**told, "entries": entries})
    typer.echo(f"{text}; version {live.digest[:12]} is live")


def _time_ms(text: str | None) -> int | None:
    from risk.domain.times import parse_rfc3339
    from risk.lists.errors import BadList

    try:
        return None if text is None else parse_rfc3339(text)
    except ValueError as error:
        raise BadList([f"--until: {error}"]) from None


def _shown(entry: Entry) -> dict[str, str]:
    from risk.domain.times import rfc3339

    expires = "" if entry.expires_at_ms is None else rfc3339(entry.expires_at_ms)
    return {
        "value": entry.value,
        "reason": entry.reason,
        "expires_at": expires,
        "author": entry.author,
        "added_at": rfc3339(entry.added_at_ms),
    }


def _line(entry: Entry) -> str:
    shown = _shown(entry)
    until = f", until {shown['expires_at']}" if shown["expires_at"] else ""
    return f"{entry.value}  {entry.reason} ({entry.author}, {shown['added_at']}{until})"
