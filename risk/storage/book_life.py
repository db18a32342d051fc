"""Proposed books, their approvals, and the record of what was done to books."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Engine, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from risk.books.life import Note, Proposal, Subject
from risk.domain.errors import BookRefused, Unavailable
from risk.storage.sql import connection
from risk.storage.tables import BOOK_NOTES, BOOK_PROPOSALS, BOOK_TURNS

REASON_CHARS_MAX = 1_000
TURN_MS = 60_000  # Kafka confirms, or refuses, long before


class SqlBookLife:
    """The proposals and notes of one world. Notes are only ever added."""

    def __init__(self, engine: Engine, world: str) -> None:
        self._engine = engine
        self._world = world

    def propose(self, proposal: Proposal) -> None:
        """Keep a new proposal; raises BookRefused where the same was proposed before.

        The same over another live book takes the place of the old one, and its approval goes.
        """
        subject, of = proposal.subject, BOOK_PROPOSALS.c
        row = {
            **msgspec.structs.asdict(subject),
            "world": self._world,
            "subject": subject.digest(),
            "author": proposal.author,
            "proposed_at_ms": proposal.proposed_at_ms,
            "base": proposal.base,
            "approver": "",
            "approved_at_ms": 0,
            "signature": "",
        }
        try:
            with connection(self._engine) as link:
                same = (of.world == self._world, of.subject == subject.digest())
                link.execute(delete(BOOK_PROPOSALS).where(*same, of.base != proposal.base))
                link.execute(insert(BOOK_PROPOSALS).values(row))
        except Unavailable as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            raise BookRefused(
                "ALREADY_DONE",
                f"book {subject.book[:12]} with this evidence was proposed before; approve it",
            ) from None

    def proposal(self, subject: Subject) -> Proposal | None:
        """What was proposed as exactly ``subject``."""
        query = select(BOOK_PROPOSALS).where(
            BOOK_PROPOSALS.c.world == self._world, BOOK_PROPOSALS.c.subject == subject.digest()
        )
        with connection(self._engine) as link:
            row = link.execute(query).one_or_none()
        return None if row is None else _proposal(row)

    def proposals(self) -> list[Proposal]:
        """All, the newest first."""
        query = (
            select(BOOK_PROPOSALS)
            .where(BOOK_PROPOSALS.c.world == self._world)
            .order_by(BOOK_PROPOSALS.c.proposed_at_ms.desc(), BOOK_PROPOSALS.c.subject)
        )
        with connection(self._engine) as link:
            return [_proposal(row) for row in link.execute(query)]

    def approve(self, proposal: Proposal) -> None:
        """Keep an approval; raises BookRefused where somebody was faster."""
        change = (
            update(BOOK_PROPOSALS)
            .where(
                BOOK_PROPOSALS.c.world == self._world,
                BOOK_PROPOSALS.c.subject == proposal.subject.digest(),
                BOOK_PROPOSALS.c.approver == "",
            )
            .values(
                approver=proposal.approver,
                approved_at_ms=proposal.approved_at_ms,
                signature=proposal.signature,
            )
        )
        with connection(self._engine) as link:
            if link.execute(change).rowcount != 1:
                raise BookRefused("ALREADY_DONE", "somebody else approved it at the same time")

    def take_turn(self, now_ms: int) -> int:
        """The turn to make a book live, to be ended; raises BookRefused while another has it.

        Whoever died with it loses it after ``TURN_MS``.
        """
        of = BOOK_TURNS.c
        take = (
            update(BOOK_TURNS)
            .where(of.world == self._world, of.taken_at_ms < now_ms - TURN_MS)
            .values(turn=of.turn + 1, taken_at_ms=now_ms)
        )
        try:
            with connection(self._engine) as link:
                if link.execute(take).rowcount == 0:
                    first = insert(BOOK_TURNS)
                    link.execute(first.values(world=self._world, turn=1, taken_at_ms=now_ms))
                query = select(of.turn).where(of.world == self._world)
                return int(link.execute(query).scalar_one())
        except Unavailable as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            raise BookRefused(
                "LIVE_CHANGED", "somebody makes another book live right now; look, then try again"
            ) from None

    def end_turn(self, turn: int) -> None:
        """Give the turn back, unless it was lost."""
        mine = (BOOK_TURNS.c.world == self._world, BOOK_TURNS.c.turn == turn)
        with connection(self._engine) as link:
            link.execute(update(BOOK_TURNS).where(*mine).values(taken_at_ms=0))

    def note(self, note: Note) -> None:
        """Add to the record."""
        row = msgspec.structs.asdict(note) | {"reason": note.reason[:REASON_CHARS_MAX]}
        with connection(self._engine) as link:
            link.execute(insert(BOOK_NOTES).values(world=self._world, **row))

    def notes(self) -> list[Note]:
        """The record, oldest first."""
        query = (
            select(BOOK_NOTES)
            .where(BOOK_NOTES.c.world == self._world)
            .order_by(BOOK_NOTES.c.number)
        )
        with connection(self._engine) as link:
            return [_note(row) for row in link.execute(query)]


def _proposal(row: Row[Any]) -> Proposal:
    held = row._mapping
    subject = Subject(
        book=held["book"],
        evidence=held["evidence"],
        from_ms=held["from_ms"],
        to_ms=held["to_ms"],
    )
    return Proposal(
        subject=subject,
        author=held["author"],
        proposed_at_ms=held["proposed_at_ms"],
        base=held["base"],
        approver=held["approver"],
        approved_at_ms=held["approved_at_ms"],
        signature=held["signature"],
    )


def _note(row: Row[Any]) -> Note:
    held = row._mapping
    names = Note.__struct_fields__
    return Note(**{name: held[name] for name in names})
