"""The newest alerts in memory: pages of them, and streams that wait for the next ones."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from risk.alerts.alert import Alert
from risk.domain.times import parse_rfc3339
from risk.rules.alerting import SEVERITIES, Severity

HELD_MAX: Final = 5_000  # of one tenant
IDS_MAX: Final = 100_000
Position = dict[int, int]
"""The next offset of each partition of the topic."""


class Held(NamedTuple):
    """An alert in memory. ``number`` counts what this process has read."""

    number: int
    partition: int
    offset: int
    at_ms: int
    alert: Alert
    body: bytes


class Wanted(NamedTuple):
    """Which alerts are asked for; None takes all. ``severity`` is the least, times are in ms."""

    severity: Severity | None = None
    type: str | None = None
    rule: str | None = None
    group: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def takes(self, alert: Alert, at_ms: int) -> bool:
        """Whether ``alert`` is asked for; ``until_ms`` is excluded."""
        least = 0 if self.severity is None else SEVERITIES.index(self.severity)
        return (
            SEVERITIES.index(alert.severity) >= least
            and self.type in (None, alert.type)
            and self.rule in (None, alert.rule)
            and self.group in (None, alert.group)
            and (self.since_ms is None or at_ms >= self.since_ms)
            and (self.until_ms is None or at_ms < self.until_ms)
        )


class Page(NamedTuple):
    """Alerts, newest first. ``following`` names the next page, None on the last.

    ``complete`` is False where older ones may stand on the topic that memory does not hold.
    """

    alerts: list[bytes]
    following: str | None
    complete: bool


class FirstOnly:
    """Lets each id through once; a retry of the publisher may have doubled a record."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __call__(self, identity: str) -> bool:
        """Whether it is the first of this id."""
        if identity in self._ids:
            return False
        self._ids[identity] = None
        if len(self._ids) > IDS_MAX:
            self._ids.popitem(last=False)
        return True


class _Tenant:
    def __init__(self) -> None:
        self.held: deque[Held] = deque()
        self.dropped: Position = {}
        self.dropped_number = 0


class Feed:
    """What one process holds. ``begin`` is where its reading of the topic began."""

    def __init__(self, begin: Mapping[int, int], held_max: int = HELD_MAX) -> None:
        self._begin = dict(begin)
        self._next = dict(begin)
        self._held_max = held_max
        self._tenants: dict[str, _Tenant] = {}
        self._first = FirstOnly()
        self._number = 0
        self._news = asyncio.Event()

    @property
    def end(self) -> Position:
        """The position behind everything that was read."""
        return dict(self._next)

    @property
    def number(self) -> int:
        """How much was read so far; what comes has a higher number."""
        return self._number

    def add(self, partition: int, offset: int, alert: Alert, body: bytes) -> None:
        """Hold an alert, and wake who waits. Raises ValueError where its time is none."""
        at_ms = parse_rfc3339(alert.at)
        self.passed(partition, offset)
        if not self._first(alert.id):
            return
        self._number += 1
        tenant = self._tenants.setdefault(alert.tenant, _Tenant())
        tenant.held.append(Held(self._number, partition, offset, at_ms, alert, body))
        if len(tenant.held) > self._held_max:
            gone = tenant.held.popleft()
            tenant.dropped[gone.partition] = gone.offset + 1
            tenant.dropped_number = gone.number
        news, self._news = self._news, asyncio.Event()
        news.set()

    def passed(self, partition: int, offset: int) -> None:
        """A record was read, whatever it is."""
        self._next[partition] = offset + 1

    def page(self, tenant: str, wanted: Wanted, before: str | None, limit: int) -> Page:
        """At most ``limit`` alerts. ``before`` is the ``following`` of the page before.

        Raises ValueError for a ``before`` that no page gave.
        """
        ends = None if before is None else _read_cursor(before)
        held = self._tenants.get(tenant, _Tenant())
        fitting = sorted(
            (
                one
                for one in held.held
                if wanted.takes(one.alert, one.at_ms)
                and (ends is None or (one.at_ms, one.alert.id) < ends)
            ),
            key=lambda one: (one.at_ms, one.alert.id),
            reverse=True,
        )
        shown = fitting[:limit]
        more = len(fitting) > limit
        following = f"{shown[-1].at_ms}.{shown[-1].alert.id}" if more else None
        return Page([one.body for one in shown], following, more or self._complete(held, wanted))

    def since(self, tenant: str, position: Position) -> tuple[list[Held], Position | None]:
        """What came at ``position`` or later; and where it begins, if some is gone, else None.

        A partition that ``position`` does not name counts from where reading began.
        """
        held = self._tenants.get(tenant, _Tenant())
        oldest = {
            partition: max(begin, held.dropped.get(partition, 0))
            for partition, begin in self._begin.items()
        }
        gap = any(position.get(partition, at) < at for partition, at in oldest.items())
        found = [one for one in held.held if one.offset >= position.get(one.partition, 0)]
        return found, oldest if gap else None

    def newer(self, tenant: str, number: int) -> tuple[list[Held], bool]:
        """What came after ``number``, and whether some of it is gone already."""
        held = self._tenants.get(tenant)
        if held is None:
            return [], False
        found: list[Held] = []
        for one in reversed(held.held):
            if one.number <= number:
                break
            found.append(one)
        return found[::-1], held.dropped_number > number

    async def wait(self, seconds: float) -> None:
        """Until something comes, ``seconds`` at most."""
        news = self._news
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return

    def _complete(self, held: _Tenant, wanted: Wanted) -> bool:
        if not any(self._begin.values()) and not held.dropped:
            return True
        oldest_ms = min((one.at_ms for one in held.held), default=None)
        since_ms = wanted.since_ms
        return oldest_ms is not None and since_ms is not None and oldest_ms < since_ms


def read_position(text: str) -> Position:
    """The position that ``position_text`` wrote; raises ValueError for another text.

    >>> read_position("0:12,1:3")
    {0: 12, 1: 3}
    """
    found: Position = {}
    for part in text.split(","):
        partition, colon, offset = part.partition(":")
        if not (colon and partition.isascii() and partition.isdigit() and len(partition) <= 4):
            raise ValueError(f"{text[:100]!r} is no position of a stream of alerts")
        if not (offset.isascii() and offset.isdigit() and len(offset) <= 18):
            raise ValueError(f"{text[:100]!r} is no position of a stream of alerts")
        found[int(partition)] = int(offset)
    return found


def position_text(position: Mapping[int, int]) -> str:
    """``position`` as the id of an event.

    >>> position_text({1: 3, 0: 12})
    '0:12,1:3'
    """
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(position.items()))


def after(position: Position, held: Iterable[Held]) -> Position:
    """The position behind ``held``, which came at ``position`` or later."""
    moved = dict(position)
    for one in held:
        moved[one.partition] = max(moved.get(one.partition, 0), one.offset + 1)
    return moved


def _read_cursor(text: str) -> tuple[int, str]:
    at, dot, identity = text.partition(".")
    if not (dot and at.isascii() and at.isdigit() and len(at) <= 18 and len(identity) <= 64):
        raise ValueError(f"{text[:100]!r} is no cursor of a page of alerts")
    return int(at), identity
