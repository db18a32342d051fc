"""What the transport hands to an agent: the records of one fetch from one partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Record(Protocol):
    """A raw Kafka record, as aiokafka's ConsumerRecord has it. ``timestamp`` in ms."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition, in offset order, never empty.

    ``first_offset`` is where reading stood before them: it may be lower than the offset of
    the first record, where compaction or a transaction left a hole.
    """

    topic: str
    partition: int
    generation: int
    first_offset: int
    records: Sequence[Record]

    @property
    def last_offset(self) -> int:
        return self.records[-1].offset

    def __repr__(self) -> str:
        return f"<{self.topic}[{self.partition}] {self.first_offset}..{self.last_offset}>"


class Handler(Protocol):
    """What an agent calls. Returning says that every record is done and may be committed."""

    async def handle(self, batch: Batch) -> None: ...


def header(record: Record, name: str) -> bytes | None:
    """The last header of ``record`` called ``name``, None where it has none."""
    found = None
    for key, value in record.headers:
        if key == name:
            found = value
    return found
