"""`weir rules`: diff, propose, approve, publish, shadow, pause, retire, rollback, history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from risk.cli.proofs import ReportFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from risk.books.desk import BookDesk
    from risk.books.evidence import Evidence
    from risk.books.life import Subject
    from risk.rules.book import Book
    from risk.versions.version import Live

_File = Annotated[Path, typer.Argument(help="A book as YAML.", show_default=False)]
_Rule = Annotated[str, typer.Argument(help="The id of a rule of the live book.")]
_As = Annotated[str, typer.Option("--as", help="Who does it; kept for ever.")]
_Evidence = Annotated[Path, typer.Option("--evidence", help="The report of its back-test (JSON).")]
_From = Annotated[str | None, typer.Option("--from", help="Begin of the data; as in the report.")]
_To = Annotated[str | None, typer.Option("--to", help="End of the data; as in the report.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why; kept for ever.")]
_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]


def register(group: typer.Typer) -> None:
    """Add the commands of the life of books to the command group ``rules``."""
    from risk.cli.rules_guard import guard

    for name, command in (
        ("diff", diff), ("propose", propose), ("approve", approve), ("publish", publish),
        ("shadow", shadow), ("pause", pause), ("retire", retire), ("rollback", rollback),
        ("history", history), ("guard", guard),
    ):  # fmt: skip
        group.command(name)(command)


def diff(
    file: _File,
    against: Annotated[
        Path | None, typer.Option("--against", help="Another book as YAML; else the live one.")
    ] = None,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Say in plain words what FILE changes of the live book.

    Report keys: old, new (digests), changes. Exit codes: 0 (changed or not), 2 no book.
    """
    from risk.books.difference import differences
    from risk.cli.proofs import write_report
    from risk.cli.rules import read
    from risk.cli.rules_desk import with_desk

    new = read(file)
    if against is not None:
        old = read(against)
    else:
        old = with_desk(world, lambda desk: desk.library.live_book())
    lines = differences(old, new)
    write_report(report, {"old": old.digest(), "new": new.digest(), "changes": lines})
    for line in lines or ["nothing changed"]:
        typer.echo(line)


