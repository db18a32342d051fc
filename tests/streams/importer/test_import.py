"""Imports: counted right, resumable at any point, in event-time order when read back."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from risk.domain.clock import ManualClock, SystemClock
from risk.domain.decoding import decode_event
from risk.domain.errors import AlreadyRunning, BadConfiguration
from streams.importer.build import EventBuilder, Rejected
from streams.importer.dataset import Progress, dataset_folder, open_dataset, sort_ms
from streams.importer.rows import Row, read_rows
from streams.importer.run import ImportReport, RowTaker, import_file, import_id, preview
from tests.support.import_files import (
    HEADER,
    MAPPING,
    START_MS,
    bodies,
    line,
    make_mapping,
    manifest,
    write_mapping,
    write_rows,
)


class CutOffError(Exception):
    """Ends an import from inside, as a kill would."""


def cut_off(rows: Iterator[Row], after: int) -> Iterator[Row]:
    yield from islice(rows, after)
    raise CutOffError


def run(tmp_path: Path, path: Path, chunk_rows: int = 100, text: str = MAPPING) -> ImportReport:
    mapping = make_mapping(tmp_path, text)
    return import_file(path, mapping, tmp_path / "set", ManualClock(0), chunk_rows=chunk_rows)


def test_rows_are_accepted_rejected_or_duplicates(tmp_path: Path) -> None:
    report = run(tmp_path, write_rows(tmp_path / "f.csv", 1000))
    assert (report.rows, report.rejected, report.duplicates) == (1025, 20, 25)
    assert report.accepted == 980
    events = [decode_event(body).event for body in bodies(tmp_path / "set")]
    assert len(events) == report.events == manifest(tmp_path / "set").events
    kinds = {kind: sum(event.kind == kind for event in events) for kind in ("payment", "refund")}
    assert sum(kinds.values()) == 980
    assert kinds["refund"] == len(range(5, 1000, 30))
    assert sum(event.kind == "outcome" for event in events) == kinds["payment"]
    frauds = [n for n in range(0, 1000, 11) if n % 50 != 3]
    assert sum(event.kind == "label" for event in events) == len(frauds)


def test_events_come_back_in_event_time_order(tmp_path: Path) -> None:
    run(tmp_path, write_rows(tmp_path / "f.csv", 1000))
    times = [sort_ms(decode_event(body).event) for body in bodies(tmp_path / "set")]
    assert times == sorted(times)
    held = manifest(tmp_path / "set")
    assert (times[0], times[-1]) == (held.first_ms, held.last_ms)


def test_many_overlapping_chunks_are_merged_in_levels(tmp_path: Path) -> None:
    run(tmp_path, write_rows(tmp_path / "f.csv", 1000), chunk_rows=20)
    assert len(manifest(tmp_path / "set").chunks) > 40
    assert bodies(tmp_path / "set", open_max=3) == bodies(tmp_path / "set", open_max=64)
    assert not list((tmp_path / "set").glob("merge-*"))


def test_chunk_size_does_not_change_what_is_sent(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "f.csv", 500)
    mapping = make_mapping(tmp_path)
    found = []
    for rows in (7, 1000):
        import_file(path, mapping, tmp_path / str(rows), ManualClock(0), chunk_rows=rows)
        found.append(bodies(tmp_path / str(rows)))
    assert found[0] == found[1]


def test_rejected_rows_are_reported_with_line_field_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(HEADER + line(1) + line(2, amount="x") + "1,2\n" + line(3))
    report = run(tmp_path, path)
    assert report.rejected_file is not None
    found = [
        msgspec.json.decode(row, type=Rejected)
        for row in Path(report.rejected_file).read_bytes().splitlines()
    ]
    assert found == report.first_rejected
    assert [(one.line, one.field, one.column) for one in found] == [
        (3, "amount_minor", "sum"),
        (4, "", ""),
    ]


def test_the_same_id_with_other_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(HEADER + line(1) + line(1, amount="9.99") + line(1))
    report = run(tmp_path, path)
    assert (report.accepted, report.rejected, report.duplicates) == (1, 1, 1)
    assert report.first_rejected[0].code == "PAYLOAD_MISMATCH"


def test_importing_again_changes_nothing(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "f.csv", 300)
    first = run(tmp_path, path)
    before = manifest(tmp_path / "set")
    again = run(tmp_path, path)
    assert again.resumed_at_row == again.rows == first.rows
    assert manifest(tmp_path / "set") == before


def test_an_overlapping_second_file_adds_only_what_is_new(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text(HEADER + "".join(line(number) for number in range(100)))
    second.write_text(HEADER + "".join(line(number) for number in range(60, 150)))
    run(tmp_path, first)
    report = run(tmp_path, second)
    assert (report.accepted, report.duplicates) == (50, 40)
    payments = [body for body in bodies(tmp_path / "set") if b'"type":"payment"' in body]
    assert len(payments) == len(set(payments)) == 150


def test_labels_join_the_payments_they_name(tmp_path: Path) -> None:
    payments = tmp_path / "p.csv"
    payments.write_text(HEADER + "".join(line(number) for number in range(1, 11)))
    run(tmp_path, payments)
    labels = tmp_path / "l.csv"
    labels.write_text(f"pay,when,kind\n3,{START_MS + 5500},chargeback\n4,{START_MS},odd\n")
    text = """
