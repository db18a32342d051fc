"""What is said about a record that cannot become a decision or a memory.

A dead letter names the record's place and digest, never its content: the content stays in
the source topic for its retention, and may hold what must not be copied.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from risk.domain.errors import EVENT_ERRORS, InvalidEvent
from risk.domain.ids import digest
from risk.domain.times import rfc3339
from streams.batch import Record
from streams.partitioner import partition_of
from streams.publish import Outgoing
from streams.topics import Topics

DEAD_LETTER_VERSION: Final = 1
_PLAIN: Final = re.compile(r"(/[A-Za-z_][A-Za-z0-9_.-]{0,39}){0,3}")
_NUMBER: Final = re.compile(r"[0-9]{7}")  # so many digits in a row may be somebody's number
# Codes that arise after decoding, and what they say.
ENGINE_ERROR: Final = "ENGINE_ERROR"
PAYLOAD_MISMATCH: Final = "PAYLOAD_MISMATCH"
_SENTENCES: Final = {
    ENGINE_ERROR: "The engine failed on this event three times; a payment got the fallback.",
    PAYLOAD_MISMATCH: "The id was seen before with other content; the first content stands.",
    **{code: sentence for code, (_, sentence) in EVENT_ERRORS.items()},
}
_ENCODER = msgspec.json.Encoder(order="deterministic")


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Where the record stands, its SHA-256 (hex), and why it was set aside.

    ``field`` is a JSON pointer. ``reason`` is a fixed sentence for each code, so that no
    content of the record can slip into it; some codes add the event's id.
    """

    topic: str
    partition: int
    offset: int
    sha256: str
    code: str
    field: str
    reason: str
    seen_at: str
    version: Literal[1] = 1


def dead_letter(record: Record, code: str, seen_at_ms: int, *, field: str = "") -> DeadLetter:
    """A dead letter about ``record``; ``code`` is an event error, or one of this module's."""
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        sha256=digest(record.value or b""),
        code=code,
        field=_safe(field),
        reason=_SENTENCES[code],
        seen_at=rfc3339(seen_at_ms),
    )


def refused(record: Record, error: InvalidEvent, seen_at_ms: int) -> DeadLetter:
    """A dead letter for what decoding said of ``record``."""
    return dead_letter(record, error.code, seen_at_ms, field=error.field)


def named(letter: DeadLetter, event_id: str) -> DeadLetter:
    """``letter`` with the id of its (decoded, checked) event in the reason."""
    return msgspec.structs.replace(letter, reason=f"{letter.reason} Id: {event_id}")


def outgoing_letter(letter: DeadLetter, topics: Topics, partitions: int) -> Outgoing:
    """``letter`` as it is published, under the key of the record that it is about."""
    key = f"{letter.topic}:{letter.partition}:{letter.offset}".encode()
    return Outgoing(
        topic=topics.dead_letters,
        partition=partition_of(key, partitions),
        key=key,
        value=_ENCODER.encode(letter),
    )


def decode_dead_letter(body: bytes) -> DeadLetter:
    """The inverse of what ``outgoing_letter`` wrote."""
    return msgspec.json.decode(body, type=DeadLetter)


def _safe(field: str) -> str:
    """``field``, or "/?" where a sender may have hidden content in a name."""
    return field if _PLAIN.fullmatch(field) and not _NUMBER.search(field) else "/?"