def propose(
    file: _File,
    evidence: _Evidence,
    author: _As,
    begin: _From = None,
    end: _To = None,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Propose FILE for going live, with the back-test it is to be judged by.

    Report keys: subject (the hash to be signed), book, evidence, from_ms, to_ms, author, changes.
    Exit codes: 0, 1 Kafka or SQL does not answer, 2 bad book, evidence or input.
    """
    import msgspec

    from risk.books.difference import differences
    from risk.books.life import checked_name
    from risk.cli.proofs import write_report
    from risk.cli.rules import read
    from risk.cli.rules_desk import with_desk

    author, book = checked_name(author), read(file)
    shown, _ = _signed(book, evidence, begin, end)

    async def work(desk: BookDesk) -> tuple[Book, Subject]:
        held = await desk.library.live_book()
        return held, (await desk.propose(book, shown, author)).subject

    held, subject = with_desk(world, work)
    changes = differences(held, book)
    told = {"subject": subject.digest(), **msgspec.to_builtins(subject), "author": author}
    write_report(report, {**told, "changes": changes})
    for line in changes or ["nothing changed"]:
        typer.echo(line)
    typer.echo(f"proposed as {subject.digest()}; somebody else must approve it")


def approve(
    file: _File,
    evidence: _Evidence,
    approver: _As,
    begin: _From = None,
    end: _To = None,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Sign book, evidence and range of data. The author cannot.

    Report keys: subject, book, author, approver, approved_at_ms, signature. Exit codes: 0, 1 Kafka
    or SQL does not answer, 2 not to be signed, or bad book, evidence or input.
    """
    from risk.books.life import checked_name
    from risk.cli.proofs import write_report
    from risk.cli.rules import read
    from risk.cli.rules_desk import with_desk

    approver = checked_name(approver)
    _, subject = _signed(read(file), evidence, begin, end)
    signed = with_desk(world, lambda desk: desk.approve(subject.digest(), approver))
    told = {
        "subject": subject.digest(),
        "book": subject.book,
        "author": signed.author,
        "approver": approver,
        "approved_at_ms": signed.approved_at_ms,
        "signature": signed.signature,
    }
    write_report(report, told)
    typer.echo(f"{approver} approved {subject.digest()[:12]}: book {subject.book[:12]}")


def publish(
    file: _File,
    evidence: _Evidence,
    actor: _As,
    begin: _From = None,
    end: _To = None,
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Make an approved book live on every worker and API.

    Report keys: kind, digest, previous, number, author, at_ms, reason. Exit codes: 0, 1 Kafka or
    SQL does not answer, 2 bad book, or not approved as it is; the live book then stays.
    """
    from risk.books.life import checked_name
    from risk.cli.rules import read

    actor = checked_name(actor)
    _, subject = _signed(read(file), evidence, begin, end)
    _live(world, report, lambda desk: desk.publish(subject.digest(), actor))


def shadow(
    file: _File, actor: _As, reason: _Reason = "", world: _World = None, report: ReportFile = None
) -> None:
    """Evaluate the new rules of FILE beside the live ones, without acting.

    What acts stays as it is, so nobody has to approve. Report keys and exit codes as publish.
    """
    from risk.books.life import checked_name
    from risk.cli.rules import read

    actor, draft = checked_name(actor), read(file)
    _live(world, report, lambda desk: desk.shadow(draft, actor, reason))


def pause(rule: _Rule, actor: _As, reason: _Reason, world: _World = None,
          report: ReportFile = None) -> None:  # fmt: skip
    """Stop a live rule at once: it goes on in the shadow. One person may, and must say why.

    Report keys and exit codes as publish.
    """
    from risk.books.life import checked_name

    actor, reason = checked_name(actor), _said(reason)
    _live(world, report, lambda desk: desk.pause(rule, actor, reason))


def retire(rule: _Rule, actor: _As, reason: _Reason, world: _World = None,
           report: ReportFile = None) -> None:  # fmt: skip
    """Take a rule that does not act out of use for ever; its history and its id stay.

    Report keys and exit codes as publish.
    """
    from risk.books.life import checked_name

    actor, reason = checked_name(actor), _said(reason)
    _live(world, report, lambda desk: desk.retire(rule, actor, reason))


def rollback(
    actor: _As,
    reason: _Reason,
    to: Annotated[str, typer.Option("--to", help="A digest; else the book before.")] = "",
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Make a book live again that was live before. One person may, and must say why.

    Report keys and exit codes as publish.
    """
    from risk.books.life import checked_name

    actor, reason = checked_name(actor), _said(reason)
    _live(world, report, lambda desk: desk.roll_back(to, actor, reason))


def history(world: _World = None, report: ReportFile = None) -> None:
    """The record: who proposed, approved, published and rolled back what, and why.

    Report keys: live, proposals, notes (action, book, subject, actor, at_ms, reason).
    Exit codes: 0, 1 Kafka or SQL does not answer.
    """
    import msgspec

    from risk.cli.proofs import write_report
    from risk.cli.rules_desk import with_desk
    from risk.domain.times import rfc3339

    async def work(desk: BookDesk) -> dict[str, Any]:
        return {
            "live": await desk.library.pointer(),
            "proposals": await desk.proposals(),
            "notes": await desk.notes(),
        }

    content = with_desk(world, work)
    write_report(report, msgspec.to_builtins(content))
    for note in content["notes"]:
        said = f"{rfc3339(note.at_ms)}  {note.action:<10}{note.book[:12]}  {note.actor}"
        typer.echo(f"{said}  {note.reason}".rstrip())
    live = content["live"]
    typer.echo(f"live: {live.digest}" if live else "live: the book that ships")


def _signed(
    book: Book, evidence: Path, begin: str | None, end: str | None
) -> tuple[Evidence, Subject]:
    """The report in a file, and what is signed with it; raises BookRefused."""
    from risk.books.desk import subject_of
    from risk.books.evidence import read_evidence
    from risk.domain.errors import BadConfiguration
    from risk.domain.times import parse_rfc3339

    try:
        shown = read_evidence(evidence.read_bytes())
    except OSError as error:
        raise BadConfiguration(f"--evidence {evidence}: {error.strerror}") from None
    try:
        from_ms, to_ms = (None if one is None else parse_rfc3339(one) for one in (begin, end))
    except ValueError as error:
        raise BadConfiguration(f"--from and --to: {error}") from None
    return shown, subject_of(book, shown, from_ms, to_ms)


def _said(reason: str) -> str:
    from risk.domain.errors import BadConfiguration

    if not reason.strip():
        raise BadConfiguration("--reason: say why; it is kept for ever")
    return reason.strip()


def _live(
    world: str | None, report: Path | None, act: Callable[[BookDesk], Awaitable[Live]]
) -> None:
    from risk.cli.proofs import write_report
    from risk.cli.rules_desk import with_desk

    live = with_desk(world, act)
    write_report(report, live)
    before = live.previous[:12] or "what ships"
    typer.echo(f"book {live.digest[:12]} is live in place of {before} (number {live.number})")
