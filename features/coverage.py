"""How many of the decisions of each day have a feature, served or computed afterwards."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from features.backfill import Has, Wanted, day_of, short_name
from features.backfill_store import DayStore
from features.proof.history import History
from features.proof.standing import standing
from risk.domain.errors import BadConfiguration
from risk.domain.times import parse_rfc3339, rfc3339

DAYS_SHOWN: Final = 5


class DayCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """``decisions`` of a UTC day that have a vector; ``share`` of them have the feature."""

    day: str
    decisions: int
    served: int
    computed: int
    unprovable: dict[str, int]
    share: float


class Coverage(msgspec.Struct, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    """The coverage of one feature over whole days. ``complete``: no decision lacks it."""

    feature: str
    definition: str
    since: str
    until: str
    decisions: int
    covered: int
    complete: bool
    days: list[DayCoverage]


Counted = Mapping[str, Mapping[str, int]]
"""Decisions with a vector: by day, by digest of the catalogue that made it."""


class _Digests(msgspec.Struct):
    catalogue: str


class _Evidence(msgspec.Struct):
    digests: _Digests
    vector: msgspec.Raw


class _Decision(msgspec.Struct):
    """What a count needs of a decision."""

    payment_id: str
    tenant: str
    authoritative: bool
    decided_at: str
    evidence: _Evidence | None = None


_DECISION: Final = msgspec.json.Decoder(_Decision)


def _decision(value: bytes) -> _Decision | None:
    try:
        return _DECISION.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # parity counts and names it


async def count_decisions(history: History, wanted: Wanted) -> Counted:
    """The decisions of ``wanted`` that stand, each payment once."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    seen: set[bytes] = set()
    async with aclosing(standing(history)) as chunks:
        async for chunk in chunks:
            for record in chunk.records:
                if record.topic != "decisions":
                    continue
                one = _decision(record.value)
                if one is None or not one.authoritative or not _has_vector(one):
                    continue
                at_ms, name = parse_rfc3339(one.decided_at), short_name(one.tenant, one.payment_id)
                if wanted.from_ms <= at_ms < wanted.to_ms and name not in seen:
                    seen.add(name)
                    counted[day_of(at_ms)][_catalogue(one)] += 1
    return counted


def _catalogue(one: _Decision) -> str:
    return one.evidence.digests.catalogue if one.evidence else ""


def _has_vector(one: _Decision) -> bool:
    return one.evidence is not None and bytes(one.evidence.vector) != b"null"


def coverage(store: DayStore, counted: Counted, has: Has, wanted: Wanted) -> Coverage:
    """The coverage of the feature of ``store``.

    A decision counts whose catalogue has the feature, or for which it was computed since.
    """
    notes = store.notes()
    days = []
    for day in sorted(counted):
        note = notes.get(day)
        decisions = sum(counted[day].values())
        served = sum(n for digest, n in counted[day].items() if has(digest, store.spec))
        computed = min(note.computed if note else 0, decisions - served)
        days.append(
            DayCoverage(
                day=day,
                decisions=decisions,
                served=served,
                computed=computed,
                unprovable=note.unprovable if note else {},
                share=(served + computed) / decisions,
            )
        )
    decisions = sum(one.decisions for one in days)
    covered = sum(one.served + one.computed for one in days)
    return Coverage(
        feature=store.spec.name,
        definition=store.definition,
        since=rfc3339(wanted.from_ms),
        until=rfc3339(wanted.to_ms),
        decisions=decisions,
        covered=covered,
        complete=covered == decisions,
        days=days,
    )


def require_complete(covered: Sequence[Coverage]) -> None:
    """The gate of what goes live: raise BadConfiguration where a feature is not covered."""
    lacking = [one for one in covered if not one.complete]
    if not lacking:
        return
    first = lacking[0]
    days = [f"{one.day} {one.share:.1%}" for one in first.days if one.share < 1]
    more = f" and {len(days) - DAYS_SHOWN} more days" if len(days) > DAYS_SHOWN else ""
    names = " ".join(one.feature for one in lacking)
    raise BadConfiguration(
        f"{len(lacking)} features do not cover the decisions from {first.since} to {first.until}:"
        f" {first.feature} has {first.covered} of {first.decisions}"
        f" ({', '.join(days[:DAYS_SHOWN])}{more}); run `weir backfill {names}`, or choose a range"
        " that begins later"
    )
