"""Back-tests from the archive: columns once for each file, labels, and what is gone."""

from __future__ import annotations

import shutil
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from features.proof.history import HistoryRecord
from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN
from streams.archive import runs
from streams.archive_history import read
from streams.archive_names import ArchiveDamaged, Span
from streams.archive_store import open_archive
from streams.backtest_read import gather_archive, gather_topics
from streams.truth import MARKER_HEADER
from tests.support.archive_disks import StoppingDisk
from tests.support.archive_records import Timed
from tests.support.proof_world import ListHistory, headers_of, story, to_base

WHOLE = (TIME_MS_MIN, TIME_MS_MAX - 1)


@cache
def told() -> tuple[HistoryRecord, ...]:
    return tuple(story(5, 250))


def archived(root: Path) -> None:
    """The story as the archiver keeps it: several files for each partition."""
    by_place: dict[tuple[str, int], list[Timed]] = defaultdict(list)
    for one in told():
        value = one.value if not one.marker else None
        by_place[one.topic, one.partition].append(
            Timed(
                one.offset, value, f"weir.{one.topic}", one.partition, one.timestamp_ms, b"key",
                headers_of(one),
            )
        )  # fmt: skip
    with open_archive(root, ["decisions", "ledger"], StoppingDisk()) as writer:
        for (topic, partition), records in by_place.items():
            epochs = writer.epochs(topic, partition)
            for begin in range(0, len(records), 30):
                for run in runs(records[begin : begin + 30]):
                    span = Span(partition, run[0].offset, run[-1].offset)
                    writer.add(topic, span, run, epochs)


async def test_the_archive_tells_what_the_topics_tell(tmp_path: Path) -> None:
    root, cache_folder = tmp_path / "world", tmp_path / "cache"
    archived(root)
    assert any(MARKER_HEADER in dict(record.headers) for record in read(root, "decisions"))
    found = gather_archive(root, WHOLE, to_base, cache_folder)
    topics = await gather_topics(ListHistory(told()), WHOLE, to_base, tmp_path / "scratch")
    assert found.words == topics.words
    assert found.left_out == topics.left_out
    assert found.newest == topics.newest
    keys = sorted(key for block in found for key in block.keys.tolist())
    assert keys == sorted(key for block in topics for key in block.keys.tolist())
    assert len(found.folders) > 5


def test_a_file_is_read_once(tmp_path: Path) -> None:
    root, cache_folder = tmp_path / "world", tmp_path / "cache"
    archived(root)
    first = gather_archive(root, WHOLE, to_base, cache_folder)
    for path in (root / "decisions").rglob("*.parquet"):
        path.write_bytes(b"")  # whoever read it again would notice
    again = gather_archive(root, WHOLE, to_base, cache_folder)
    assert again.folders == first.folders
    shutil.rmtree(cache_folder)
    with pytest.raises(ArchiveDamaged):
        gather_archive(root, WHOLE, to_base, cache_folder)


def test_what_is_gone_is_counted(tmp_path: Path) -> None:
    root = tmp_path / "world"
    archived(root)
    held = sorted((root / "decisions").rglob("part-00001-*.parquet"))
    assert len(held) > 1
    held[0].unlink()
    found = gather_archive(root, WHOLE, to_base, tmp_path / "cache")
    assert found.left_out["gone_from_decisions"] > 0


def test_the_live_world_reads_the_days_of_the_range(tmp_path: Path) -> None:
    root = tmp_path / "live"
    archived(root)
    early = gather_archive(root, (TIME_MS_MIN, TIME_MS_MIN + 1), to_base, tmp_path / "cache")
    assert early.folders == []
    at_ms = told()[-1].timestamp_ms
    late = gather_archive(root, (at_ms - 1, at_ms + 1), to_base, tmp_path / "cache")
    assert late.folders
