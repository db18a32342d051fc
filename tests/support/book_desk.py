"""A desk of books over a control topic in memory and a real SQL store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from features.catalogue import CATALOGUE
from risk.books.desk import BookDesk, Ground
from risk.books.library import Library
from risk.bootstrap import shipped_book, shipped_versions
from risk.domain.clock import SystemClock
from risk.domain.errors import BadConfiguration
from risk.rules.book import Book
from risk.rules.schema import Schema
from risk.settings import Settings
from risk.storage.book_life import SqlBookLife
from risk.storage.sql import open_store
from risk.tables.load import exchange_rates
from risk.versions.store import VersionStore
from risk.versions.version import Kind, Live, Version

SECRET = b"a secret of the tests, long enough 0123456789"
RATES = exchange_rates(None, "EUR")


class ControlTwin:
    """Follows ``risk.books.library.ControlTopic``; keeps all pointers that were set."""

    def __init__(self, store: VersionStore) -> None:
        self.store = store
        self.live: dict[Kind, Live] = {}
        self.set: list[Live] = []

    async def look(self) -> None:
        return None

    async def publish(self, versions: Iterable[Version]) -> list[Version]:
        return [one for one in versions if self.store.put(one)]

    async def set_live(
        self, version: Version, *, author: str, at_ms: int, reason: str = ""
    ) -> Live:
        await self.publish([version])
        held = self.live.get(version.kind)
        live = Live(
            kind=version.kind, digest=version.digest, previous=held.digest if held else "",
            number=held.number + 1 if held else 1, author=author, at_ms=at_ms, reason=reason,
        )  # fmt: skip
        self.live[version.kind] = live
        self.set.append(live)
        return live


class Gate:
    """What a desk asks about features; refuses while ``closed``."""

    def __init__(self) -> None:
        self.closed = False

    def __call__(self, live: Book, new: Book) -> None:
        if self.closed:
            raise BadConfiguration(f"{new.name}: features are not covered, as in {live.name}")


@contextmanager
def open_desk(home: Path, gate: Gate | None = None) -> Iterator[BookDesk]:
    """A desk of its own."""
    engine = open_store(Settings(home=home))
    try:
        control = ControlTwin(VersionStore(home / "versions"))
        for one in shipped_versions(RATES, 1):
            control.store.put(one)
        library = Library(control, shipped_book(), Schema.of(CATALOGUE), RATES)
        ground = Ground(SystemClock(), SECRET, gate or Gate())
        yield BookDesk(library, SqlBookLife(engine, "live"), ground)
    finally:
        engine.dispose()
