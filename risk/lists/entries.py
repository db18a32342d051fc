"""Lists, entries and notes as people keep them; what judges is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

import msgspec

from risk.lists.errors import BadList, UnknownList
from risk.lists.manifest import ListVersion
from risk.lists.segments import NEVER_MS, SegmentRef
from risk.lists.values import TYPES, BadValue, Effect, canonical

REASON_CHARS_MAX: Final = 300
NAME_CHARS_MAX: Final = 128


class HeldList(msgspec.Struct, frozen=True, kw_only=True):
    """A list as it is stored. ``segments`` is its chain, the oldest first."""

    name: str
    type: str
    effect: Effect
    fields: tuple[str, ...]
    sentence: str
    segments: tuple[SegmentRef, ...]
    author: str
    created_at_ms: int


class NewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What is to stand on a list. Without ``expires_at_ms`` it stands until it is removed."""

    value: str
    reason: str
    expires_at_ms: int | None = None

    @property
    def until_ms(self) -> int:
        """The expiry as segments write it."""
        return NEVER_MS if self.expires_at_ms is None else self.expires_at_ms


class Entry(NewEntry, frozen=True, kw_only=True):
    """A value on a list: who put it there, when and why."""

    author: str
    added_at_ms: int


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the record. ``version`` is the digest of all lists after the change.

    ``entries`` is how many were changed; ``file`` the SHA-256 of an imported file.
    """

    list: str
    action: str
    actor: str
    at_ms: int
    reason: str
    version: str
    value: str = ""
    entries: int = 1
    expires_at_ms: int | None = None
    file: str = ""


def checked_entry(held: HeldList, entry: NewEntry, earliest_ms: int) -> NewEntry:
    """``entry`` in its canonical form. Raises BadValue, which begins with the field."""
    try:
        value = canonical(held.type, entry.value)
    except BadValue as error:
        raise BadValue(f"value: {error}") from None
    reason = entry.reason.strip()
    if not 0 < len(reason) <= REASON_CHARS_MAX or not reason.isprintable():
        raise BadValue(f"reason: say why, in 1 to {REASON_CHARS_MAX} printable characters")
    if entry.expires_at_ms is None and held.effect == "hold":
        raise BadValue("expires_at: a hold ends; say when")
    if entry.expires_at_ms is not None and entry.expires_at_ms <= earliest_ms:
        raise BadValue("expires_at: it is in the past")
    return NewEntry(value=value, reason=reason, expires_at_ms=entry.expires_at_ms)


def checked_entries(
    held: HeldList, entries: Sequence[NewEntry], earliest_ms: int
) -> list[NewEntry]:
    """All of them, canonical; raises BadList with a line for each that is refused."""
    made, problems = [], []
    for place, entry in enumerate(entries, start=1):
        try:
            made.append(checked_entry(held, entry, earliest_ms))
        except BadValue as error:
            problems.append(f"list {held.name}, entry {place}: {error}")
    if problems:
        raise BadList(problems)
    return made


def checked_actor(name: str) -> str:
    """``name`` without space around it; raises BadList where nobody is named."""
    name = name.strip()
    if not 0 < len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise BadList([f"who does it? 1 to {NAME_CHARS_MAX} printable characters"])
    return name


def checked_fields(type_name: str, effect: Effect, fields: Sequence[str]) -> tuple[str, ...]:
    """The fields that a list acts on; raises BadList for some that do not fit.

    Without any, the first field of the type.
    """
    known = TYPES[type_name].fields
    wrong = [one for one in fields if one not in known]
    if wrong:
        raise BadList(
            [f"fields: {wrong[0]} is none that a list of type {type_name} is compared with:"
             f" {', '.join(known)}"]
        )  # fmt: skip
    if effect == "none":
        return ()
    if type_name == "text" and not fields:
        raise BadList([f"fields: a list of text acts on fields that it names: {', '.join(known)}"])
    return tuple(dict.fromkeys(fields)) or known[:1]


def the_list(lists: Sequence[HeldList], name: str) -> HeldList:
    """The list of this name; raises UnknownList with the nearest one."""
    for one in lists:
        if one.name == name:
            return one
    near = get_close_matches(name, [one.name for one in lists], n=1)
    raise UnknownList(name, near[0] if near else "")


def list_versions(lists: Sequence[HeldList]) -> dict[str, ListVersion]:
    """What judges of each list, by its name."""
    return {
        one.name: ListVersion(
            type=one.type,
            effect=one.effect,
            fields=one.fields,
            sentence=one.sentence,
            segments=one.segments,
        )
        for one in lists
    }