version = 1
kind = "labels"
fields.payment_id = { column = "pay", prefix = "p-" }
fields.known_at = { column = "when", format = "epoch_ms" }
fields.label = { column = "kind" }
"""
    report = run(tmp_path, labels, text=text)
    assert (report.accepted, report.rejected) == (1, 1)
    assert report.first_rejected[0].field == "label"
    found = [decode_event(body).event for body in bodies(tmp_path / "set")]
    place = next(at for at, event in enumerate(found) if event.kind == "label")
    assert found[place].id == "p-3"
    assert found[place - 1].occurred_at_ms <= START_MS + 5500


@pytest.mark.parametrize("stop_after", [1, 49, 50, 51, 137, 299])
def test_an_import_that_is_cut_off_goes_on(tmp_path: Path, stop_after: int) -> None:
    path = write_rows(tmp_path / "f.csv", 300)
    mapping = make_mapping(tmp_path)
    whole = import_file(path, mapping, tmp_path / "whole", ManualClock(0), chunk_rows=50)

    with open_dataset(tmp_path / "parts") as writer:
        fresh = Progress(
            id=import_id(path, mapping), kind="payments", file="f.csv", mapping_digest=""
        )
        taker = RowTaker(writer, writer.begin(fresh), EventBuilder(mapping), 50)
        with pytest.raises(CutOffError):
            taker.take(cut_off(read_rows(path, mapping), stop_after))
    # What a kill leaves behind: a chunk that was never committed, and rejected lines too many.
    parts_rejected = tmp_path / "parts" / "rejected" / f"{import_id(path, mapping)}.jsonl"
    parts_rejected.parent.mkdir(exist_ok=True)
    with parts_rejected.open("ab") as lines:
        lines.write(b'{"line":1')
    stray = tmp_path / "parts" / "chunks" / "000099.jsonl.zst.draft"
    stray.write_bytes(b"half a chunk")
    again = import_file(path, mapping, tmp_path / "parts", ManualClock(0), chunk_rows=50)
    assert again.resumed_at_row == stop_after // 50 * 50
    assert (again.rows, again.events, again.rejected, again.duplicates) == (
        whole.rows, whole.events, whole.rejected, whole.duplicates,
    )  # fmt: skip
    assert bodies(tmp_path / "parts") == bodies(tmp_path / "whole")
    assert again.rejected_file is not None
    assert whole.rejected_file is not None
    assert Path(again.rejected_file).read_bytes() == Path(whole.rejected_file).read_bytes()


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    with open_dataset(tmp_path / "set"), pytest.raises(AlreadyRunning, match="another import"):
        run(tmp_path, write_rows(tmp_path / "f.csv", 10))


def test_a_changed_chunk_is_not_sent(tmp_path: Path) -> None:
    run(tmp_path, write_rows(tmp_path / "f.csv", 100))
    chunk = tmp_path / "set" / manifest(tmp_path / "set").chunks[0].file
    chunk.write_bytes(chunk.read_bytes() + b"x")
    with pytest.raises(BadConfiguration, match="was changed"):
        bodies(tmp_path / "set")
    chunk.unlink()
    with pytest.raises(BadConfiguration, match="is gone"):
        bodies(tmp_path / "set")


def test_a_file_of_nothing_but_a_header(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(HEADER)
    assert run(tmp_path, path).rows == 0
    assert bodies(tmp_path / "set") == []


def test_preview_stores_nothing(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "f.csv", 10)
    found = preview(path, make_mapping(tmp_path), 4)
    assert found.rows == 4
    assert found.events
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("name", ["", "A", "../x", "a/b", "x" * 33])
def test_bad_names_of_data_sets(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadConfiguration, match="--dataset"):
        dataset_folder(tmp_path, name)


_CHILD = """
import sys
from pathlib import Path
from risk.domain.clock import SystemClock
from streams.importer.mapping import load_mapping
from streams.importer.run import import_file
path, mapping, folder = map(Path, sys.argv[1:4])
import_file(path, load_mapping(mapping), folder, SystemClock(), chunk_rows=400)
"""


@pytest.mark.fault
def test_killed_again_and_again_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "f.csv", 20_000)
    mapping = write_mapping(tmp_path)
    whole = import_file(
        path, make_mapping(tmp_path), tmp_path / "whole", SystemClock(), chunk_rows=400
    )
    chance = random.Random(5)
    command = [sys.executable, "-c", _CHILD, str(path), str(mapping), str(tmp_path / "parts")]
    kills = 0
    for _ in range(60):
        child = subprocess.Popen(command)
        try:
            child.wait(0.6 + chance.random() * 0.8)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            kills += 1
        else:
            break
    assert child.returncode == 0
    assert kills > 0
    again = import_file(
        path, make_mapping(tmp_path), tmp_path / "parts", SystemClock(), chunk_rows=400
    )
    assert (again.rows, again.events, again.rejected, again.duplicates) == (
        whole.rows, whole.events, whole.rejected, whole.duplicates,
    )  # fmt: skip
    assert manifest(tmp_path / "parts").digest == manifest(tmp_path / "whole").digest
    assert again.rejected_file is not None
    assert whole.rejected_file is not None
    assert Path(again.rejected_file).read_bytes() == Path(whole.rejected_file).read_bytes()
