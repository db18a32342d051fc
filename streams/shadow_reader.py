"""Reads what the challenger scored, and the labels that have come, from their topics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec
import structlog
from aiokafka import TopicPartition

from risk.domain.times import parse_rfc3339
from risk.domain.truth import RANKS
from streams.reader import new_consumer, read_range, unavailable_as_error
from streams.topics import Topics

_FETCH_BYTES: Final = 4 * 1024 * 1024
_LOG = structlog.get_logger("weir.models")


class _Label(msgspec.Struct):
    payment_id: str
    label: str
    known_at: str


class _Ledgered(msgspec.Struct):
    record: str
    tenant: str
    event: msgspec.Raw


async def shadow_records(kafka: str, topics: Topics, from_ms: int) -> list[bytes]:
    """The values of the topic ``shadow`` since ``from_ms``. Raises Unavailable."""
    return [body async for body in _values(kafka, topics, topics.shadow, from_ms)]


async def labels_known(
    kafka: str, topics: Topics, from_ms: int
) -> dict[tuple[str, str], list[tuple[int, str]]]:
    """(known at ms, label) by (tenant, payment id), of labels that came since ``from_ms``.

    Every label is in the ledger, whichever door it came through. Raises Unavailable.
    """
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    async for body in _values(kafka, topics, topics.ledger, from_ms):
        try:
            told = msgspec.json.decode(body, type=_Ledgered)
            if told.record not in RANKS:
                continue
            label = msgspec.json.decode(told.event, type=_Label)
            known = (parse_rfc3339(label.known_at), label.label)
        except (msgspec.DecodeError, ValueError) as error:
            _LOG.error("a record of the ledger is unfit", reason=str(error))
            continue
        found.setdefault((told.tenant, label.payment_id), []).append(known)
    return found


async def _values(kafka: str, topics: Topics, name: str, from_ms: int) -> AsyncIterator[bytes]:
    """The values of a topic's records since ``from_ms``, partition by partition."""
    count = next(topic.partitions for topic in topics.all() if topic.name == name)
    places = [TopicPartition(name, number) for number in range(count)]
    async with unavailable_as_error():
        consumer = new_consumer(kafka, fetch_bytes=_FETCH_BYTES)
        try:
            await consumer.start()
            ends = await consumer.end_offsets(places)
            starts = await consumer.offsets_for_times(dict.fromkeys(places, max(0, from_ms)))
            for place in places:
                start = starts.get(place)
                if start is None:
                    continue
                async for record in read_range(consumer, place, start.offset, ends[place]):
                    if record.value is not None:
                        yield record.value
        finally:
            await consumer.stop()
