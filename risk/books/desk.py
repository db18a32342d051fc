"""The desk where books are proposed, signed and made live; both the API and commands use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from risk.books.evidence import Evidence, check_about, check_standing, read_evidence
from risk.books.library import Library, one_of, version_of
from risk.books.life import (
    Note,
    Proposal,
    Subject,
    approved,
    check_order,
    check_publishable,
    check_replaced,
    check_successor,
    with_paused,
    with_retired,
    with_shadow,
)
from risk.domain.clock import Clock
from risk.domain.errors import BadBook, BadConfiguration, BookRefused
from risk.rules.book import Book
from risk.storage.book_life import SqlBookLife
from risk.versions.version import Live, Version

# What makes a book live; each is noted under its own name.
ACTIONS_LIVE: Final = ("publish", "shadow", "pause", "retire", "rollback", "guardrail")
WAYS_BACK: Final = ("rollback", "guardrail")


@dataclass(frozen=True, slots=True)
class Ground:
    """``gate`` raises where a new book (second) needs features that the live one (first) does not

    and that do not cover the decisions of the last month. It may block.
    """

    clock: Clock
    secret: bytes
    gate: Callable[[Book, Book], None]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A book in a list. ``standing`` is live, approved, proposed, was live, ships or kept."""

    digest: str
    name: str
    standing: str
    rules: int
    author: str
    created_at_ms: int


class _Act(NamedTuple):
    """Who makes a book live, as what and why; ``base`` is the book that it is to replace."""

    name: str
    actor: str
    base: str
    reason: str
    subject: str = ""


