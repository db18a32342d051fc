"""What the log store hands to the feature functions: the tail of one entity's log."""

from __future__ import annotations

from typing import NamedTuple


class Tail(NamedTuple):
    """Records that an event may see in the log of one of its entities.

    ``records`` is a run of 36-byte records (``features.records``) in sequence order, oldest
    first, from ``tail_from`` up to but without the event's own. ``truncated`` is true where
    the log once held older records than these. What is known of those: ``rolled``, the bytes
    of a rollup (``features.rollups``; empty where it holds nothing, None where it is not
    known), and ``older``, the records between it and ``records``.
    """

    kind: str
    records: bytes | memoryview
    truncated: bool
    older: bytes | memoryview = b""
    rolled: bytes | memoryview | None = None
