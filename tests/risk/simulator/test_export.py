"""Worlds as files: what is read back is what was made, and nothing half-written stays."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard

from risk.domain.decoding import decode_event, encode_event
from risk.domain.errors import BadConfiguration
from risk.domain.event import AnyEvent, Label, Payment
from risk.simulator.agenda import TRUTH_MAX, Truth
from risk.simulator.export import SUFFIXES, check_target, truth_file, writing
from risk.simulator.parquet import FIELDS
from risk.simulator.summary import Summary, Told
from risk.simulator.world import World

START_MS = 1_780_000_000_000


def told(summary: Summary | None = None) -> list[Told]:
    world = World(9, 400, START_MS)
    events = world.events(4)
    return list((summary or Summary()).watch(events, world.truth))


def write(path: Path) -> list[Told]:
    made = told()
    with writing(path) as writer:
        for one in made:
            writer.write(one)
    return made


def opened(path: Path) -> bytes:
    body = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(body)
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return body


@pytest.mark.parametrize("suffix", SUFFIXES[:3])
def test_lines_are_canonical_events_and_the_truth_stands_beside(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"world{suffix}"
    made = write(path)
    lines = opened(path).splitlines()
    assert lines == [encode_event(one.event) for one in made]
    assert [decode_event(line).event for line in lines] == [one.event for one in made]
    beside = truth_file(path)
    assert beside == tmp_path / f"world{suffix}.truth.jsonl"
    truth = [json.loads(line) for line in beside.read_text().splitlines()]
    assert truth == [
        {"payment_id": one.event.id, "scenario": one.scenario, "episode": one.episode}
        for one in made
        if one.scenario is not None
    ]
    assert truth
    assert sorted(tmp_path.iterdir()) == [path, beside]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_world_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    write(first)
    write(second)
    assert first.read_bytes() == second.read_bytes()


def value_of(event: AnyEvent, name: str) -> Any:
    return getattr(event, name, None)


def test_columns_hold_every_field_and_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "world.parquet"
    made = write(path)
    assert truth_file(path) is None
    rows = pq.read_table(path).to_pylist()
    assert len(rows) == len(made)
    for row, one in zip(rows, made, strict=True):
        assert row["type"] == one.event.kind
        for name, _ in FIELDS:
            assert row[name] == value_of(one.event, name), name
        paid = isinstance(one.event, Payment)
        assert row["fraud"] == ((one.scenario is not None) if paid else None)
        assert (row["scenario"], row["episode"]) == (one.scenario, one.episode)


def test_every_field_of_the_events_of_a_world_is_a_column() -> None:
    names = {name for name, _ in FIELDS} | {"schema_version"}
    for one in told():
        for name in one.event.__struct_fields__:
            assert name in names or getattr(one.event, name) is None, name


def cut_off(path: Path) -> None:
    with writing(path) as writer:
        for one in told():
            writer.write(one)
        raise KeyboardInterrupt


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_stays_of_a_world_that_was_cut_off(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"world{suffix}"
    path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        cut_off(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize(
    "name, said",
    [
        ("world.csv", "end the name in .jsonl"),
        (".jsonl", "end the name in .jsonl"),
        ("none/world.jsonl", "there is no folder"),
        ("folder.jsonl", "is a folder"),
        ("there.jsonl", "add --force"),
        ("other.jsonl", r"other.jsonl.truth.jsonl: the file exists"),
    ],
)
def test_targets_that_cannot_be_written(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "there.jsonl").touch()
    (tmp_path / "other.jsonl.truth.jsonl").touch()
    with pytest.raises(BadConfiguration, match=said):
        check_target(tmp_path / name, force=False)


def test_force_replaces_files(tmp_path: Path) -> None:
    (tmp_path / "there.parquet").touch()
    check_target(tmp_path / "there.parquet", force=True)


def test_a_summary_counts_what_went_by() -> None:
    summary = Summary()
    made = told(summary)
    payments = [one for one in made if isinstance(one.event, Payment)]
    frauds = [one for one in made if one.scenario is not None]
    assert summary.events == len(made) == sum(summary.by_type.values())
    assert summary.payments == len(payments)
    assert summary.frauds == len(frauds) > 0
    assert summary.fraud_share == len(frauds) / len(payments)
    assert summary.by_type["label"] == sum(isinstance(one.event, Label) for one in made)
    assert summary.first_ms == made[0].event.occurred_at_ms
    assert summary.last_ms == made[-1].event.occurred_at_ms
    for name, counts in summary.scenarios().items():
        mine = [one for one in frauds if one.scenario == name]
        assert counts == {"payments": len(mine), "episodes": len({one.episode for one in mine})}


def test_a_summary_of_nothing() -> None:
    summary = Summary()
    assert list(summary.watch([], Truth())) == []
    assert (summary.events, summary.fraud_share, summary.first_ms) == (0, 0.0, None)


def test_truth_forgets_the_oldest_but_nothing_to_come() -> None:
    truth = Truth()
    truth.begin_episode(1_000)
    truth.mark("later", "structuring", 9_000_000)
    for number in range(TRUTH_MAX + 10):
        truth.mark(f"pay-{number}", "card_testing", 500)
    assert len(truth) == TRUTH_MAX
    assert truth.scenario("later") == "structuring"
    assert truth.episode("later") == 1
    assert not truth.is_fraud("pay-0")
    assert truth.scenario("pay-0") is None
    assert truth.episode("pay-0") is None
