"""What a proof reads: the records of decisions and ledger, merged by time, and how far they go."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, Protocol

from features.truth import Place, TruthTopic


class HistoryRecord(NamedTuple):
    """One record of a partition. ``epoch`` is its publisher's, or the marker's own.

    ``timestamp_ms`` is when it was published.
    """

    topic: TruthTopic
    partition: int
    offset: int
    timestamp_ms: int
    epoch: int
    marker: bool
    value: bytes


class Span(NamedTuple):
    """What is read of one partition: offsets ``first`` up to but without ``end``.

    ``epoch`` is the one in force at ``first``, 0 where the partition begins there.
    """

    topic: TruthTopic
    partition: int
    first: int
    end: int
    epoch: int = 0

    @property
    def place(self) -> Place:
        """The partition."""
        return Place(self.topic, self.partition)


class Extent(NamedTuple):
    """How far a history goes.

    ``cut_ms`` is None where it begins with the first record ever published; else everything
    published at or after ``cut_ms`` is there, and what is older may be missing.
    ``clocked`` says that events arrived by the wall clock (the live world).
    """

    spans: tuple[Span, ...]
    cut_ms: int | None = None
    clocked: bool = True


class History(Protocol):
    """A reading of topics or archive. Each may be read more than once."""

    @property
    def extent(self) -> Extent: ...

    def chunks(self) -> AsyncGenerator[Sequence[HistoryRecord], None]:
        """Every record of every span, in offset order within a partition.

        Across partitions the order is that of publication, as well as timestamps tell it.
        Who may leave early closes it (``contextlib.aclosing``), so that no connection stays open.
        """
        ...
