"""The rollups that a proof makes from the topics give the served vectors, bit for bit."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest

from features.catalogue import FEATURE_NAMES
from features.proof.bits import same_bits, served_vectors
from features.proof.fallen import Fallen
from features.proof.history import HistoryRecord
from features.proof.rebuilder import Batch, Rebuilder
from risk.domain.limits import FUTURE_MS_MAX, HORIZON_MS
from tests.support.proof_world import ListHistory, story, to_base

KEPT, STEP = 520, 32  # so that a short story folds


@cache
def busy() -> list[HistoryRecord]:
    """Few entities and many events: the tails of most payments are truncated."""
    return story(71, 4_000)


def rebuilder_of(history: ListHistory) -> Rebuilder:
    made = Rebuilder(history.extent, to_base, lambda _: True)
    made.fallen = Fallen(made.arena, whole=history.extent.cut_ms is None, kept=KEPT, step=STEP)
    return made


def judge(rebuilder: Rebuilder, batch: Batch, found: Counter[str]) -> None:
    for _, cause, _ in batch.unprovable:
        found[cause] += 1
    if not batch.ready:
        return
    rebuilt, flags = rebuilder.vectors(batch)
    equal = np.all(same_bits(served_vectors(batch.ready), rebuilt), axis=1)
    for row, item in enumerate(batch.ready):
        named = tuple(name for name, flag in zip(FEATURE_NAMES, flags[row], strict=True) if flag)
        same = bool(equal[row]) and (row in batch.outside or list(named) == item.evidence.inexact)
        found["equal" if same else "different"] += 1
        found["truncated"] += any(at.tail_from > 0 for at in item.asked)
        last = rebuilder.latest_folded(item)
        found["folded"] += last is not None
        assert last is None or last.arrived_ms <= item.published_ms


async def walk(history: ListHistory) -> tuple[Counter[str], Rebuilder]:
    rebuilder, found = rebuilder_of(history), Counter[str]()
    async for chunk in history.chunks():
        for batch in rebuilder.take(chunk):
            judge(rebuilder, batch, found)
    judge(rebuilder, rebuilder.finish(), found)
    return found, rebuilder


@pytest.mark.parametrize("chunk", [1, 61, 100_000])
async def test_vectors_from_rollups_are_the_served_ones(chunk: int) -> None:
    found, rebuilder = await walk(ListHistory(busy(), chunk=chunk))
    assert found["different"] == 0
    assert set(found) <= {"equal", "truncated", "folded"}
    assert found["truncated"] > 500
    assert chunk > 10_000 or found["folded"] > 300
    assert not rebuilder.tally.damaged


async def test_a_record_that_a_rollup_lacks_is_unprovable() -> None:
    records = busy()
    lost = next(number for number, one in enumerate(records) if number > 300 and not one.marker)
    kept = [one for one in records if one.value != records[lost].value]
    offsets: Counter[tuple[str, int]] = Counter()
    renumbered = []
    for one in kept:
        renumbered.append(one._replace(offset=offsets[one.topic, one.partition]))
        offsets[one.topic, one.partition] += 1
    found, _ = await walk(ListHistory(renumbered, chunk=61))
    assert found["different"] == 0
    assert set(found) - {"equal", "truncated", "folded"} <= {"HOLE", "PENDING"}
    assert found["HOLE"] + found["PENDING"] > 0


async def test_what_rollups_lack_may_be_older_than_any_window() -> None:
    day_ms = 24 * 60 * 60 * 1000
    shift_ms = HORIZON_MS + day_ms + FUTURE_MS_MAX + 40_000_000
    early = story(72, 900)
    whole = story(72, 4_000, pause_after=900, pause_ms=shift_ms)
    cut_ms = max(one.timestamp_ms for one in early) + 1
    kept = [one for one in whole if one.timestamp_ms >= cut_ms]
    found, _ = await walk(ListHistory(kept, chunk=61, cut_ms=cut_ms))
    assert found["different"] == 0
    assert found["equal"] > 300
    assert found["folded"] > 100
