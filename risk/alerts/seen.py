"""The part of a decision that alerts look at; the rest of its bytes is not decoded."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import msgspec

from risk.domain.times import parse_rfc3339


class _Hit(msgspec.Struct):
    rule: str
    action: str
    reason: str
    error: str | None = None


class _Reason(msgspec.Struct):
    code: str
    sentence: str


class _Paid(msgspec.Struct):
    occurred_at: str
    account: str
    amount_minor: int
    currency: str
    card: str | None = None
    merchant: str | None = None
    device: str | None = None
    ip: str | None = None
    beneficiary: str | None = None


class _Digests(msgspec.Struct):
    catalogue: str
    book: str


class _Evidence(msgspec.Struct):
    event: _Paid
    digests: _Digests


class Seen(msgspec.Struct):
    """A decision as far as alerts go."""

    payment_id: str
    tenant: str
    outcome: str
    score: float | None
    reasons: list[_Reason]
    rule_hits: list[_Hit]
    authoritative: bool
    decided_at: str
    evidence: _Evidence | None = None

    @property
    def decided_at_ms(self) -> int:
        """Raises ValueError where it is no time."""
        return parse_rfc3339(self.decided_at)


class _Told(msgspec.Struct):
    event: dict[str, Any]
    vector: list[float | None] | None
    windows: dict[str, float | None] = {}


class _Whole(msgspec.Struct):
    evidence: _Told


class Features(NamedTuple):
    """The names of a vector's columns, and the digest of the catalogue that orders them."""

    names: tuple[str, ...]
    digest: str


_SEEN: Final = msgspec.json.Decoder(Seen)
_WHOLE: Final = msgspec.json.Decoder(_Whole)


def seen(body: bytes) -> Seen:
    """The decision in ``body``. Raises msgspec.DecodeError for other bytes."""
    return _SEEN.decode(body)


def values_of(
    body: bytes, names: frozenset[str], features: Features, catalogue: str, score: float | None
) -> dict[str, float | str | None]:
    """What the decision in ``body`` holds of ``names``, null where missing.

    Features are told only where the vector is in the order of ``features``; what is neither a
    feature, a window, the score nor a field as it was sent is left out.
    """
    told = _WHOLE.decode(body).evidence
    known: dict[str, Any] = {"score": score, **told.windows}
    if told.vector is not None and catalogue == features.digest:
        known |= zip(features.names, told.vector, strict=True)
    found: dict[str, float | str | None] = {}
    for name in sorted(names):
        value = known[name] if name in known else told.event.get(name, math.nan)
        if not (isinstance(value, float) and math.isnan(value)):
            found[name] = value
    return found
