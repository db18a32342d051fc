"""The archive's folder: stopped anywhere, cut from power anywhere, damaged anywhere."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from risk.domain.errors import AlreadyRunning
from streams.archive_history import Damage, examine, holes, read
from streams.archive_merge import merge_day
from streams.archive_names import ArchiveDamaged, Span
from streams.archive_store import Hole, listing, open_archive
from tests.support.archive_disks import PowerCutDisk, Stopped, StoppingDisk
from tests.support.archive_records import DAY_MS, archive, decided, rows, story
from tests.support.stream_records import NOW_MS

COUNT = 16
RECORDS = story(COUNT, random.Random(1))
TAIL = story(COUNT + 8, random.Random(2))[COUNT:]


def parts_of(root: Path) -> list[Path]:
    """The files of the archived decisions, by name."""
    return sorted(root.rglob("part-*.parquet"), key=lambda path: path.name)


def steps_of(root: Path) -> int:
    """How many operations archiving all of it takes."""
    disk = StoppingDisk()
    archive(root, RECORDS, disk)
    return disk.passed


def test_what_was_archived_is_read_back_byte_for_byte(tmp_path: Path) -> None:
    archive(tmp_path / "live", RECORDS)
    assert rows(tmp_path / "live") == RECORDS
    found = examine(tmp_path / "live", prove=True)
    assert found.sound
    assert found.topics["decisions"].rows == len(RECORDS)
    assert found.topics["decisions"].following == {0: len(RECORDS)}


def test_every_row_is_in_the_folder_of_its_day(tmp_path: Path) -> None:
    archive(tmp_path / "live", RECORDS)
    days = {path.parent.name for path in parts_of(tmp_path)}
    assert days == {"day=2026-11-02", "day=2026-11-03", "day=2026-11-04", "day=2026-11-05"}
    of_day = list(read(tmp_path / "live", "decisions", "2026-11-03", "2026-11-03"))
    start_ms = 1_793_664_000_000
    wanted = [one.offset for one in RECORDS if start_ms <= one.timestamp < start_ms + 86_400_000]
    assert [one.offset for one in of_day] == wanted
    assert wanted


def test_stopped_between_any_two_operations_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    for step in range(steps_of(tmp_path / "whole")):
        root = tmp_path / str(step) / "live"
        with pytest.raises(Stopped):
            archive(root, RECORDS, StoppingDisk(step))
        held = rows(root)
        assert held == RECORDS[: len(held)], f"stopped after {step} operations"
        archive(root, RECORDS)
        assert rows(root) == RECORDS, f"stopped after {step} operations"
        found = examine(root, prove=True)
        assert found.sound
        assert found.unfinished == 0


def test_stopped_again_while_it_cleans_up(tmp_path: Path) -> None:
    total = steps_of(tmp_path / "whole")
    rng = random.Random(3)
    for turn in range(30):
        root = tmp_path / str(turn) / "live"
        for _ in range(4):
            try:
                archive(root, RECORDS, StoppingDisk(rng.randrange(total // 2)))
            except Stopped:
                continue
        archive(root, RECORDS)
        assert rows(root) == RECORDS
        assert examine(root, prove=True).sound


def test_power_cut_between_any_two_operations(tmp_path: Path) -> None:
    for step in range(steps_of(tmp_path / "whole")):
        rng = random.Random(step)
        root = tmp_path / str(step) / "live"
        root.mkdir(parents=True)
        for records in (RECORDS, RECORDS + TAIL):
            disk = PowerCutDisk(step, rng)
            try:
                archive(root, records, disk)
            except Stopped:
                disk.cut_power()
            held = rows(root)
            assert held == (RECORDS + TAIL)[: len(held)], f"cut after {step} operations"
        archive(root, RECORDS + TAIL)
        assert rows(root) == RECORDS + TAIL
        assert examine(root, prove=True).sound


def test_a_process_that_goes_on_after_a_kill_relies_on_nothing_volatile(tmp_path: Path) -> None:
    # Each file has a folder of its own, so syncing one never makes another durable.
    records = [decided(one, at_ms=NOW_MS + one // 2 * DAY_MS) for one in range(10)]
    cut = 0
    for step in range(60):
        for more in (7, 8):
            root = tmp_path / f"{step}-{more}" / "live"
            root.mkdir(parents=True)
            disk = PowerCutDisk(step, random.Random(step))
            with contextlib.suppress(Stopped):
                archive(root, records, disk)
            if not disk.unsynced_names:
                break
            looks = len([path for path in (root, *root.rglob("*")) if path.is_dir()])
            disk.again(more + (looks if more % 2 else 0))
            with contextlib.suppress(Stopped):
                archive(root, records, disk)
            disk.cut_power()
            cut += 1
            held = rows(root)
            assert held == records[: len(held)], f"killed after {step} operations"
    assert cut


def test_the_files_of_a_day_that_is_over_become_one(tmp_path: Path) -> None:
    root = tmp_path / "live"
    archive(root, RECORDS, step=1)
    said = listing(root / "decisions").standing()
    runs = sum(
        before.day != after.day or before.span.last + 1 != after.span.first
        for before, after in zip(said.parts, said.parts[1:], strict=False)
    )
    last_day = [part for part in said.parts if part.day == said.parts[-1].day]
    assert len(said.parts) <= runs + len(last_day)
    assert len(said.parts) < len(RECORDS) / 2


def test_a_merge_changes_no_row_and_no_epoch(tmp_path: Path) -> None:
    records = [decided(offset) for offset in range(40)]
    archive(tmp_path / "live", records, step=1)
    assert len(parts_of(tmp_path)) == 40 - 2 * 15
    assert rows(tmp_path / "live") == records
    assert {one.epoch for one in read(tmp_path / "live", "decisions")} == {1}


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with (
        open_archive(tmp_path, ["decisions"]),
        pytest.raises(AlreadyRunning),
        open_archive(tmp_path, ["decisions"]),
    ):
        pass


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.99], ids=str)
def test_one_changed_bit_is_found_and_its_rows_are_named(tmp_path: Path, place: float) -> None:
    root = tmp_path / "live"
    archive(root, RECORDS)
    file = parts_of(root)[1]
    body = bytearray(file.read_bytes())
    body[int(place * len(body))] ^= 1
    file.write_bytes(body)
    first, last = (int(text) for text in file.stem.split("-")[2:4])
    found = examine(root, prove=True)
    assert [(one.topic, one.partition, one.first, one.last) for one in found.damaged] == [
        ("decisions", 0, first, last)
    ]
    assert not found.sound
    with pytest.raises(ArchiveDamaged, match=f"offsets {first} to {last}: .*{file.name}"):
        rows(root)
    told: list[Damage] = []
    rest = [one.offset for one in read(root, "decisions", on_damage=told.append)]
    assert rest == [one.offset for one in RECORDS if not first <= one.offset <= last]
    assert len(told) == 1


def test_a_torn_file_is_found_without_reading_its_pages(tmp_path: Path) -> None:
    root = tmp_path / "live"
    archive(root, RECORDS)
    file = parts_of(root)[0]
    file.write_bytes(file.read_bytes()[:-20])
    (damage,) = examine(root, prove=False).damaged
    assert "footer" in damage.why


def test_damage_does_not_stop_archiving_and_is_told(tmp_path: Path) -> None:
    root = tmp_path / "live"
    archive(root, RECORDS)
    file = parts_of(root)[-1]
    file.write_bytes(b"nothing")
    archive(root, RECORDS + TAIL)
    told: list[Damage] = []
    held = [one.offset for one in read(root, "decisions", on_damage=told.append)]
    lost = set(range(told[0].first, told[0].last + 1))
    assert held == [offset for offset in range(COUNT + 8) if offset not in lost]
    with open_archive(root, ["decisions"]) as writer:
        merge_day(writer, "decisions", 0)
        assert writer.damaged or len(told) == 1


def test_a_removed_file_is_missed(tmp_path: Path) -> None:
    root = tmp_path / "live"
    archive(root, RECORDS)
    file = parts_of(root)[2]
    first, last = (int(text) for text in file.stem.split("-")[2:4])
    file.unlink()
    (gone,) = examine(root, prove=False).missing
    assert (gone.first, gone.last) == (first, last)
    with pytest.raises(ArchiveDamaged, match=f"offsets {first} to {last}"):
        rows(root)
    day = file.parent.name.removeprefix("day=")
    with pytest.raises(ArchiveDamaged, match=f"offsets {first} to {last}"):
        list(read(root, "decisions", day, day))
    with open_archive(root, ["decisions"]) as writer:
        assert writer.missing == {"decisions": [Span(0, first, last)]}


def test_files_that_overlap_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "live"
    archive(root, RECORDS)
    file = parts_of(root)[0]
    last = int(file.stem.split("-")[3])
    file.with_name(file.name.replace(f"{last:020}", f"{last + 1:020}")).write_bytes(b"x")
    assert examine(root, prove=False).overlaps
    with pytest.raises(ArchiveDamaged, match="overlap"):
        rows(root)
    with pytest.raises(ArchiveDamaged, match="overlap"), open_archive(root, ["decisions"]):
        pass


def test_a_damaged_merge_gives_way_to_its_members(tmp_path: Path) -> None:
    root = tmp_path / "live"
    records = [decided(offset) for offset in range(15)]
    archive(root, records, step=1)
    names = parts_of(root)
    merged = names[0].name.replace(f"-{0:020}-{0:020}-", f"-{0:020}-{14:020}-")
    names[0].with_name(merged).write_bytes(b"torn")
    archive(root, records)
    assert rows(root) == records
    assert parts_of(root) == names


def test_a_damaged_merge_whose_members_are_gone_is_told(tmp_path: Path) -> None:
    root = tmp_path / "live"
    records = [decided(offset) for offset in range(15)]
    archive(root, records, step=1)
    names = parts_of(root)
    merged = names[0].with_name(names[0].name.replace(f"-{0:020}-{0:020}-", f"-{0:020}-{14:020}-"))
    merged.write_bytes(b"torn")
    names[3].unlink()
    with open_archive(root, ["decisions"]) as writer:
        assert merged.name in writer.damaged[0]
    (damage,) = examine(root, prove=True).damaged
    assert (damage.first, damage.last) == (0, 14)


def test_a_hole_is_recorded_and_is_no_damage(tmp_path: Path) -> None:
    root = tmp_path / "live"
    hole = Hole(
        topic="decisions", partition=0, first=0, last=9, cause="RETENTION",
        noticed_at="2026-11-02T12:00:00.000Z",
    )  # fmt: skip
    with open_archive(root, ["decisions"]) as writer:
        writer.add_hole(hole)
        epochs = writer.epochs("decisions", 0)
        assert not epochs.known
        writer.add("decisions", Span(0, 10, 12), [decided(10), decided(12)], epochs)
        assert writer.holes("decisions") == [hole]
    found = examine(root, prove=True)
    assert found.sound
    assert found.holes == holes(root, "decisions") == [hole]
    assert found.topics["decisions"].absent == 1
    assert found.topics["decisions"].following == {0: 13}
    assert [one.void for one in read(root, "decisions")] == [None, None]
    (root / "decisions" / "holes" / f"hole-{0:05}-{0:020}-{9:020}.json").write_bytes(b"{")
    assert holes(root, "decisions")[0].cause == "UNREADABLE"


def test_a_file_under_another_name_is_damage(tmp_path: Path) -> None:
    root = tmp_path / "live"
    archive(root, RECORDS)
    file = parts_of(root)[0]
    last = int(file.stem.split("-")[3])
    file.rename(file.with_name(file.name.replace(f"{last:020}", f"{last - 1:020}")))
    (damage,) = examine(root, prove=True).damaged
    assert "other offsets" in damage.why
    assert examine(root, prove=False).missing


def test_what_is_not_ours_is_named_and_not_read(tmp_path: Path) -> None:
    root = tmp_path / "live"
    archive(root, RECORDS)
    (root / "decisions" / "day=2026-11-02" / "notes.txt").write_text("mine")
    (root / "decisions" / "stray.parquet").write_text("mine")
    found = examine(root, prove=True)
    assert found.sound
    assert len(found.strays) == 2
    assert rows(root) == RECORDS


def test_reading_goes_on_while_files_are_merged(tmp_path: Path) -> None:
    root = tmp_path / "live"
    records = [decided(offset) for offset in range(20)]
    archive(root, records[:14], step=1)
    reading = read(root, "decisions")
    seen = [next(reading).offset for _ in range(5)]
    archive(root, records, step=1)
    assert len(parts_of(root)) < 14
    assert seen + [one.offset for one in reading] == list(range(20))


def test_an_empty_archive_is_empty(tmp_path: Path) -> None:
    assert list(read(tmp_path / "none", "decisions")) == []
    assert examine(tmp_path / "none", prove=True).sound
