"""A desk of lists over a control topic in memory and a real SQL store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from features.catalogue import CATALOGUE
from risk.domain.errors import Unavailable
from risk.domain.findings import ListSnapshot
from risk.lists.desk import ListDesk
from risk.lists.manifest import read_manifest, snapshot_of
from risk.lists.members import Tables
from risk.rules.schema import Schema
from risk.rules.words import reserved_names
from risk.settings import Settings
from risk.storage.lists import SqlLists
from risk.storage.sql import open_store
from risk.versions.serving import segments_in
from risk.versions.store import VersionStore
from risk.versions.version import Kind, Live, Version

NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


class OutletTwin:
    """Follows ``risk.lists.desk.Outlet``. While ``down``, what would change the topic fails."""

    def __init__(self, store: VersionStore) -> None:
        self.store = store
        self.pointers: dict[Kind, Live] = {}
        self.set: list[Live] = []
        self.down = False

    def find(self, kind: Kind, digest: str) -> Version | None:
        return self.store.get(kind, digest)

    def publish(self, versions: Sequence[Version]) -> None:
        for version in versions:
            self.store.put(version)

    def set_live(self, version: Version, author: str, at_ms: int, reason: str) -> Live:
        if self.down:
            raise Unavailable("kafka", "down")
        self.publish([version])
        held = self.pointers.get(version.kind)
        live = Live(
            kind=version.kind, digest=version.digest, previous=held.digest if held else "",
            number=held.number + 1 if held else 1, author=author, at_ms=at_ms, reason=reason,
        )  # fmt: skip
        self.pointers[version.kind] = live
        self.set.append(live)
        return live

    def live(self) -> Mapping[Kind, Live]:
        return self.pointers


class Desk:
    """The desk, its parts, and the clock."""

    def __init__(self, lists: SqlLists, store: VersionStore, entries_max: int) -> None:
        self.now_ms = NOW_MS
        self.outlet = OutletTwin(store)
        self.lists = lists
        names = reserved_names(Schema.of(CATALOGUE))
        self.desk = ListDesk(
            lists, self.outlet, names, lambda: self.now_ms, entries_max=entries_max
        )

    def live(self, digest: str | None = None) -> ListSnapshot:
        """What judges now, or judged at a version."""
        wanted = digest or self.outlet.pointers["lists"].digest
        version = self.outlet.store.get("lists", wanted)
        assert version is not None
        find = segments_in(self.outlet.store)
        return snapshot_of(read_manifest(version.body), Tables(find))


@contextmanager
def open_list_desk(home: Path, entries_max: int = 1_000) -> Iterator[Desk]:
    """A desk of its own."""
    engine = open_store(Settings(home=home))
    try:
        yield Desk(SqlLists(engine, "live"), VersionStore(home / "versions"), entries_max)
    finally:
        engine.dispose()
