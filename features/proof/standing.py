"""The records of a history that stand, chunk by chunk."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from features.proof.history import History, HistoryRecord
from features.truth import Place, Standing


class Stood(NamedTuple):
    """A chunk: the records that stand, how many are void, and how many it had with markers."""

    records: list[HistoryRecord]
    void: int
    read: int


async def standing(history: History) -> AsyncGenerator[Stood, None]:
    """Every chunk of ``history`` in its order, without markers and void records.

    Who may leave early closes it (``contextlib.aclosing``); that closes the history too.
    """
    judges = {span.place: Standing(span.epoch) for span in history.extent.spans}
    async with aclosing(history.chunks()) as chunks:
        async for chunk in chunks:
            records = [one for one in chunk if judges[Place(one.topic, one.partition)].admits(one)]
            markers = sum(one.marker for one in chunk)
            yield Stood(records, len(chunk) - markers - len(records), len(chunk))
