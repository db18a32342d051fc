"""Where a record stands, also as one integer for arrays."""

from __future__ import annotations

from typing import Final, NamedTuple

from features.proof.history import HistoryRecord
from features.truth import TRUTH_TOPICS, TruthTopic

_OFFSET_BITS: Final = 44
_PARTITION_BITS: Final = 16


class Origin(NamedTuple):
    """Where a record stands."""

    topic: TruthTopic
    partition: int
    offset: int


def pack_origin(record: HistoryRecord) -> int:
    """An origin as one integer."""
    topic = TRUTH_TOPICS.index(record.topic) << _PARTITION_BITS | record.partition
    return topic << _OFFSET_BITS | record.offset


def unpack_origin(packed: int) -> Origin:
    """The inverse of ``pack_origin``."""
    place = packed >> _OFFSET_BITS
    topic = TRUTH_TOPICS[place >> _PARTITION_BITS]
    partition = place & ((1 << _PARTITION_BITS) - 1)
    return Origin(topic, partition, packed & ((1 << _OFFSET_BITS) - 1))
