"""What a world turned out to hold, counted while its events go by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from risk.domain.event import AnyEvent, Event, Payment


class KnownTruth(Protocol):
    """Which payments are fraud, as the world itself knows."""

    def scenario(self, payment_id: str) -> str | None: ...

    def episode(self, payment_id: str) -> int | None: ...


class Told(NamedTuple):
    """An event and the truth about it: ``scenario`` none where it is honest or no payment."""

    event: AnyEvent
    scenario: str | None
    episode: int | None


class Summary:
    """Counts of events by type, of frauds and of episodes by scenario."""

    def __init__(self) -> None:
        self.by_type: Counter[str] = Counter()
        self.payments = 0
        self.fraud_payments: Counter[str] = Counter()
        self.first_ms: int | None = None
        self.last_ms: int | None = None
        self._episodes: dict[str, set[int]] = {}

    @property
    def events(self) -> int:
        return self.by_type.total()

    @property
    def frauds(self) -> int:
        return self.fraud_payments.total()

    @property
    def fraud_share(self) -> float:
        """Share of payments that are fraud; 0 without payments."""
        return self.frauds / self.payments if self.payments else 0.0

    def scenarios(self) -> dict[str, dict[str, int | None]]:
        """By name: ``payments``, and ``episodes`` (None where the world knows none)."""
        return {
            name: {"payments": count, "episodes": len(self._episodes.get(name, ())) or None}
            for name, count in sorted(self.fraud_payments.items())
        }

    def watch(self, events: Iterable[AnyEvent], truth: KnownTruth) -> Iterator[Told]:
        """The same events, counted, each with what is true of it."""
        event = None
        by_type: Counter[type[Event]] = Counter()
        try:
            for event in events:
                if self.first_ms is None:
                    self.first_ms = event.occurred_at_ms
                by_type[type(event)] += 1
                scenario = episode = None
                if isinstance(event, Payment):
                    self.payments += 1
                    scenario = truth.scenario(event.id)
                    if scenario is not None:
                        episode = truth.episode(event.id)
                        self._count(scenario, episode)
                yield Told(event, scenario, episode)
        finally:
            if event is not None:
                self.last_ms = event.occurred_at_ms
            for kind, count in by_type.items():
                self.by_type[str(kind.__struct_config__.tag)] += count

    def _count(self, scenario: str, episode: int | None) -> None:
        self.fraud_payments[scenario] += 1
        if episode is not None:
            self._episodes.setdefault(scenario, set()).add(episode)
