"""The topics of a world: names, partitions, retention. One table, from the design."""

from __future__ import annotations

from dataclasses import dataclass

RETENTION_MS = 45 * 24 * 60 * 60 * 1000
# Retention is capped by bytes as well, so that a local broker cannot fill a disk.
RETENTION_BYTES_PER_PARTITION = 2 * 1024**3
LIVE_WORLD = "live"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is created."""

    name: str
    partitions: int
    compacted: bool = False


@dataclass(frozen=True, slots=True)
class Topics:
    """The ten topics of one world."""

    world: str

    def _name(self, topic: str) -> str:
        return f"weir.{topic}" if self.world == LIVE_WORLD else f"weir.{self.world}.{topic}"

    @property
    def events(self) -> str:
        return self._name("events")

    @property
    def labels(self) -> str:
        return self._name("labels")

    @property
    def decisions(self) -> str:
        return self._name("decisions")

    @property
    def ledger(self) -> str:
        return self._name("ledger")

    @property
    def alerts(self) -> str:
        return self._name("alerts")

    @property
    def dead_letters(self) -> str:
        return self._name("dead-letters")

    @property
    def late(self) -> str:
        return self._name("late")

    @property
    def control(self) -> str:
        return self._name("control")

    @property
    def parked(self) -> str:
        return self._name("parked")

    @property
    def shadow(self) -> str:
        return self._name("shadow")

    def all(self) -> tuple[Topic, ...]:
        """Every topic, to be created before the first event."""
        return (
            Topic(self.events, 8),
            Topic(self.labels, 8),
            Topic(self.decisions, 8),
            Topic(self.ledger, 8),
            Topic(self.alerts, 2),
            Topic(self.dead_letters, 2),
            Topic(self.late, 2),
            Topic(self.control, 1, compacted=True),
            Topic(self.parked, 2, compacted=True),
            Topic(self.shadow, 2),
        )


def redis_prefix(world: str) -> str:
    """What stands before every Redis key of a world; empty for the live one."""
    return "" if world == LIVE_WORLD else f"w.{world}."
