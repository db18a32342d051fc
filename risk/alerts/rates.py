"""How often something is decided, against what is usual: a pure detector of spikes and silence.

Time is cut into slots, a quarter of the rule's span each. A span is four slots in a row, so it
moves on by a quarter of itself. Decisions are counted in the slot of their own time.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from risk.rules.alerting import DAY_MS, SLOTS_OF_SPAN, RateRule, RateTest, read_rate

SERIES_MAX: Final = 2_000  # of one rule; the one that was quiet for longest makes room
# Decisions of a slot may be published a little after it has ended.
GRACE_MS: Final = 3_000
# After a longer pause only the last slots are looked at.
SLOTS_AT_ONCE_MAX: Final = 2_000


class RateState(msgspec.Struct, kw_only=True):
    """What a watch remembers: counts by slot, for each (tenant, subject).

    ``first`` is the slot of the first decision (its span is not whole), ``closed`` the last slot
    that was looked at as a whole.
    """

    first: int | None = None
    closed: int | None = None
    tenants: list[str] = []
    series: list[tuple[str, str, dict[int, int]]] = []


class RateFinding(NamedTuple):
    """A span in which a subject was decided too often or too seldom. Times in ms, end excluded."""

    tenant: str
    value: str
    silence: bool
    slot: int
    from_ms: int
    to_ms: int
    decisions: int
    usual: float | None
    earlier: list[int]


class RateWatch:
    """Watches one rate rule. Raises Refused for a rule that ``weir rules check`` refuses."""

    def __init__(self, rule: RateRule, state: RateState | None = None) -> None:
        held = state or RateState()
        self.rule = rule
        self.test: RateTest = read_rate(rule.when)
        self.dropped = 0
        """Series that made room for others."""
        self._only = frozenset(rule.only)
        self._first, self._closed = held.first, held.closed
        self._tenants = dict.fromkeys(held.tenants)
        self._series = {(tenant, value): dict(counts) for tenant, value, counts in held.series}
        self._touched: set[tuple[str, str]] = set()

    @property
    def state(self) -> RateState:
        """What it remembers, to go on from there."""
        return RateState(
            first=self._first,
            closed=self._closed,
            tenants=list(self._tenants),
            series=[(*key, dict(counts)) for key, counts in self._series.items()],
        )

    def see(self, tenant: str, at_ms: int) -> None:
        """A decision was made, of whatever subject: from now on quiet is known to be quiet."""
        slot = at_ms // self.test.slot_ms
        if self._closed is None:
            self._first = slot if self._first is None else min(self._first, slot)
        if tenant not in self._tenants:
            self._tenants[tenant] = None
            for value in self.rule.only:
                self._series.setdefault((tenant, value), {})

    def add(self, tenant: str, value: str, at_ms: int) -> None:
        """Count one decision of the subject ``value``, after ``see`` of it."""
        if self._only and value not in self._only:
            return
        slot = at_ms // self.test.slot_ms
        if self._closed is not None and slot <= self._closed - self._history:
            return
        key = (tenant, value)
        counts = self._series.pop(key, None)
        if counts is None:
            counts = {}
            if len(self._series) >= SERIES_MAX:
                self._make_room()
        counts[slot] = counts.get(slot, 0) + 1
        self._series[key] = counts  # last: it was heard of last
        self._touched.add(key)

    def advance(self, to_ms: int) -> list[RateFinding]:
        """What is found, now that every decision before ``to_ms`` was added (but for GRACE_MS)."""
        if self._first is None:
            return []
        found = list(self._close(max(0, to_ms - GRACE_MS) // self.test.slot_ms - 1))
        if not self.test.silence:
            slot = to_ms // self.test.slot_ms
            for key in sorted(self._touched & self._series.keys()):
                found += self._look(key, slot, to_ms)
        self._touched.clear()
        return found

    # -- looking -------------------------------------------------------------------------

    def _close(self, last: int) -> Iterator[RateFinding]:
        """Look at each slot up to ``last`` as a whole, with all that came in it."""
        assert self._first is not None
        closed = self._first - 1 if self._closed is None else self._closed
        if last <= closed:
            return
        for slot in range(max(closed + 1, last - SLOTS_AT_ONCE_MAX + 1), last + 1):
            end_ms = (slot + 1) * self.test.slot_ms
            for key in list(self._series):
                yield from self._look(key, slot, end_ms)
        self._closed = last
        self._forget(last - self._history)

    def _look(self, key: tuple[str, str], slot: int, to_ms: int) -> Iterator[RateFinding]:
        counts, rule, test = self._series[key], self.rule, self.test
        count = _span(counts, slot)
        usual: float | None = None
        earlier: list[int] = []
        if test.usual:
            if not test.silence and count < rule.at_least:
                return
            earlier = self._earlier(counts, slot)
            if len(earlier) < rule.usual.known:
                return
            usual = statistics.median(earlier)
            if test.silence and usual < rule.at_least:
                return
        elif test.silence and not self._known(slot):
            return
        if test.holds(count, usual or 0.0):
            from_ms = (slot - SLOTS_OF_SPAN + 1) * test.slot_ms
            yield RateFinding(*key, test.silence, slot, from_ms, to_ms, count, usual, earlier)

    def _earlier(self, counts: dict[int, int], slot: int) -> list[int]:
        """The counts of the known earlier spans, the newest first."""
        ends = range(slot - self._step, slot - self._step * (self.rule.usual.last + 1), -self._step)
        return [_span(counts, end) for end in ends if self._known(end)]

    def _known(self, end: int) -> bool:
        """Whether the span that ends with a slot lies after the first decision that was seen."""
        return self._first is not None and end - SLOTS_OF_SPAN + 1 > self._first

    @property
    def _step(self) -> int:
        """Slots between a span and the earlier one that it is compared with."""
        days = self.rule.usual.over == "days"
        return DAY_MS // self.test.slot_ms if days else SLOTS_OF_SPAN

    @property
    def _history(self) -> int:
        """Slots that are remembered."""
        return self._step * self.rule.usual.last + SLOTS_OF_SPAN

    # -- forgetting ----------------------------------------------------------------------

    def _forget(self, up_to: int) -> None:
        for key, counts in list(self._series.items()):
            for slot in [slot for slot in counts if slot <= up_to]:
                del counts[slot]
            if not counts and key[1] not in self._only:
                del self._series[key]

    def _make_room(self) -> None:
        oldest = next((key for key in self._series if key[1] not in self._only), None)
        if oldest is not None:
            del self._series[oldest]
            self.dropped += 1


def _span(counts: dict[int, int], end: int) -> int:
    """Decisions in the span that ends with the slot ``end``."""
    return sum(counts.get(slot, 0) for slot in range(end - SLOTS_OF_SPAN + 1, end + 1))
