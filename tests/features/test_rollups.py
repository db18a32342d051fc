"""Rollups: the same cells whatever the order, the batches and the store, and bounded."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import kernel
from features.logs import Log, fold_at, unpack_log
from features.records import AMOUNT_UNKNOWN, HOLE_RECORD, Facts, facts, pack, records, unpack
from features.rollup_kernel import CELL_WORDS, LIMITS, fold_tails, words_of_cells
from features.rollups import CELL_BYTES, Rollup, unpack_rollup
from risk.domain.kinds import RECORD_KIND_CODE, record_kind
from risk.domain.limits import HOUR_TILES_MS, LOG_SLACK, TAIL_CAP, TILES_KEPT_MS
from risk.domain.observation import Arrival
from tests.support.memory import START_MS, arrival, opened, payment

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
Cell = tuple[int, int, int, int, int, int, int]


def some(seed: int, count: int, step_ms: int) -> list[Facts | None]:
    """Facts in the order of their sequences: some late, some unknown amounts, some holes."""
    rng = random.Random(seed)
    of = facts(payment(1).event, "payment", 1)
    made: list[Facts | None] = []
    for number in range(count):
        late_ms = rng.choice((0, 0, 0, rng.randrange(HOUR_MS), rng.randrange(DAY_MS)))
        one = of._replace(
            time_ms=START_MS + number * step_ms - late_ms,
            kind=rng.choice((1, 1, 1, *RECORD_KIND_CODE.values())),
            amount_base=rng.choice((AMOUNT_UNKNOWN, 0, 1, rng.randrange(2**32 - 1), 2**32 - 2)),
            record_id=number % 2**16,
        )
        made.append(None if rng.random() < 0.02 else one)
    return made


def packed(of: Sequence[Facts | None]) -> bytes:
    return b"".join(HOLE_RECORD if one is None else pack(one, "merchant") for one in of)


def obvious(of: Sequence[Facts | None]) -> list[Cell]:
    """The cells of a set of records, from the definition alone."""
    known = [one for one in of if one is not None]
    newest = max((one.time_ms for one in known), default=0)
    coarse = (newest - HOUR_TILES_MS) // DAY_MS * DAY_MS
    dropped = (newest - TILES_KEPT_MS) // DAY_MS * DAY_MS
    tiles: dict[tuple[int, int], list[Facts]] = {}
    for one in known:
        width = DAY_MS if one.time_ms < coarse else HOUR_MS
        if one.time_ms >= dropped:
            tiles.setdefault((one.time_ms // width * width, one.kind), []).append(one)
    cells = []
    for (start, kind), inside in sorted(tiles.items()):
        amounts = [one.amount_base for one in inside if one.amount_base != AMOUNT_UNKNOWN]
        key, off = start // HOUR_MS << 5 | kind, max(one.time_ms for one in inside) - start
        total = sum(amounts)
        low, high = total & 0xFFFFFFFF, total >> 32
        cells.append((key, off, len(inside), len(amounts), low, high, max(amounts, default=0)))
    return cells


def cells_of(rollup: Rollup | None) -> list[Cell]:
    assert rollup is not None
    return [tuple(row) for row in rollup.cells.tolist()]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(0, 900), st.sampled_from([1_000, 400_000, 7_200_000]),
)  # fmt: skip
def test_a_rollup_is_the_sum_of_its_records(seed: int, count: int, step_ms: int) -> None:
    of = some(seed, count, step_ms)
    rng, raw = random.Random(seed), packed(of)
    rollup, at = Rollup(), 0
    while at < count:
        end = min(count, at + rng.randrange(1, 200))
        rollup.fold(at, raw[at * 36 : end * 36], end)
        rollup.fold(at, raw[at * 36 : end * 36], end)  # once more changes nothing
        at = end
    assert cells_of(rollup) == obvious(of)
    assert rollup.newest_ms == max((one.time_ms for one in of if one is not None), default=0)
    holes = {number for number, one in enumerate(of) if one is None}
    assert {one for low, high in rollup.gaps for one in range(low, high)} == holes
    assert unpack_rollup(rollup.pack()).pack() == rollup.pack()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 1500), st.sampled_from([1_000, 400_000, 3_600_000]))
def test_records_told_in_any_order_and_twice_give_the_same_log(
    seed: int, count: int, step_ms: int
) -> None:
    of = [one for one in some(seed, count, step_ms) if one is not None]
    rng = random.Random(seed)
    told = [(number, pack(one, "card")) for number, one in enumerate(of) if rng.random() < 0.95]
    whole = []
    for disorder in (0, 100, count):
        log = Log(1, 0, 0, bytearray())
        twice = told + rng.sample(told, len(told) // 3)
        for number, record in sorted(twice, key=lambda one: one[0] + rng.uniform(0, disorder)):
            assert log.put(number, record)
            log = unpack_log(log.pack())
        whole.append(log.pack())
    assert whole[0] == whole[1] == whole[2]
    log = unpack_log(whole[0])
    keep = fold_at(log.following)
    if keep:
        numbers = {number for number, _ in told}
        kept = [of[number] for number in range(keep) if number in numbers]
        assert cells_of(log.rollup) == obvious(kept)


def test_a_gap_is_told_once_and_a_hole_tells_nothing() -> None:
    rollup, one = Rollup(), pack(facts(payment(1).event, "payment", 5), "card")
    rollup.fold(3, one * 2, 8)
    assert rollup.gaps == [(0, 3), (5, 8)]
    for sequence in (1, 1, 3, 6, 9):
        rollup.tell(sequence, HOLE_RECORD)
        rollup.tell(sequence, one)
    assert rollup.gaps == [(0, 1), (2, 3), (5, 6), (7, 8)]
    assert int(rollup.cells[0, 2]) == 4
    rollup.fold(3, one * 2, 5)
    assert int(rollup.cells[0, 2]) == 4


def test_a_merchant_that_sees_everything_stays_bounded() -> None:
    rollup, of = Rollup(), facts(payment(1).event, "payment", 2**32 - 2)
    kinds = list(RECORD_KIND_CODE.values())
    for hour in range(40 * 24):
        some_of = [of._replace(time_ms=START_MS + hour * HOUR_MS, kind=kind) for kind in kinds]
        rollup.fold(hour * 21, packed(some_of) * 3, hour * 21 + 63)
    tiles = len({int(key) >> 5 for key in rollup.cells[:, 0]})
    assert tiles <= 3 * 24 + 30
    assert len(rollup.pack()) <= 16 + tiles * len(kinds) * CELL_BYTES


@pytest.mark.parametrize("run", [fold_tails, fold_tails.py_func], ids=["compiled", "python"])
def test_rows_that_go_on_from_others_are_what_they_are_alone(run: Callable[..., Any]) -> None:
    of = some(3, 400, 400_000)
    words = kernel.words_of(packed(of))
    rollup = Rollup()
    rollup.fold(0, packed(of[:100]), 100)
    cells = words_of_cells(rollup.pack()[-len(rollup.cells) * CELL_BYTES :])
    held, newest_ms = len(cells), rollup.newest_ms
    rows = [
        (0, held, newest_ms, 100, 150),
        (0, held, newest_ms, 100, 150),  # the same again
        (0, held, newest_ms, 100, 390),
        (0, held, newest_ms, 100, 200),  # ends earlier: it cannot go on
        (held, held, 0, 100, 200),
    ]
    out = np.empty((5 * (held + 400), CELL_WORDS), np.uint32)
    told = run(words, cells, np.array(rows, np.int64), LIMITS, out)
    for (begin, end, newest), row in zip(told.tolist(), rows, strict=True):
        whole = of[: row[4]] if row[0] < row[1] else of[row[3] : row[4]]
        assert [tuple(one) for one in out[begin:end].tolist()] == obvious(whole)
        assert newest == max(one.time_ms for one in whole if one is not None)


def test_only_whole_records_are_folded() -> None:
    with pytest.raises(ValueError, match="37 bytes are no whole records"):
        Rollup().fold(0, bytes(37), 1)


def streamed(count: int, step_ms: int, seed: int) -> list[Arrival]:
    """Payments of one card, some late, with unknown amounts and other kinds between."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        at_ms = START_MS + number * step_ms - rng.choice((0, 0, rng.randrange(DAY_MS)))
        if rng.random() < 0.2:
            made.append(arrival("login", at_ms, id=f"l{number}", account="a1", device="d1"))
        else:
            currency = rng.choice(("EUR", "EUR", "USD"))
            fields = {"amount_minor": rng.randrange(1, 10**9), "currency": currency}
            made.append(payment(number, at_ms, device="d1", **fields))
    return made


