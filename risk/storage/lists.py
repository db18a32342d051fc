"""Lists and their entries in the SQL store. Whoever changes them holds the world's turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, Row, Table, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from risk.lists.entries import Entry, HeldList, NewEntry, Note
from risk.lists.segments import SegmentRef
from risk.storage.sql import connection
from risk.storage.tables import LIST_ENTRIES, LIST_NOTES, LIST_TURNS, LISTS

_ROWS_AT_ONCE: Final = 20_000
_VALUES_AT_ONCE: Final = 500


class SqlLists:
    """The lists of one world. Every method may raise Unavailable."""

    def __init__(self, engine: Engine, world: str) -> None:
        self._engine = engine
        self._world = world

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """One transaction; until it ends nobody else has the turn of this world."""
        with connection(self._engine) as link:
            take = update(LIST_TURNS).where(LIST_TURNS.c.world == self._world)
            if link.execute(take.values(turn=LIST_TURNS.c.turn + 1)).rowcount == 0:
                link.execute(_upsert(link, LIST_TURNS).values(world=self._world, turn=1))
            yield Turn(link, self._world)

    def all(self) -> list[HeldList]:
        """Every list, by name."""
        with connection(self._engine) as link:
            return _all(link, self._world)

    def counts(self) -> dict[str, int]:
        """How many entries each list has, expired ones included."""
        of = LIST_ENTRIES.c
        query = select(of.list, func.count()).where(of.world == self._world).group_by(of.list)
        with connection(self._engine) as link:
            return {row[0]: row[1] for row in link.execute(query)}

    def entries(self, name: str, after: str = "", limit: int = 100) -> list[Entry]:
        """Entries of a list by value, those behind ``after``."""
        of = LIST_ENTRIES.c
        query = (
            select(LIST_ENTRIES)
            .where(of.world == self._world, of.list == name, of.value > after)
            .order_by(of.value)
            .limit(limit)
        )
        with connection(self._engine) as link:
            return [_entry(row) for row in link.execute(query)]

    def found(self, name: str, values: Sequence[str]) -> dict[str, Entry]:
        """The entries of these values."""
        of = LIST_ENTRIES.c
        query = select(LIST_ENTRIES).where(
            of.world == self._world, of.list == name, of.value.in_(list(values))
        )
        with connection(self._engine) as link:
            return {row._mapping["value"]: _entry(row) for row in link.execute(query)}

    def noted(self, name: str, value: str, actor: str, reason: str) -> bool:
        """Whether ``actor`` put this value on the list for this reason once, also if it is off."""
        of = LIST_NOTES.c
        same = (of.world == self._world, of.list == name, of.value == value)
        query = select(of.number).where(*same, of.actor == actor, of.reason == reason).limit(1)
        with connection(self._engine) as link:
            return link.execute(query).first() is not None

    def expired(self, name: str, before_ms: int, limit: int) -> list[str]:
        """Values whose entries ended before ``before_ms``."""
        of = LIST_ENTRIES.c
        query = select(of.value).where(
            of.world == self._world, of.list == name, of.expires_at_ms < before_ms
        )
        with connection(self._engine) as link:
            return list(link.execute(query.limit(limit)).scalars())

    def notes(self, name: str | None = None, limit: int = 1_000) -> list[Note]:
        """The record, of one list or of all, the newest first."""
        query = select(LIST_NOTES).where(LIST_NOTES.c.world == self._world)
        if name is not None:
            query = query.where(LIST_NOTES.c.list == name)
        with connection(self._engine) as link:
            rows = link.execute(query.order_by(LIST_NOTES.c.number.desc()).limit(limit))
            return [_note(row) for row in rows]

    def made(self, version: str) -> bool:
        """Whether a change that is noted here made this version of all lists."""
        of = LIST_NOTES.c
        query = select(of.number).where(of.world == self._world, of.version == version)
        newest = query.order_by(of.number.desc()).limit(1)  # it is among the last, so found at once
        with connection(self._engine) as link:
            return link.execute(newest).first() is not None


class Turn:
    """Changes in one transaction."""

    def __init__(self, link: Connection, world: str) -> None:
        self._link = link
        self._world = world

    def all(self) -> list[HeldList]:
        """Every list, by name."""
        return _all(self._link, self._world)

    def put(self, held: HeldList) -> None:
        """Keep a new list, or what it is now."""
        row = msgspec.structs.asdict(held) | {
            "world": self._world,
            "fields": " ".join(held.fields),
            "segments": msgspec.json.encode(held.segments).decode(),
        }
        self._link.execute(
            delete(LISTS).where(LISTS.c.world == self._world, LISTS.c.name == held.name)
        )
        self._link.execute(insert(LISTS).values(row))

    def drop(self, name: str) -> None:
        """Take a list away, with its entries; its notes stay."""
        self.clear(name)
        self._link.execute(delete(LISTS).where(LISTS.c.world == self._world, LISTS.c.name == name))

    def clear(self, name: str) -> None:
        """Take every entry of a list away."""
        of = LIST_ENTRIES.c
        self._link.execute(delete(LIST_ENTRIES).where(of.world == self._world, of.list == name))

    def add(self, name: str, entries: Iterable[NewEntry], author: str, at_ms: int) -> None:
        """Keep entries; of one value the last stands."""
        rows = (
            {
                "world": self._world,
                "list": name,
                "value": one.value,
                "author": author,
                "reason": one.reason,
                "added_at_ms": at_ms,
                "expires_at_ms": one.expires_at_ms,
            }
            for one in entries
        )
        statement = _upsert(self._link, LIST_ENTRIES)
        while part := list(islice(rows, _ROWS_AT_ONCE)):
            self._link.execute(statement, part)

    def remove(self, name: str, values: Sequence[str]) -> int:
        """Take values away; how many stood there."""
        of, removed = LIST_ENTRIES.c, 0
        for at in range(0, len(values), _VALUES_AT_ONCE):
            part = list(values[at : at + _VALUES_AT_ONCE])
            where = (of.world == self._world, of.list == name, of.value.in_(part))
            removed += self._link.execute(delete(LIST_ENTRIES).where(*where)).rowcount
        return removed

    def count(self, name: str) -> int:
        """How many entries a list has."""
        of = LIST_ENTRIES.c
        query = select(func.count()).where(of.world == self._world, of.list == name)
        return int(self._link.execute(query).scalar_one())

    def note(self, notes: Sequence[Note]) -> None:
        """Add to the record."""
        rows = [{"world": self._world, **msgspec.structs.asdict(one)} for one in notes]
        self._link.execute(insert(LIST_NOTES), rows)


def _upsert(link: Connection, table: Table) -> Any:
    """An insert that takes the place of a row with the same key."""
    made: Any = (sqlite if link.dialect.name == "sqlite" else postgresql).insert(table)
    keys = [column.name for column in table.primary_key]
    others = {one.name: made.excluded[one.name] for one in table.columns if one.name not in keys}
    return made.on_conflict_do_update(index_elements=keys, set_=others)


def _all(link: Connection, world: str) -> list[HeldList]:
    query = select(LISTS).where(LISTS.c.world == world).order_by(LISTS.c.name)
    return [_held(row) for row in link.execute(query)]


def _held(row: Row[Any]) -> HeldList:
    held = row._mapping
    plain = {
        name: held[name]
        for name in ("name", "type", "effect", "sentence", "author", "created_at_ms")
    }
    return HeldList(
        **plain,
        fields=tuple(held["fields"].split()),
        segments=msgspec.json.decode(held["segments"], type=tuple[SegmentRef, ...]),
    )


def _entry(row: Row[Any]) -> Entry:
    held = row._mapping
    return Entry(**{name: held[name] for name in Entry.__struct_fields__})


def _note(row: Row[Any]) -> Note:
    held = row._mapping
    return Note(**{name: held[name] for name in Note.__struct_fields__})
