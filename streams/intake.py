"""From a raw record to an arrival, or to the reason why it is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from risk.domain import limits
from risk.domain.decoding import Canonical, decode_event
from risk.domain.errors import InvalidEvent
from risk.domain.event import AnyEvent, Label
from risk.domain.observation import Arrival
from streams.batch import Record

ToBase = Callable[[AnyEvent], int | None]
"""The amount of an event in minor units of the base currency; None where it has none."""


@dataclass(frozen=True, slots=True)
class Late:
    """An event that came more than the allowed lateness after it happened."""


class Intake:
    """Decodes records, and judges their times where the wall clock is the clock.

    In the live world an event arrives when the broker appends it: the time cannot be forged,
    and a retry or an outage of ours does not change it. In a replayed world it arrives when
    it happened (a label: when it became known).
    """

    def __init__(self, to_base: ToBase, *, live: bool) -> None:
        self._to_base = to_base
        self._live = live

    def take(self, record: Record) -> Arrival | Late:
        """Raises InvalidEvent. Labels are never late: chargebacks take months by nature."""
        decoded = decode_event(record.value or b"")
        event = decoded.event
        known_ms = event.known_at_ms if isinstance(event, Label) else event.occurred_at_ms
        if not self._live:
            return self.arrival(decoded, known_ms)
        latest_ms = record.timestamp + limits.FUTURE_MS_MAX
        for field, moment_ms in (("occurred_at", event.occurred_at_ms), ("known_at", known_ms)):
            if moment_ms > latest_ms:
                raise InvalidEvent("INVALID_TIME", "more than 5 minutes ahead", f"/{field}")
        too_old = event.occurred_at_ms < record.timestamp - limits.LATENESS_MS_MAX
        if too_old and not isinstance(event, Label):
            return Late()
        return self.arrival(decoded, record.timestamp)

    def arrival(self, decoded: Canonical, arrived_at_ms: int) -> Arrival:
        """``decoded`` as it came through the stream door."""
        return Arrival(
            event=decoded.event,
            body=decoded.body,
            fingerprint=decoded.fingerprint,
            door="stream",
            arrived_at_ms=arrived_at_ms,
            amount_base=self._to_base(decoded.event),
        )
