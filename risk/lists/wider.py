"""The entries that a value could stand under: itself, networks around it, digits it begins with."""

from __future__ import annotations

import ipaddress

import msgspec

from risk.lists.entries import Entry
from risk.lists.values import BIN_CHARS, BadValue, Effect, canonical
from risk.storage.lists import SqlLists


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A value that stands on a list. ``state`` is active or expired."""

    list: str
    type: str
    effect: Effect
    state: str
    entry: Entry


def matches_of(lists: SqlLists, value: str, type_name: str | None, now_ms: int) -> list[Match]:
    """Where ``value`` stands: itself, its networks, or the first digits it begins with.

    ``type_name`` asks lists of that type only.
    """
    matches = []
    for held in lists.all():
        if type_name not in (None, held.type):
            continue
        for entry in lists.found(held.name, candidates(held.type, value)).values():
            expired = entry.expires_at_ms is not None and entry.expires_at_ms <= now_ms
            state = "expired" if expired else "active"
            match = Match(
                list=held.name, type=held.type, effect=held.effect, state=state, entry=entry
            )
            matches.append(match)
    return matches


def candidates(type_name: str, value: str) -> list[str]:
    """In canonical form; none where ``value`` is none of the type.

    >>> candidates("bin", "41111122")
    ['411111', '4111112', '41111122']
    """
    try:
        exact = canonical(type_name, value)
    except BadValue:
        return []
    if type_name == "bin":
        return [exact[:chars] for chars in BIN_CHARS if chars <= len(exact)]
    if type_name != "ip":
        return [exact]
    network = ipaddress.ip_network(exact)
    around = [network.supernet(new_prefix=length) for length in range(network.prefixlen)]
    return [exact, *(str(one) for one in around)]
