"""A feature for the past is what would have been served, day by day, with its coverage."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from features.backfill import DAY_MS, Backfill, Wanted, day_of, fill, in_this_catalogue
from features.backfill_store import GROUP_ROWS, DayStore, Value, definition
from features.catalogue import FEATURE_NAMES, catalogue_body, catalogue_digest, feature
from features.coverage import Coverage, count_decisions, coverage, require_complete
from features.known_catalogues import KnownCatalogues
from features.proof.history import HistoryRecord
from features.spec import FeatureSpec
from features.steps import subtract
from risk.domain.decision import decode_decision, encode_decision
from risk.domain.errors import BadConfiguration
from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN
from risk.domain.times import parse_rfc3339
from tests.support.proof_world import ListHistory, story, to_base

ALL = Wanted(TIME_MS_MIN, TIME_MS_MAX - 1)
NAME = "account_payments_24h"


@cache
def whole() -> tuple[HistoryRecord, ...]:
    return tuple(story(9, 3_000))  # a day and a half


@cache
def added() -> FeatureSpec:
    """A feature that no catalogue has: one step more than one of its own."""
    day, hour = feature(NAME), feature("account_payments_1h")
    return replace(day, name="account_payments_before", step=subtract(day.step, hour.step))


def never(_digest: str, _spec: FeatureSpec) -> bool:
    return False


def served() -> dict[str, Any]:
    """Decisions by payment, as they were published first."""
    found: dict[str, Any] = {}
    for one in whole():
        if one.topic == "decisions" and one.value:
            decision = decode_decision(one.value)
            found.setdefault(decision.payment_id, decision)
    return found


async def run(
    stores: Sequence[DayStore],
    records: Sequence[HistoryRecord] | None = None,
    wanted: Wanted = ALL,
    has: Any = never,
    **history: Any,
) -> list[Coverage]:
    read = ListHistory(whole() if records is None else records, **history)
    await fill(read, Backfill(read.extent, to_base, stores, has, wanted))
    counted = await count_decisions(read, wanted)
    return [coverage(store, counted, has, wanted) for store in stores]


def values(store: DayStore) -> dict[str, Value]:
    found = [one for day in store.notes() for one in store.read(day)]
    assert len(found) == len({one.payment_id for one in found})
    return {one.payment_id: one for one in found}


async def test_a_known_feature_comes_out_as_it_was_served(tmp_path: Path) -> None:
    names = (NAME, "merchant_amount_mean_30d", "account_new_device")
    stores = [DayStore(tmp_path, feature(name)) for name in names if name in FEATURE_NAMES]
    found = await run(stores)
    decisions = served()
    for store, covered in zip(stores, found, strict=True):
        place = FEATURE_NAMES.index(store.spec.name)
        computed = values(store)
        assert computed.keys() == decisions.keys()
        for payment, one in computed.items():
            evidence = decisions[payment].evidence
            was = evidence.vector[place]
            assert (None if math.isnan(one.value) else one.value.hex()) == (
                None if was is None else was.hex()
            )
            assert one.inexact == (store.spec.name in evidence.inexact)
        assert (covered.complete, covered.covered) == (True, len(decisions))
        assert [day.share for day in covered.days] == [1.0] * len(covered.days)
        assert len(covered.days) > 1


async def test_a_new_feature_of_the_past_is_what_the_live_path_would_have_served(
    tmp_path: Path,
) -> None:
    """Declared here only, as a step over two that are served, so that its value is known."""
    decisions = served()
    day, hour = (FEATURE_NAMES.index(f"account_payments_{window}") for window in ("24h", "1h"))
    store = DayStore(tmp_path, added())
    (covered,) = await run([store], has=in_this_catalogue)
    assert (covered.complete, covered.covered) == (True, len(decisions))
    computed = values(store)
    assert computed.keys() == decisions.keys()
    expected = {
        payment: one.evidence.vector[day] - one.evidence.vector[hour]
        for payment, one in decisions.items()
    }
    assert {payment: one.value for payment, one in computed.items()} == expected
    assert len(set(expected.values())) > 5


async def test_what_the_catalogue_of_a_decision_has_is_not_computed(tmp_path: Path) -> None:
    store = DayStore(tmp_path, feature(NAME))
    (covered,) = await run([store], has=in_this_catalogue)
    assert values(store) == {}
    assert (covered.complete, covered.covered) == (True, len(served()))
    assert all(day.served == day.decisions for day in covered.days)


async def test_stored_days_are_not_computed_again_and_others_are(tmp_path: Path) -> None:
    store = DayStore(tmp_path, feature(NAME))
    (before,) = await run([store])
    first = before.days[0].day
    kept = (store.folder / f"day={first}.parquet").stat().st_ino
    later = before.days[-1].day
    (store.folder / f"day={later}.parquet").unlink()
    assert {day: note.closed for day, note in store.notes().items()}[first]
    (covered,) = await run([store], wanted=ALL._replace(done=frozenset([first])))
    assert covered.complete
    assert (store.folder / f"day={first}.parquet").stat().st_ino == kept


async def test_killed_on_the_way_finished_days_stay_and_nothing_is_half(tmp_path: Path) -> None:
    store = DayStore(tmp_path, feature(NAME))
    read = ListHistory(whole())
    work = Backfill(read.extent, to_base, [store], never, ALL)
    chunks = [chunk async for chunk in read.chunks()]
    for chunk in chunks[:-1]:
        work.take(chunk)
    # As after a kill: drafts lie about, and have no name that is read.
    notes = store.notes()
    assert len(notes) < len({day_of(one.decided_ms) for one in await _all(tmp_path / "other")})
    done = frozenset(day for day, note in notes.items() if note.closed)
    again = DayStore(tmp_path, feature(NAME))
    work.abandon()
    (covered,) = await run([again], wanted=ALL._replace(done=done))
    assert covered.complete
    assert list(again.folder.glob(".*")) == []


async def _all(root: Path) -> list[Value]:
    store = DayStore(root, feature(NAME))
    await run([store])
    return list(values(store).values())


async def test_what_saw_a_hole_is_counted_by_cause_and_the_gate_stays_shut(tmp_path: Path) -> None:
    gone = next(n for n, one in enumerate(whole()) if one.topic == "ledger" and n > 900)
    records = [one for n, one in enumerate(whole()) if n != gone]
    store = DayStore(tmp_path, feature(NAME))
    (covered,) = await run([store], records)
    assert not covered.complete
    lacking = {cause for day in covered.days for cause in day.unprovable}
    assert "HOLE" in lacking
    with pytest.raises(BadConfiguration, match=f"run `weir backfill {NAME}`"):
        require_complete([covered])
    require_complete([])


async def test_a_range_is_covered_by_its_days_only(tmp_path: Path) -> None:
    decided = sorted(parse_rfc3339(one.decided_at) for one in served().values())
    begin = decided[0] // DAY_MS * DAY_MS
    wanted = Wanted(begin, begin + DAY_MS)
    store = DayStore(tmp_path, feature(NAME))
    (covered,) = await run([store], wanted=wanted)
    assert covered.complete
    assert [day.day for day in covered.days] == [day_of(begin)]
    read = ListHistory(whole())
    counted = await count_decisions(read, ALL)
    wider = coverage(store, counted, never, ALL)
    assert not wider.complete
    assert wider.days[-1].share == 0.0


def test_another_computation_under_the_old_name_has_nothing_stored(tmp_path: Path) -> None:
    known = feature(NAME)
    other = replace(known, step=subtract(known.step, known.step))
    assert definition(known) == definition(replace(known, sentence="Other words."))
    assert DayStore(tmp_path, known).folder != DayStore(tmp_path, other).folder


async def test_a_stored_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    store = DayStore(tmp_path, feature(NAME))
    await run([store])
    path = next(store.folder.glob("day=*.parquet"))
    path.write_bytes(b"no parquet")
    with pytest.raises(BadConfiguration, match="remove it and run"):
        store.notes()


def test_catalogues_of_other_versions_count_by_computation() -> None:
    known, new = feature(NAME), feature("account_payments_1h")
    bounds, declared = json.loads(catalogue_body())
    body = json.dumps([bounds, [one for one in declared if one[0] != NAME]]).encode()
    digest = hashlib.sha256(body).hexdigest()
    wrong = hashlib.sha256(b"[1]").hexdigest()
    held = KnownCatalogues({digest: body, "0" * 64: body, wrong: b"[1]"}.get)
    assert held.has(digest, new)
    assert not held.has(digest, known)
    assert not held.has("0" * 64, new)  # its bytes are not those of its name
    assert not held.has("1" * 64, new)
    assert not held.has(wrong, new)
    assert held.has(catalogue_digest(), known)


async def test_only_decisions_that_stand_and_have_a_vector_are_counted(tmp_path: Path) -> None:
    chosen = list(served().values())[:3]
    assert chosen[1].evidence is not None
    without = msgspec.structs.replace(chosen[1].evidence, vector=None)
    becomes = {
        encode_decision(chosen[0]): encode_decision(
            msgspec.structs.replace(chosen[0], authoritative=False)
        ),
        encode_decision(chosen[1]): encode_decision(
            msgspec.structs.replace(chosen[1], evidence=without)
        ),
        encode_decision(chosen[2]): b"{",
    }
    records = [one._replace(value=becomes.get(one.value, one.value)) for one in whole()]
    store = DayStore(tmp_path, feature(NAME))
    (covered,) = await run([store], records)
    assert covered.decisions == len(served()) - 3


async def test_many_values_of_a_day_go_to_disk_in_groups(tmp_path: Path) -> None:
    writer = DayStore(tmp_path, feature(NAME)).writing("2026-01-01")
    values = [Value("main", f"p{number}", number, 1.0, False) for number in range(GROUP_ROWS + 1)]
    writer.add(values)
    note = writer.close({"HOLE": 2}, closed=True)
    store = DayStore(tmp_path, feature(NAME))
    assert store.notes() == {"2026-01-01": note}
    assert note.computed == sum(1 for _ in store.read("2026-01-01")) == GROUP_ROWS + 1
    assert list(store.read("2026-01-02")) == []
    store.writing("2026-01-03").drop()
    assert list(store.notes()) == ["2026-01-01"]
