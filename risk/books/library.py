"""Every book that there is: by digest, the live one, and whether one could go live now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from risk.books.evidence import Standing
from risk.domain.errors import BookRefused
from risk.domain.money import ExchangeRates
from risk.lists.manifest import list_types, manifest_digest, read_manifest
from risk.policy import Policy
from risk.rules.book import Book
from risk.rules.book_check import problems_of
from risk.rules.compiler import Tables
from risk.rules.schema import Schema
from risk.versions.serving import book_in
from risk.versions.store import VersionStore
from risk.versions.version import Kind, Live, Version

LIVE: Final = "live"  # stands for the digest of the live book
DIGEST_CHARS: Final = 64


class ControlTopic(Protocol):
    """The control topic of a world (``streams.control.Control``). Methods raise Unavailable."""

    store: VersionStore
    live: dict[Kind, Live]

    async def look(self) -> None: ...

    async def publish(self, versions: Iterable[Version]) -> list[Version]: ...

    async def set_live(
        self, version: Version, *, author: str, at_ms: int, reason: str = ""
    ) -> Live: ...


class Library:
    """Books by digest. ``schema`` is that of the features, without lists."""

    def __init__(
        self, control: ControlTopic, shipped: Book, schema: Schema, rates: ExchangeRates
    ) -> None:
        self.control = control
        self.shipped = shipped
        self._schema = schema
        self._rates = rates

    async def pointer(self) -> Live | None:
        """Which book is live; None while what ships judges."""
        await self.control.look()
        return self.control.live.get("book")

    async def live_digest(self) -> str:
        """The digest of the book that judges now."""
        pointer = await self.pointer()
        return self.shipped.digest() if pointer is None else pointer.digest

    async def standing(self) -> Standing:
        """What judges now beside the book."""
        await self.control.look()
        policy, lists = self.control.live.get("policy"), self.control.live.get("lists")
        return Standing(
            policy=Policy().digest() if policy is None else policy.digest,
            rates=self._rates.digest(),
            lists=manifest_digest({}) if lists is None else lists.digest,
        )

    async def live_book(self) -> Book:
        """The book that judges now: the live one, else the one that ships."""
        pointer = await self.pointer()
        return self.shipped if pointer is None else self._stored(pointer.digest)

    async def book(self, digest: str) -> Book:
        """The book of this digest, or of its first characters, or ``live``.

        Raises BookRefused UNKNOWN_BOOK.
        """
        if digest == LIVE:
            return await self.live_book()
        await self.control.look()
        return self._stored(one_of(digest, self.digests(), "books"))

    def digests(self) -> list[str]:
        """The digest of each book, that which ships among them, in order."""
        held = {digest for kind, digest in self.control.store.all() if kind == "book"}
        return sorted(held | {self.shipped.digest()})

    def stored(self, digest: str) -> Version | None:
        """The version that this book is; None where it ships, and was never on the topic."""
        return self.control.store.get("book", digest)

    async def problems(self, book: Book, now_ms: int) -> list[str]:
        """Everything that keeps ``book`` from going live now, one line each."""
        await self.control.look()
        schema, tables = self._schema.with_lists(self._list_types()), Tables(self._rates)
        # Who stands on a list is not looked at: examples say it themselves.
        return await asyncio.to_thread(lambda: list(problems_of(book, schema, tables, now_ms)))

    def _stored(self, digest: str) -> Book:
        found = self.stored(digest)
        if found is not None:
            return book_in(found)
        if digest == self.shipped.digest():
            return self.shipped
        raise BookRefused("UNKNOWN_BOOK", f"book {digest[:12]} is not on the control topic")

    def _list_types(self) -> dict[str, str]:
        """The live lists, which rules may name."""
        live = self.control.live.get("lists")
        found = None if live is None else self.control.store.get("lists", live.digest)
        return {} if found is None else list_types(read_manifest(found.body))


def version_of(book: Book, author: str, at_ms: int) -> Version:
    """``book`` as the version that decisions will name."""
    return Version.of("book", msgspec.json.encode(book, order="sorted"), author, at_ms)


def one_of(begin: str, digests: Iterable[str], what: str) -> str:
    """The one digest that begins so; raises BookRefused UNKNOWN_BOOK."""
    fits = [one for one in digests if begin and one.startswith(begin)]
    if len(fits) != 1:
        told = f"{len(fits)} {what} begin with {begin[:DIGEST_CHARS]!r}; exactly one must"
        raise BookRefused("UNKNOWN_BOOK", told)
    return fits[0]
