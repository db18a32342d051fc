"""What is asked and answered about lists, and its schemas in the OpenAPI text."""

from __future__ import annotations

from typing import Final

import msgspec

from api.schema_parts import schemas_of, untitled
from risk.contracts import Schema
from risk.domain.times import rfc3339
from risk.lists.entries import Entry, HeldList, Note
from risk.lists.values import Effect
from risk.lists.wider import Match


class ListWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list to be made. `fields` are those of a payment that it acts on; else its type's own."""

    name: str
    type: str
    effect: str = "none"
    fields: tuple[str, ...] = ()
    sentence: str = ""


class EntryWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value that is to stand on a list; `expires_at` is RFC 3339."""

    value: str
    reason: str
    expires_at: str | None = None


class EntriesWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 to 1,000 entries."""

    entries: list[EntryWanted]


class ListRemovals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 to 1,000 values to be taken off, and why."""

    values: list[str]
    reason: str


class ListChanged(msgspec.Struct, frozen=True, kw_only=True):
    """`version` is the digest of all lists, which decisions name from now on."""

    list: str
    version: str
    number: int


class ListAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A list. `entries` counts expired ones too."""

    name: str
    type: str
    effect: Effect
    fields: tuple[str, ...]
    sentence: str
    entries: int
    author: str
    created_at: str


class ListIndex(msgspec.Struct, frozen=True, kw_only=True):
    """Every list, by name."""

    lists: list[ListAnswer]


class EntryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A value on a list: who put it there, when, why and until when."""

    value: str
    reason: str
    expires_at: str | None
    author: str
    added_at: str


class ListPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries by value. `after` asks for the next page; null on the last."""

    about: ListAnswer
    entries: list[EntryAnswer]
    after: str | None


class ListMatch(msgspec.Struct, frozen=True, kw_only=True):
    """A list on which a value stands; `state` is active or expired."""

    list: str
    type: str
    effect: Effect
    state: str
    entry: EntryAnswer


class ListMatches(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value stands."""

    value: str
    matches: list[ListMatch]


class ListNote(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the record."""

    list: str
    action: str
    value: str
    entries: int
    expires_at: str | None
    actor: str
    at: str
    reason: str
    version: str
    file: str


class ListRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record, the newest first."""

    notes: list[ListNote]


class ListImported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did; `entries` are the different values of the file."""

    list: str
    sha256: str
    size_bytes: int
    lines: int
    entries: int
    duplicates: int
    added: int
    updated: int
    removed: int
    total: int
    version: str


_NAMED: Final = (
    ListWanted, EntriesWanted, ListRemovals, ListChanged, ListIndex, ListPage, ListMatches,
    ListRecord, ListImported,
)  # fmt: skip


def list_schemas(ref: str) -> dict[str, Schema]:
    """Name to schema."""
    return untitled(schemas_of(_NAMED, ref))


def told_list(held: HeldList, entries: int) -> ListAnswer:
    """A list as it is answered."""
    return ListAnswer(
        name=held.name, type=held.type, effect=held.effect, fields=held.fields,
        sentence=held.sentence, entries=entries, author=held.author,
        created_at=rfc3339(held.created_at_ms),
    )  # fmt: skip


def told_entry(entry: Entry) -> EntryAnswer:
    """An entry as it is answered."""
    return EntryAnswer(
        value=entry.value, reason=entry.reason, expires_at=_time(entry.expires_at_ms),
        author=entry.author, added_at=rfc3339(entry.added_at_ms),
    )  # fmt: skip


def told_match(match: Match) -> ListMatch:
    """A match as it is answered."""
    return ListMatch(
        list=match.list, type=match.type, effect=match.effect, state=match.state,
        entry=told_entry(match.entry),
    )  # fmt: skip


def told_note(note: Note) -> ListNote:
    """A note as it is answered."""
    return ListNote(
        list=note.list, action=note.action, value=note.value, entries=note.entries,
        expires_at=_time(note.expires_at_ms), actor=note.actor, at=rfc3339(note.at_ms),
        reason=note.reason, version=note.version, file=note.file,
    )  # fmt: skip


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)
