"""Puts on lists whom rules of the action hold suspend: once for each payment, and for a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import structlog

from risk.alerts.seen import Seen, seen
from risk.domain.times import parse_rfc3339
from risk.lists.desk import ENTRIES_AT_ONCE, ListDesk
from risk.lists.entries import NewEntry
from risk.lists.errors import BadList
from risk.lists.values import BadValue, canonical
from risk.rules.book import Book
from risk.rules.holding import Holding

MARK: Final = b'"action":"hold"'  # a decision without it holds nobody
KEEPER: Final = "weir"
# Payments may arrive a day late, and must meet the list as it was.
KEPT_AFTER_MS: Final = 2 * 24 * 60 * 60 * 1000
_LOG = structlog.get_logger("weir.holds")


class Hold(NamedTuple):
    """One value to be held, by which rule, and the payment that hit it."""

    hold: Holding
    rule: str
    value: str
    payment_id: str
    until_ms: int

    @property
    def actor(self) -> str:
        """Who put it there, in the record."""
        return f"rule:{self.rule}"

    @property
    def reason(self) -> str:
        """Why; the same for the same payment, so that it holds once."""
        return f"payment {self.payment_id}"


class RuleHolds:
    """What waits to be put on a list. ``book_of`` gives the book of a digest.

    A payment that is looked at again holds nobody again, also where somebody lifted its hold.
    """

    def __init__(self, desk: ListDesk, book_of: Callable[[str], Book | None]) -> None:
        self._desk = desk
        self._book_of = book_of
        self._waiting: list[Hold] = []
        self._held: set[str] = set()

    @property
    def waiting(self) -> int:
        """How many holds are not on a list yet."""
        return len(self._waiting)

    def look(self, body: bytes) -> int:
        """Look at a decision that stands; how many of its hits hold somebody.

        Raises msgspec.DecodeError, or ValueError, for bytes that are no decision.
        """
        if MARK not in body:
            return 0
        told = seen(body)
        found = self._holds_of(told) if told.authoritative else []
        self._waiting += found
        return len(found)

    def apply(self, now_ms: int) -> int:
        """Put on the lists what waits, and take off what ended long ago; how many were put.

        ``now_ms`` is 0 in a world without the wall clock: nothing ends there by itself. Blocks.
        Raises Unavailable, or BadList where people must mend a list; what still waits then is put
        by the next call.
        """
        put = 0
        self._waiting.sort(key=_place)
        while self._waiting:
            _, group = next(groupby(self._waiting, key=_place))
            part = list(group)[:ENTRIES_AT_ONCE]
            put += self._put(part, now_ms)
            del self._waiting[: len(part)]
        for name in sorted(self._held):
            ended = self._desk.store.expired(name, now_ms - KEPT_AFTER_MS, ENTRIES_AT_ONCE)
            if ended:
                self._desk.remove(name, ended, KEEPER, "it ended")
        self._held.clear()
        return put

    def _holds_of(self, told: Seen) -> list[Hold]:
        hits = {hit.rule for hit in told.rule_hits if hit.action == "hold" and hit.error is None}
        if not hits or told.evidence is None:
            return []
        book = self._book_of(told.evidence.digests.book)
        if book is None:
            _LOG.error("a hold is lost: its book is not known here", payment=told.payment_id)
            return []
        found = []
        for rule in book.rules:
            hold = rule.hold
            value = None if hold is None else getattr(told.evidence.event, hold.entity)
            if rule.id in hits and hold is not None and value is not None:
                until_ms = parse_rfc3339(told.evidence.event.occurred_at) + hold.lasts_ms
                found.append(Hold(hold, rule.id, value, told.payment_id, until_ms))
        return found

    def _put(self, group: Sequence[Hold], now_ms: int) -> int:
        """Of one rule and one list. What stands there for longer stays as it is."""
        hold = group[0].hold
        name, store = hold.list_name, self._desk.store
        self._need(hold)
        longest: dict[str, Hold] = {}
        for one in group:
            try:
                value = canonical(hold.entity, one.value)
            except BadValue as error:
                _LOG.error("nobody can be held so", payment=one.payment_id, reason=str(error))
                continue
            before = longest.get(value)
            if one.until_ms > now_ms and (before is None or before.until_ms < one.until_ms):
                longest[value] = one
        there = store.found(name, list(longest))
        entries = [
            NewEntry(value=value, reason=one.reason, expires_at_ms=one.until_ms)
            for value, one in longest.items()
            if not _covered(there.get(value), one.until_ms)
            and not store.noted(name, value, one.actor, one.reason)
        ]
        if entries:
            self._desk.add(name, entries, group[0].actor)
        else:
            self._desk.publish()  # Kafka may have been away when they were stored
        self._held.add(name)
        return len(entries)

    def _need(self, hold: Holding) -> None:
        """Make the list where there is none; raises BadList where it is one of another kind."""
        name, entity = hold.list_name, hold.entity
        held = next((one for one in self._desk.store.all() if one.name == name), None)
        if held is None:
            sentence = f"A rule suspended this {entity} for a time."
            self._desk.create(name, entity, "hold", KEEPER, sentence=sentence)
        elif (held.type, held.effect) != (entity, "hold"):
            raise BadList(
                [f"list {name} does not hold by {entity}, so no rule can: `weir lists drop {name}`"]
            )


def _covered(entry: NewEntry | None, until_ms: int) -> bool:
    return entry is not None and entry.until_ms >= until_ms


def _place(one: Hold) -> tuple[str, str]:
    return one.hold.list_name, one.rule
