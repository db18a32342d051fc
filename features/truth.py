"""What recovery needs of the Kafka topics, and which of their records are authoritative."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from risk.domain.observation import Publication

TruthTopic = Literal["decisions", "ledger"]
TRUTH_TOPICS: Final[tuple[TruthTopic, ...]] = ("decisions", "ledger")


class Place(NamedTuple):
    """A partition of one of the two topics, by its short name."""

    topic: TruthTopic
    partition: int


@dataclass(frozen=True, slots=True)
class TruthRecord:
    """One record of a partition. ``epoch`` is its publisher's, or the marker's own."""

    offset: int
    epoch: int
    marker: bool
    key: bytes
    value: bytes


class Truth(Protocol):
    """The decisions and ledger topics as recovery reads and marks them.

    Every method raises Unavailable("kafka", ...) where Kafka does not answer.
    """

    async def last_epoch(self) -> int:
        """The highest epoch of any marker or record that retention has kept; 0 for none."""
        ...

    async def write_markers(self, epoch: int) -> dict[Place, int]:
        """Write a marker to every partition of both topics, confirmed; their offsets."""
        ...

    def read(
        self, topic: TruthTopic, partition: int, from_offset: int, to_offset: int
    ) -> AsyncGenerator[TruthRecord, None]:
        """Records from ``from_offset`` (or the first one kept) up to but without ``to_offset``."""
        ...

    async def publish_ledger(self, publications: Sequence[Publication], epoch: int) -> None:
        """Deliver ledger publications, confirmed, with ``epoch`` in the header."""
        ...


class Published(Protocol):
    """What tells of a record whether it stands."""

    @property
    def epoch(self) -> int: ...

    @property
    def marker(self) -> bool: ...


class Standing:
    """Tells records that stand from void ones, in the order of one partition.

    A record is void unless its epoch is that of the last marker before it. A marker lower
    than one already seen is ignored: it comes from a recoverer that had lost its lock.
    ``epoch`` is the one in force where reading begins, None where that is not known. A record
    of a higher epoch shows then that its marker stands before that place, or was passed over
    while somebody else read the partition: no gate opens before its markers are written.
    """

    def __init__(self, epoch: int | None) -> None:
        self._epoch = epoch or 0

    @property
    def epoch(self) -> int:
        """The epoch in force so far; 0 where none is known."""
        return self._epoch

    def admits(self, record: Published) -> bool:
        """True where ``record`` is authoritative; markers never are."""
        self._epoch = max(record.epoch, self._epoch)
        return not record.marker and record.epoch == self._epoch