class BookDesk:
    """Every change is noted before it is made, so none is without its record.

    Raises Unavailable where Kafka or SQL does not answer, and BookRefused or BadBook for what may
    not be done; the live book then stays.
    """

    def __init__(self, library: Library, life: SqlBookLife, ground: Ground) -> None:
        self.library = library
        self._life = life
        self._ground = ground

    @property
    def now_ms(self) -> int:
        """The time of the wall clock."""
        return self._ground.clock.now_ms()

    # -- reading -------------------------------------------------------------------------

    async def listed(self) -> list[Listed]:
        """All books, the newest first."""
        pointer = await self.library.pointer()
        standing = {self.library.shipped.digest(): "live" if pointer is None else "ships"}
        for proposal in reversed(await asyncio.to_thread(self._life.proposals)):
            standing[proposal.subject.book] = "approved" if proposal.approver else "proposed"
        for note in await self.notes():
            if note.action in ACTIONS_LIVE:
                standing[note.book] = "was live"
        if pointer is not None:
            standing[pointer.digest] = "live"
        found = []
        for digest in self.library.digests():
            version, book = self.library.stored(digest), await self.library.book(digest)
            found.append(
                Listed(
                    digest=digest,
                    name=book.name,
                    standing=standing.get(digest, "kept"),
                    rules=len(book.rules),
                    author="weir" if version is None else version.author,
                    created_at_ms=0 if version is None else version.created_at_ms,
                )
            )
        return sorted(found, key=lambda one: (-one.created_at_ms, one.digest))

    async def notes(self) -> list[Note]:
        """The record, oldest first."""
        return await asyncio.to_thread(self._life.notes)

    async def proposals(self) -> list[Proposal]:
        """What was proposed, the newest first."""
        return await asyncio.to_thread(self._life.proposals)

    async def proposal(self, subject: str) -> Proposal:
        """The proposal whose subject has this hash; raises BookRefused UNKNOWN_PROPOSAL."""
        for one in await self.proposals():
            if one.subject.digest() == subject:
                return one
        raise BookRefused(
            "UNKNOWN_PROPOSAL",
            f"nothing was proposed as {subject[:12]}: give the whole hash of (book, evidence,"
            " range) that the proposal told",
        )

    async def evidence(self, digest: str) -> bytes:
        """The report of this SHA-256, as it was proposed."""
        await self.library.control.look()
        found = self.library.control.store.get("evidence", digest)
        if found is None:
            raise BookRefused("EVIDENCE_UNFIT", f"evidence {digest[:12]} is not on the topic")
        return found.body

    # -- four eyes -----------------------------------------------------------------------

    async def propose(self, book: Book, evidence: Evidence, author: str) -> Proposal:
        """Check ``book``, put it on the control topic, not live, and keep the proposal."""
        subject = subject_of(book, evidence)
        check_standing(evidence, await self.library.standing())
        base = await self.library.live_digest()
        await self._check_book(book)
        await self._check_covered(book)
        # First what it is about: versions bear repetition, a proposal does not.
        report = Version.of("evidence", evidence.body, author, self.now_ms)
        await self.library.control.publish([report, version_of(book, author, self.now_ms)])
        proposal = Proposal(subject=subject, author=author, proposed_at_ms=self.now_ms, base=base)
        await asyncio.to_thread(self._life.propose, proposal)
        await self._note("propose", subject.book, author, subject=subject.digest())
        return proposal

    async def approve(self, subject: str, approver: str) -> Proposal:
        """Sign the subject of this hash. Its author cannot."""
        found = await self.proposal(subject)
        signed = approved(found, approver, self.now_ms, self._ground.secret)
        await self.evidence(found.subject.evidence)
        await self._note("approve", signed.subject.book, approver, subject=subject)
        await asyncio.to_thread(self._life.approve, signed)
        return signed

    async def publish(self, subject: str, actor: str) -> Live:
        """Make the book of an approved subject live; ``actor`` is not its author."""
        found = await self.proposal(subject)
        check_publishable(found, found.subject, actor, self._ground.secret)
        check_replaced(found.subject.book, found.base, await self.library.live_digest())
        evidence = read_evidence(await self.evidence(found.subject.evidence))
        standing = await self.library.standing()
        check_standing(evidence, standing)
        book = await self.library.book(found.subject.book)
        # Which features are covered was asked when it was proposed to replace this very book.
        await self._check_book(book)
        same = evidence.report.digests.lists == standing.lists
        reason = "" if same else "lists have changed since the evidence"
        return await self._make_live(book, _Act("publish", actor, found.base, reason, subject))

    # -- by one person -------------------------------------------------------------------

    async def shadow(self, draft: Book, actor: str, reason: str) -> Live:
        """Evaluate the rules of ``draft`` that do not act beside those that do."""
        base = await self.library.live_digest()
        made = with_shadow(await self.library.book(base), draft)
        await self.require_fit(made)
        return await self._make_live(made, _Act("shadow", actor, base, reason))

    async def pause(self, rule: str, actor: str, reason: str) -> Live:
        """A live rule acts no more; it goes on in the shadow."""
        base = await self.library.live_digest()
        made = with_paused(await self.library.book(base), rule)
        return await self._make_live(made, _Act("pause", actor, base, reason))

    async def retire(self, rule: str, actor: str, reason: str) -> Live:
        """A rule that does not act is out of use for ever."""
        base = await self.library.live_digest()
        made = with_retired(await self.library.book(base), rule)
        return await self._make_live(made, _Act("retire", actor, base, reason))

    async def roll_back(self, to: str, actor: str, reason: str, action: str = "rollback") -> Live:
        """Make a book live again that was live before: ``to``, else the one before the live one.

        ``to`` is a digest or its first characters.
        """
        pointer = await self.library.pointer()
        if pointer is None:
            raise BookRefused("ALREADY_DONE", "no book was published yet: what ships judges")
        if not to and pointer.reason.partition(":")[0] in WAYS_BACK:
            raise BookRefused(
                "ALREADY_DONE",
                f"book {pointer.digest[:12]} is live since a rollback; the book before is the one"
                " that was taken back. Name the book that is wanted with --to",
            )
        shipped = self.library.shipped.digest()
        was_live = {note.book for note in await self.notes() if note.action in ACTIONS_LIVE}
        was_live |= {shipped, pointer.previous or shipped}
        wanted = one_of(to or pointer.previous or shipped, sorted(was_live), "books that were live")
        book = await self.library.book(wanted)
        return await self._make_live(book, _Act(action, actor, pointer.digest, reason))

    # -- shared --------------------------------------------------------------------------

    async def require_fit(self, book: Book) -> None:
        """Raise BadBook with everything that is wrong with ``book``."""
        problems = await self.library.problems(book, self.now_ms)
        if problems:
            raise BadBook(problems)

    async def _check_book(self, book: Book) -> None:
        live = await self.library.live_book()
        check_successor(live, book)
        await self.require_fit(book)
        check_order(live, book)

    async def _check_covered(self, book: Book) -> None:
        live = await self.library.live_book()
        try:
            await asyncio.to_thread(self._ground.gate, live, book)
        except BadConfiguration as error:
            raise BookRefused("NOT_COVERED", str(error)) from None

    async def _make_live(self, book: Book, act: _Act) -> Live:
        version = version_of(book, act.actor, self.now_ms)
        async with self._turn():
            check_replaced(version.digest, act.base, await self.library.live_digest())
            await self._note(act.name, version.digest, act.actor, act.reason, act.subject)
            why = f"{act.name}: {act.reason}" if act.reason else act.name
            return await self.library.control.set_live(
                version, author=act.actor, at_ms=self.now_ms, reason=why
            )

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Nobody else, in whatever process, makes a book of this world live meanwhile."""
        turn = await asyncio.to_thread(self._life.take_turn, self.now_ms)
        try:
            yield
        finally:
            await asyncio.to_thread(self._life.end_turn, turn)

    async def _note(
        self, action: str, book: str, actor: str, reason: str = "", subject: str = ""
    ) -> None:
        note = Note(
            action=action,
            book=book,
            subject=subject,
            actor=actor,
            at_ms=self.now_ms,
            reason=reason,
        )
        await asyncio.to_thread(self._life.note, note)


def subject_of(
    book: Book, evidence: Evidence, from_ms: int | None = None, to_ms: int | None = None
) -> Subject:
    """What is to be signed; raises BookRefused for evidence of another book, or another range."""
    digest = book.digest()
    check_about(evidence, digest, from_ms, to_ms)
    report = evidence.report
    return Subject(
        book=digest, evidence=evidence.digest, from_ms=report.from_ms, to_ms=report.to_ms
    )
