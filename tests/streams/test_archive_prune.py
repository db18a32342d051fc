"""Only the oldest days go, only proven ones, and what is gone is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from risk.domain.times import rfc3339
from streams.archive_history import examine
from streams.archive_names import HOLES
from streams.archive_prune import PruneReport, prune
from streams.archive_store import listing, open_archive
from streams.history_archive import open_archive_history
from tests.support.archive_disks import Stopped, StoppingDisk
from tests.support.archive_records import DAY_MS, archive, decided, rows
from tests.support.stream_records import NOW_MS

RECORDS = [decided(one, at_ms=NOW_MS + one // 4 * DAY_MS) for one in range(20)]
LATER_MS = NOW_MS + 6 * DAY_MS
DAYS = 3  # what was published more than so long ago: the first 12 records
KEPT = RECORDS[12:]


def pruned(root: Path, disk: StoppingDisk | None = None, days: int = DAYS) -> PruneReport:
    with open_archive(root, ["decisions"], disk or StoppingDisk()) as writer:
        return prune(writer, "live", ["decisions"], days, LATER_MS)


def test_old_days_go_and_the_rest_is_proven(tmp_path: Path) -> None:
    root = tmp_path / "live"
    archive(root, RECORDS)
    report = pruned(root)
    (one,) = report.pruned
    assert (one.first, one.last, one.rows, report.kept) == (0, 11, 12, [])
    assert one.until == rfc3339(RECORDS[11].timestamp)
    assert rows(root) == KEPT
    found = examine(root, prove=True)
    assert found.sound
    assert (found.holes, found.strays) == ([], [])
    assert found.topics["decisions"].pruned == {0: 11}
    assert pruned(root).pruned == []
    # Archiving goes on, and a later prune begins where this one ended.
    more = [decided(20 + one, at_ms=NOW_MS + 5 * DAY_MS) for one in range(4)]
    archive(root, RECORDS + more)
    assert rows(root) == KEPT + more
    (again,) = pruned(root, days=2).pruned
    assert (again.first, again.last) == (12, 15)
    assert examine(root, prove=True).sound


def test_the_newest_file_stays_however_old_it_is(tmp_path: Path) -> None:
    root = tmp_path / "live"
    archive(root, RECORDS)
    with open_archive(root, ["decisions"], StoppingDisk()) as writer:
        prune(writer, "live", ["decisions"], 1, NOW_MS + 100 * DAY_MS)
        assert writer.next_offset("decisions", 0) == len(RECORDS)
        assert writer.epochs("decisions", 0).epoch == 1
    assert rows(root)
    assert rows(root)[-1] == RECORDS[-1]
    archive(root, RECORDS)  # nothing of what was removed is archived again
    assert rows(root)[0].offset >= 12


def test_what_cannot_be_proven_is_kept_and_all_behind_it(tmp_path: Path) -> None:
    root = tmp_path / "live"
    archive(root, RECORDS)
    second = sorted(root.rglob("part-*.parquet"))[1]
    body = bytearray(second.read_bytes())
    body[len(body) // 2] ^= 1
    second.write_bytes(bytes(body))
    report = pruned(root)
    assert [one.last for one in report.pruned] == [3]
    (why,) = report.kept
    assert "its bytes are not those written" in why
    assert second.exists()


def test_nothing_behind_a_missing_file_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "live"
    archive(root, RECORDS)
    sorted(root.rglob("part-*.parquet"))[0].unlink()
    report = pruned(root)
    assert report.pruned == []
    assert "are gone" in report.kept[0]


def test_stopped_between_any_two_operations(tmp_path: Path) -> None:
    archive(tmp_path / "whole", RECORDS)
    counting = StoppingDisk()
    pruned(tmp_path / "whole", counting)
    assert counting.passed > 5
    for step in range(counting.passed):
        root = tmp_path / str(step) / "live"
        archive(root, RECORDS)
        with pytest.raises(Stopped):
            pruned(root, StoppingDisk(step))
        # Either it has not begun, or it counts as done: never a gap that looks like a loss.
        assert rows(root) in (RECORDS, KEPT), f"stopped after {step} operations"
        assert examine(root, prove=True).sound
        pruned(root)
        assert rows(root) == KEPT
        archive(root, RECORDS)
        assert rows(root) == KEPT
        assert len(list((root / "decisions" / HOLES).glob("pruned-*.json"))) == 1
        assert listing(root / "decisions").standing().pruned == []


def test_a_proof_begins_behind_a_prune_and_says_so(tmp_path: Path) -> None:
    root = tmp_path / "live"
    archive(root, RECORDS)
    assert open_archive_history(root, "live").extent.cut_ms is None
    pruned(root)
    extent = open_archive_history(root, "live").extent
    (span,) = extent.spans
    assert (span.first, span.end, span.epoch) == (12, 20, 1)
    assert extent.cut_ms is not None
    assert extent.cut_ms > RECORDS[12].timestamp
