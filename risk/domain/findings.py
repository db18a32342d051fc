"""What the rules and the lists say about one payment, before the policy weighs it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol

import msgspec

from risk.domain.decision import Reason, RuleHit
from risk.domain.event import Event, Payment

if TYPE_CHECKING:
    from collections.abc import Mapping

ListEffect = Literal["hold", "block", "allow"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that applied, with the reason it gives."""

    rule: RuleHit
    reason: Reason


class Findings(msgspec.Struct, frozen=True, gc=False):
    """One payment against one rule book, in book order.

    ``hits`` and ``failures`` are of live rules inside their rollout and before their expiry.
    ``shadow`` holds what the others would have found. ``unknown`` names the rules of either
    sort that could not be answered because a value was missing; they did not hit.
    """

    hits: tuple[Hit, ...] = ()
    shadow: tuple[Hit, ...] = ()
    failures: tuple[RuleHit, ...] = ()
    unknown: tuple[str, ...] = ()


NOTHING_FOUND = Findings()


@dataclass(frozen=True, slots=True)
class ListHit:
    """An entity of the payment stands on a list (or is on hold) at the list's version."""

    list_name: str
    effect: ListEffect
    reason: Reason


class Members(Protocol):
    """Who stands on a list, as of one version of it."""

    def holds(self, value: str, at_ms: float) -> bool:
        """Whether ``value`` is on the list for a payment of that time (ms; NaN: unknown)."""
        ...


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of texts that never expire."""

    values: frozenset[str]

    def holds(self, value: str, _at_ms: float) -> bool:
        """Whether ``value`` is one of them."""
        return value in self.values


@dataclass(frozen=True, slots=True)
class ActingList:
    """A list with an effect of its own. ``reasons`` are what a hit says, by field."""

    name: str
    effect: ListEffect
    reasons: tuple[tuple[str, Reason], ...]
    members: Members

    def hits(self, event: Payment, at_ms: int) -> list[ListHit]:
        """One for each field whose value stands on the list at ``at_ms``."""
        found = []
        for field_name, reason in self.reasons:
            value: str | None = getattr(event, field_name)
            if value is not None and self.members.holds(value, at_ms):
                found.append(ListHit(self.name, self.effect, reason))
        return found


# The SHA-256 of ``{}``: no list at all.
NO_LISTS_DIGEST: Final = hashlib.sha256(b"{}").hexdigest()


@dataclass(frozen=True, slots=True)
class ListSnapshot:
    """Every list as of one version. Rules test ``values`` with ``in``; ``acting`` act alone.

    ``version`` is the digest of that version, which decisions name.
    """

    values: Mapping[str, Members] = field(default_factory=lambda: MappingProxyType({}))
    version: str = NO_LISTS_DIGEST
    acting: tuple[ActingList, ...] = ()

    def digest(self) -> str:
        """SHA-256 of the version, in hex."""
        return self.version

    def hits(self, event: Event) -> tuple[ListHit, ...]:
        """What the acting lists say of a payment, in order of their names."""
        if not self.acting or not isinstance(event, Payment):
            return ()
        at_ms = event.occurred_at_ms  # entries expire in the payment's own time
        return tuple(hit for one in self.acting for hit in one.hits(event, at_ms))


NO_LISTS = ListSnapshot()