@pytest.mark.services
@pytest.mark.parametrize(("step_ms", "count"), [(500, 1300), (400_000, 1300), (3_000_000, 1700)])
async def test_redis_folds_as_the_twin_does(redis_url: str, step_ms: int, count: int) -> None:
    node = await opened(redis_url)
    arrivals = streamed(count, step_ms, step_ms)
    logs: dict[bytes, Log] = {}
    for start in range(0, count, 50):
        batch = arrivals[start : start + 50]
        await node.memory.observe(batch)
        for one in batch:
            of = facts(one.event, record_kind(one.event), one.amount_base)
            for kind, name, record in records(one.event, of):
                key = node.keys.log("main", kind, name)
                log = logs.setdefault(key, Log(node.memory.epoch, 0, 0, bytearray()))
                log.append(node.memory.epoch, record)
    for key, log in logs.items():
        held = await node.connection.call("GET", key)
        assert held == log.pack()
        assert log.rollup is not None
        keep = fold_at(log.following)
        assert len(log.records) // 36 <= 2 * TAIL_CAP + LOG_SLACK
        whole = [
            unpack(record, kind)
            for one in arrivals
            for kind, name, record in records(
                one.event, facts(one.event, record_kind(one.event), one.amount_base)
            )
            if node.keys.log("main", kind, name) == key
        ]
        assert cells_of(log.rollup) == obvious(whole[:keep])
    await node.close()


@pytest.mark.services
async def test_redis_notes_holes_as_gaps(redis_url: str) -> None:
    node = await opened(redis_url)
    key = node.keys.log("main", "account", "a1")
    log = Log(1, 0, 0, bytearray())
    one = pack(facts(payment(1).event, "payment", 5), "account")
    for number in (700, 730, 731, 760, 900):
        log.put(number, one)
    await node.connection.call("SET", key, log.pack())
    for start in range(2000, 2900, 50):
        batch = [payment(number) for number in range(start, start + 50)]
        await node.memory.observe(batch)
        for of in batch:
            base = facts(of.event, "payment", of.amount_base)
            log.append(node.memory.epoch, pack(base, "account"))
    held = unpack_log(await node.connection.call("GET", key))
    assert held.pack() == log.pack()
    assert held.rollup is not None
    assert held.rollup.gaps == [(0, 700), (701, 730), (732, 760), (761, 900)]
    await node.close()
