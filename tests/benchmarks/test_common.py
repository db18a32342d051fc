"""What the benchmarks share: rounds, medians, made-up payments and the past they leave."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from redis import Redis

from benchmarks.common import Series, interleaved, machine, text, write_report
from benchmarks.common_payments import KINDS, Population, name, pack_records, short_hashes
from benchmarks.common_tails import fill, logs
from features.keys import Keys
from features.logs import unpack_log
from features.records import RECORD_BYTES, facts, pack
from risk.domain.decoding import decode_event, encode_event
from risk.domain.event import Payment
from risk.domain.limits import LOG_SLACK, TAIL_CAP
from risk.tables.load import exchange_rates
from streams.topics import redis_prefix

NOW_MS = 1_770_000_000_000
RATES = exchange_rates(None, "EUR")


def test_every_contestant_begins_a_round_in_turn() -> None:
    found = list(interleaved(("a", "b"), 3))
    assert found == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    series = Series()
    for ours, theirs in ((10.0, 5.0), (30.0, 10.0), (8.0, 1.0)):
        series.add("ours", ours)
        series.add("theirs", theirs)
    assert series.ratio("ours", "theirs") == 3.0
    assert series.ratios("ours", "theirs") == [2.0, 3.0, 8.0]
    assert (series.median("ours"), series.span("ours")) == (10.0, [8.0, 30.0])
    assert (series.median("none"), series.span("none"), series.ratio("ours", "none")) == (
        None,
        None,
        None,
    )


def test_a_report_is_json_with_the_machine(tmp_path: Path) -> None:
    write_report(tmp_path / "deep" / "report.json", {"machine": machine()})
    found = msgspec.json.decode((tmp_path / "deep" / "report.json").read_bytes())["machine"]
    assert found["cores"] >= 1
    assert found["versions"]["faust-streaming"]
    assert len(found["load_before"]) == 3


@pytest.mark.parametrize(
    ("cell", "shown"), [(None, "-"), (12_345.6, "12,346"), (1.23456, "1.23"), (4_000, "4,000")]
)
def test_numbers_are_shown_for_people(cell: object, shown: str) -> None:
    assert text(cell) == shown


def test_packed_records_are_the_ones_that_events_leave() -> None:
    population = Population(3, 200)
    drawn = population.draw(np.random.default_rng(4), np.arange(300) * 977 + NOW_MS)
    heads = population.heads(drawn, np.full(len(drawn), 1), RATES)
    hashes = {kind: short_hashes(kind, drawn.entity[kind]) for kind in KINDS}
    for place in range(len(drawn)):
        event = decode_event(encode_event(population.payment(drawn, place, f"p-{place}"))).event
        assert isinstance(event, Payment)
        base = RATES.to_base(event.amount_minor, event.currency)
        expected = facts(event, "payment", base)
        one = {kind: found[place : place + 1] for kind, found in hashes.items()}
        for kind in KINDS:
            ids = np.array([expected.record_id])
            packed = pack_records(heads[place : place + 1], one, kind, ids)
            assert packed.astype("<u4").tobytes() == pack(expected, kind)


def test_the_past_fills_logs_as_the_observe_script_trims_them() -> None:
    population = Population(3, 300)
    past = population.past(1, 40.0, NOW_MS)
    found = {(kind, number): log for kind, number, log in logs(population, past, 1, RATES)}
    counts = {kind: np.bincount(past.entity[kind]) for kind in KINDS}
    for (kind, number), log in found.items():
        assert log.following == counts[kind][number]
        held = len(log.records) // RECORD_BYTES
        assert min(log.following, 2 * TAIL_CAP) <= held <= 2 * TAIL_CAP + LOG_SLACK
    assert any(log.first > 0 for log in found.values())
    shortened = logs(population, past, 1, RATES, longest=7)
    assert max(log.following for _, _, log in shortened) == 7


@pytest.mark.services
def test_filled_logs_stand_at_the_open_epoch(redis_url: str) -> None:
    population = Population(3, 50)
    past = population.past(1, 5.0, NOW_MS)
    count = fill(redis_url, "bench-fill", 7, logs(population, past, 1, RATES))
    assert count == sum(len(np.unique(past.entity[kind])) for kind in KINDS)
    account = int(past.entity["account"][-1])
    client = Redis.from_url(redis_url)
    key = Keys(redis_prefix("bench-fill")).log("main", "account", name("account", account))
    held = unpack_log(client.get(key))  # type: ignore[arg-type]  # bytes, as we wrote them
    client.close()
    assert (held.incarnation, held.base, held.first) == (7, 0, 0)
    assert held.following == int(np.sum(past.entity["account"] == account))
