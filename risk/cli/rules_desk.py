"""The desk where books are proposed, signed and made live: the control topic and the SQL store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from risk.books.life import Proposal, Subject
    from risk.rules.book import Book
    from risk.settings import Settings
    from risk.storage.book_life import SqlBookLife
    from risk.versions.version import Live, Version
    from streams.control import Control

COVERED_DAYS = 30
T = TypeVar("T")


class Desk:
    """Every change is noted before it is made, so none is without its record."""

    def __init__(self, settings: Settings, life: SqlBookLife, secret: bytes) -> None:
        from risk.domain.clock import SystemClock

        self.settings = settings
        self.life = life
        self.secret = secret
        self.now_ms = SystemClock().now_ms()

    def live_book(self) -> Book:
        """The book that judges now: the live one, else the one that ships."""
        return self._with_control(_live_book)

    def live(self) -> Live | None:
        """The live pointer of books; None while what ships judges."""

        async def pointer(control: Control) -> Live | None:
            return control.live.get("book")

        return self._with_control(pointer)

    def check(self, book: Book) -> None:
        """Raise BadBook or BadConfiguration unless ``book`` could go live now."""
        from risk.books.difference import acting
        from risk.cli.live_gate import require_covered
        from risk.cli.rules import parts
        from risk.rules.book_check import check_book

        schema, tables = parts()
        check_book(book, schema, tables, self.now_ms)
        names = _features_of([rule.when for rule in acting(book)])
        if names:
            require_covered(self.settings, names, COVERED_DAYS)

    def subject(self, book: Book, evidence: Path, from_ms: int, to_ms: int) -> Subject:
        """What is to be signed; raises BadVersion for evidence about something else."""
        from risk.books.life import Subject, check_evidence
        from risk.domain.errors import BadConfiguration

        try:
            report = evidence.read_bytes()
        except OSError as error:
            raise BadConfiguration(f"{evidence}: cannot be read ({error.strerror})") from None
        digest = book.digest()
        told = check_evidence(report, digest)
        return Subject(book=digest, evidence=told, from_ms=from_ms, to_ms=to_ms)

    def propose(self, book: Book, subject: Subject, author: str) -> Proposal:
        """Put the book on the control topic, not live, and keep the proposal."""
        from risk.books.life import Proposal

        proposal = Proposal(subject=subject, author=author, proposed_at_ms=self.now_ms)
        self.life.propose(proposal)
        self.note("propose", book.digest(), author, subject=subject.digest())
        version = self.version(book, author)
        self._with_control(lambda control: control.publish([version]))
        return proposal

    def make_live(
        self, book: Book, actor: str, action: str, reason: str = "", subject: str = ""
    ) -> Live:
        """Note it, and make ``book`` live everywhere."""
        version = self.version(book, actor)
        self.note(action, version.digest, actor, reason, subject)
        why = f"{action}: {reason}" if reason else action
        return self._with_control(
            lambda control: control.set_live(version, author=actor, at_ms=self.now_ms, reason=why)
        )

    def known_book(self, digest: str) -> Book:
        """The book of this digest, or of its first characters, that once was live.

        Raises BadVersion where there is none, or it never was live.
        """
        from risk.bootstrap import shipped_book
        from risk.domain.errors import BadVersion

        shipped = shipped_book()
        pointer = self.live()
        was_live = {note.book for note in self.life.notes() if note.action in ACTIONS_LIVE}
        was_live |= {shipped.digest()} | ({pointer.previous} if pointer else set())
        fits = [one for one in sorted(was_live - {""}) if digest and one.startswith(digest)]
        if len(fits) != 1:
            raise BadVersion(f"{len(fits)} books that were live begin with {digest!r}")
        if fits[0] == shipped.digest():
            return shipped
        return self._with_control(_stored(fits[0]))

    def note(self, action: str, book: str, actor: str, reason: str = "", subject: str = "") -> None:
        """Add to the record of books."""
        from risk.books.life import Note

        self.life.note(
            Note(
                action=action,
                book=book,
                subject=subject,
                actor=actor,
                at_ms=self.now_ms,
                reason=reason,
            )
        )

    def version(self, book: Book, author: str) -> Version:
        """``book`` as the version that decisions will name."""
        import msgspec

        from risk.versions.version import Version

        body = msgspec.json.encode(book, order="sorted")
        return Version.of("book", body, author, self.now_ms)

    def _with_control(self, act: Callable[[Control], Awaitable[T]]) -> T:
        return asyncio.run(_with_control(self.settings, act))


# What makes a book live; each is noted under its own name.
ACTIONS_LIVE = ("publish", "shadow", "pause", "retire", "rollback", "guardrail")


@contextmanager
def desk_of(world: str | None) -> Iterator[Desk]:
    """The desk of a world, with Kafka and the SQL store open."""
    from risk.cli.proofs import parts_of, settings_of
    from risk.secret import load_secret
    from risk.storage.book_life import SqlBookLife
    from risk.storage.sql import open_store

    with parts_of(settings_of(world), "rules") as settings:
        engine = open_store(settings)
        try:
            yield Desk(settings, SqlBookLife(engine, settings.world), load_secret(settings))
        finally:
            engine.dispose()


async def _with_control(settings: Settings, act: Callable[[Control], Awaitable[T]]) -> T:
    from risk.versions.store import VersionStore
    from streams.admin import ensure_topics
    from streams.control import Control
    from streams.publish import KafkaPublisher
    from streams.topics import Topics

    topics = Topics(settings.world)
    await ensure_topics(settings.kafka, topics)
    async with KafkaPublisher(settings.kafka, topics) as publisher:
        store = VersionStore(settings.state / "versions")
        control = Control(settings.kafka, topics, store, publisher)
        try:
            await control.load()
            return await act(control)
        finally:
            await control.close()


async def _live_book(control: Control) -> Book:
    from risk.bootstrap import shipped_book

    pointer = control.live.get("book")
    return shipped_book() if pointer is None else await _stored(pointer.digest)(control)


def _stored(digest: str) -> Callable[[Control], Awaitable[Book]]:
    async def find(control: Control) -> Book:
        from risk.domain.errors import BadVersion
        from risk.versions.serving import book_in

        found = control.store.get("book", digest)
        if found is None:
            raise BadVersion(f"book {digest[:12]} is not on the control topic")
        return book_in(found)

    return find


def _features_of(conditions: list[str]) -> list[str]:
    from features.catalogue import FEATURE_NAMES
    from risk.rules.compiler import names_of
    from risk.rules.parser import parse

    used: set[str] = set().union(*(names_of(parse(one)) for one in conditions))
    return [name for name in FEATURE_NAMES if name in used]
