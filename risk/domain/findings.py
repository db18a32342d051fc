"""What the rules and the lists say about one payment, before the policy weighs it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import msgspec

from risk.domain.decision import Reason, RuleHit

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


@dataclass(frozen=True, slots=True)
class ListSnapshot:
    """Every named list as of one version: text values that rules test with ``in``."""

    values: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))

    def digest(self) -> str:
        """SHA-256 of all names and values, in hex."""
        content = {name: sorted(self.values[name]) for name in sorted(self.values)}
        return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


NO_LISTS = ListSnapshot()
