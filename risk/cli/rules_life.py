"""`weir rules`: diff, propose, approve, publish, shadow, pause, retire, rollback, history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from risk.cli.rules_desk import Desk
    from risk.rules.book import Book
    from risk.versions.version import Live

_File = Annotated[Path, typer.Argument(help="A book as YAML.", show_default=False)]
_Rule = Annotated[str, typer.Argument(help="The id of a rule of the live book.")]
_As = Annotated[str, typer.Option("--as", help="Who does it; kept for ever.")]
_Evidence = Annotated[Path, typer.Option("--evidence", help="The evidence report (JSON).")]
_From = Annotated[str, typer.Option("--from", help="Begin of the evidence's data (RFC 3339).")]
_To = Annotated[str, typer.Option("--to", help="End of the evidence's data (RFC 3339).")]
_Reason = Annotated[str, typer.Option("--reason", help="Why; kept for ever.")]
_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
_Report = Annotated[Path | None, typer.Option("--report", help="Write the result as JSON.")]


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
    report: _Report = None,
) -> None:
    """Say in plain words what FILE changes of the live book.

    Report keys: old, new (digests), changes. Exit codes: 0 (changed or not), 2 no book.
    """
    from risk.books.difference import differences
    from risk.cli.proofs import write_report
    from risk.cli.rules import read
    from risk.cli.rules_desk import desk_of

    new = read(file)
    if against is not None:
        old = read(against)
    else:
        with desk_of(world) as desk:
            old = desk.live_book()
    lines = differences(old, new)
    write_report(report, {"old": old.digest(), "new": new.digest(), "changes": lines})
    for line in lines or ["nothing changed"]:
        typer.echo(line)


def propose(
    file: _File,
    evidence: _Evidence,
    begin: _From,
    end: _To,
    author: _As,
    world: _World = None,
    report: _Report = None,
) -> None:
    """Propose FILE for going live, with the evidence it is to be judged by.

    Report keys: subject (the hash to be signed), book, evidence, from_ms, to_ms, author, changes.
    Exit codes: 0, 1 evidence of another book, or Kafka or SQL does not answer, 2 bad book or input.
    """
    import msgspec

    from risk.books.difference import differences
    from risk.books.life import check_successor, checked_name
    from risk.cli.proofs import range_ms, write_report
    from risk.cli.rules import read
    from risk.cli.rules_desk import desk_of

    author, book = checked_name(author), read(file)
    with desk_of(world) as desk:
        held = desk.live_book()
        check_successor(held, book)
        desk.check(book)
        subject = desk.subject(book, evidence, *range_ms(begin, end))
        proposal = desk.propose(book, subject, author)
    changes = differences(held, book)
    content = msgspec.to_builtins(proposal.subject)
    told = {"subject": subject.digest(), **content, "author": author, "changes": changes}
    write_report(report, told)
    for line in changes or ["nothing changed"]:
        typer.echo(line)
    typer.echo(f"proposed as {subject.digest()[:12]}; somebody else must approve it")


def approve(
    file: _File,
    evidence: _Evidence,
    begin: _From,
    end: _To,
    approver: _As,
    world: _World = None,
    report: _Report = None,
) -> None:
    """Sign book, evidence and range of data. The author cannot.

    Report keys: subject, book, author, approver, approved_at_ms, signature. Exit codes: 0, 1 not
    to be signed, or Kafka or SQL does not answer, 2 bad book or input.
    """
    from risk.books.life import approved, checked_name
    from risk.cli.proofs import range_ms, write_report
    from risk.cli.rules import read
    from risk.cli.rules_desk import desk_of
    from risk.domain.errors import BadVersion

    approver, book = checked_name(approver), read(file)
    with desk_of(world) as desk:
        subject = desk.subject(book, evidence, *range_ms(begin, end))
        found = desk.life.proposal(subject)
        if found is None:
            raise BadVersion("nobody proposed this book with this evidence and range of data")
        signed = approved(found, approver, desk.now_ms, desk.secret)
        desk.note("approve", subject.book, approver, subject=subject.digest())
        desk.life.approve(signed)
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
    begin: _From,
    end: _To,
    actor: _As,
    world: _World = None,
    report: _Report = None,
) -> None:
    """Make an approved book live on every worker and API.

    Report keys: kind, digest, previous, number, author, at_ms, reason. Exit codes: 0, 1 not
    approved as it is, or Kafka or SQL does not answer, 2 bad book; the live book then stays.
    """
    from risk.books.life import check_publishable, check_successor, checked_name
    from risk.cli.proofs import range_ms
    from risk.cli.rules import read
    from risk.cli.rules_desk import desk_of

    actor, book = checked_name(actor), read(file)
    with desk_of(world) as desk:
        subject = desk.subject(book, evidence, *range_ms(begin, end))
        check_publishable(desk.life.proposal(subject), subject, actor, desk.secret)
        check_successor(desk.live_book(), book)
        desk.check(book)
        live = desk.make_live(book, actor, "publish", subject=subject.digest())
    _say(live, report)


def shadow(
    file: _File, actor: _As, reason: _Reason = "", world: _World = None, report: _Report = None
) -> None:
    """Evaluate the new rules of FILE beside the live ones, without acting.

    What acts stays as it is, so nobody has to approve. Report keys and exit codes as publish.
    """
    from risk.books.life import checked_name, with_shadow
    from risk.cli.rules import read
    from risk.cli.rules_desk import desk_of

    actor, draft = checked_name(actor), read(file)
    with desk_of(world) as desk:
        made = with_shadow(desk.live_book(), draft)
        live = _checked_live(desk, made, actor, "shadow", reason)
    _say(live, report)


def pause(rule: _Rule, actor: _As, reason: _Reason, world: _World = None,
          report: _Report = None) -> None:  # fmt: skip
    """Stop a live rule at once: it goes on in the shadow. One person may, and must say why.

    Report keys and exit codes as publish.
    """
    from risk.books.life import checked_name, with_paused
    from risk.cli.rules_desk import desk_of

    actor = checked_name(actor)
    with desk_of(world) as desk:
        live = desk.make_live(with_paused(desk.live_book(), rule), actor, "pause", reason)
    _say(live, report)


def retire(rule: _Rule, actor: _As, reason: _Reason, world: _World = None,
           report: _Report = None) -> None:  # fmt: skip
    """Take a rule that does not act out of use for ever; its history and its id stay.

    Report keys and exit codes as publish.
    """
    from risk.books.life import checked_name, with_retired
    from risk.cli.rules_desk import desk_of

    actor = checked_name(actor)
    with desk_of(world) as desk:
        live = desk.make_live(with_retired(desk.live_book(), rule), actor, "retire", reason)
    _say(live, report)


def rollback(
    actor: _As,
    reason: _Reason,
    to: Annotated[str, typer.Option("--to", help="A digest; else the book before.")] = "",
    world: _World = None,
    report: _Report = None,
) -> None:
    """Make a book live again that was live before. One person may, and must say why.

    Report keys and exit codes as publish.
    """
    from risk.books.life import checked_name
    from risk.bootstrap import shipped_book
    from risk.cli.rules_desk import desk_of
    from risk.domain.errors import BadVersion

    actor = checked_name(actor)
    with desk_of(world) as desk:
        pointer = desk.live()
        if pointer is None:
            raise BadVersion("no book was published yet: what ships judges")
        wanted = to or pointer.previous or shipped_book().digest()
        book = desk.known_book(wanted)
        if book.digest() == pointer.digest:
            raise BadVersion(f"book {pointer.digest[:12]} is live already; name another with --to")
        live = desk.make_live(book, actor, "rollback", reason)
    _say(live, report)


def history(world: _World = None, report: _Report = None) -> None:
    """The record: who proposed, approved, published and rolled back what, and why.

    Report keys: live, proposals, notes (action, book, subject, actor, at_ms, reason).
    Exit codes: 0, 1 Kafka or SQL does not answer.
    """
    import msgspec

    from risk.cli.proofs import write_report
    from risk.cli.rules_desk import desk_of
    from risk.domain.times import rfc3339

    with desk_of(world) as desk:
        live, proposals, notes = desk.live(), desk.life.proposals(), desk.life.notes()
    content: dict[str, Any] = {"live": live, "proposals": proposals, "notes": notes}
    write_report(report, msgspec.to_builtins(content))
    for note in notes:
        said = f"{rfc3339(note.at_ms)}  {note.action:<10}{note.book[:12]}  {note.actor}"
        typer.echo(f"{said}  {note.reason}".rstrip())
    typer.echo(f"live: {live.digest}" if live else "live: the book that ships")


def _checked_live(desk: Desk, book: Book, actor: str, action: str, reason: str) -> Live:
    desk.check(book)
    return desk.make_live(book, actor, action, reason)


def _say(live: Live, report: Path | None) -> None:
    from risk.cli.proofs import write_report

    write_report(report, live)
    before = live.previous[:12] or "what ships"
    typer.echo(f"book {live.digest[:12]} is live in place of {before} (number {live.number})")
