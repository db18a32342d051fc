"""All lists of one version: what each is, and the segments that its entries are in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from risk.domain.decision import Reason
from risk.domain.errors import BadVersion
from risk.domain.findings import NO_LISTS, ActingList, ListSnapshot
from risk.lists.members import Tables
from risk.lists.segments import SegmentRef
from risk.lists.values import EFFECTS, TYPES, Effect

NAME: Final = re.compile("[a-z][a-z0-9_]{2,39}")
LISTS_MAX: Final = 200
SENTENCE_CHARS_MAX: Final = 300
_STOPPED: Final = "We could not approve this payment. Please contact us if you need help."
_VERBS: Final = {"hold": "is on hold by", "block": "stands on", "allow": "stands on"}


class ListVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One list: the type of its values, what it does, on which fields, and its chain."""

    type: str
    effect: Effect
    fields: tuple[str, ...]
    sentence: str
    segments: tuple[SegmentRef, ...] = ()


Manifest = Mapping[str, ListVersion]


def manifest_body(lists: Manifest) -> bytes:
    """The canonical bytes of a version of all lists; their SHA-256 is what decisions name."""
    return msgspec.json.encode(dict(lists), order="sorted")


def manifest_digest(lists: Manifest) -> str:
    """SHA-256 of ``manifest_body``, in hex."""
    return hashlib.sha256(manifest_body(lists)).hexdigest()


def read_manifest(body: bytes) -> dict[str, ListVersion]:
    """The lists of these bytes. Raises BadVersion."""
    try:
        lists = msgspec.json.decode(body, type=dict[str, ListVersion])
    except msgspec.DecodeError as error:
        raise BadVersion(f"lists: {error}") from None
    for name, one in lists.items():
        if one.type not in TYPES or one.effect not in EFFECTS:
            raise BadVersion(f"list {name}: this version of Weir knows no type {one.type}")
    return lists


def list_types(lists: Manifest) -> dict[str, str]:
    """The type of each list by its name: what rules need to know."""
    return {name: one.type for name, one in lists.items()}


def snapshot_of(lists: Manifest, tables: Tables) -> ListSnapshot:
    """What judges. Raises BadVersion where a segment is not to be had."""
    if not lists:
        return NO_LISTS
    values = {name: tables.members(one.type, one.segments) for name, one in lists.items()}
    tables.keep([one.segments for one in lists.values()])
    acting = tuple(
        ActingList(name, one.effect, tuple(_reasons(name, one)), values[name])
        for name, one in sorted(lists.items())
        if one.effect != "none"
    )
    return ListSnapshot(values, manifest_digest(lists), acting)


def _reasons(name: str, one: ListVersion) -> list[tuple[str, Reason]]:
    """What a hit says, for each field that the list is compared with."""
    made = []
    for field in one.fields:
        told = f"The payment's {field.replace('_', ' ')} {_VERBS[one.effect]} the list {name}"
        sentence = f"{told}: {one.sentence}" if one.sentence else f"{told}."
        customer = "" if one.effect == "allow" else _STOPPED
        made.append((field, Reason(code=reason_code(name), sentence=sentence, customer=customer)))
    return made


def reason_code(name: str) -> str:
    """The code of the reason that a hit of the list gives."""
    return f"LIST_{name.upper()}"
