"""Analysts read the archive with SQL, and no JSON."""

from __future__ import annotations

from pathlib import Path

from risk.domain.outcome import Outcome
from streams.archive_names import Span
from streams.archive_store import open_archive
from streams.archive_views import history
from tests.support.archive_records import EPOCH_1, Timed, archive, decided, marker
from tests.support.stream_records import NOW_MS, decision

EPOCH_2 = (("epoch", b"2"),)


def test_the_decision_that_stands(tmp_path: Path) -> None:
    blocked, allowed = decision("p-1"), decision("p-1", Outcome.ALLOW)
    records = [
        marker(0, 2),
        decided(1, value=blocked, headers=EPOCH_1),
        decided(2, value=allowed, headers=EPOCH_2),
        decided(3, value=allowed, headers=EPOCH_2),
        decided(4, value=decision("p-2", amount_minor=5), headers=EPOCH_2),
        decided(5, value=b"garbage", headers=EPOCH_2),
    ]
    archive(tmp_path, records)
    with history(tmp_path) as connection:
        found = connection.execute(
            "SELECT payment_id, outcome, amount_minor, epoch, strftime(decided_at, '%H:%M:%S'),"
            " strftime(day, '%Y-%m-%d') FROM decided ORDER BY payment_id"
        ).fetchall()
        assert found == [
            ("p-1", "allow", 1999, 2, "12:00:00", "2026-11-02"),
            ("p-2", "block", 5, 2, "12:00:00", "2026-11-02"),
        ]
        sums = connection.execute(
            "SELECT count(*), count(*) FILTER (void), count(problem) FROM decisions"
        ).fetchone()
        assert sums == (6, 1, 1)


def test_topics_without_a_file_are_empty_tables(tmp_path: Path) -> None:
    with history(tmp_path) as connection:
        for view in ("decisions", "decided", "ledger", "labels", "events"):
            counted = connection.execute(f"SELECT count(*) FROM {view} WHERE NOT void").fetchone()
            assert counted == (0,)
        assert (
            connection.execute("SELECT reasons[1], headers[1].name FROM decided").fetchall() == []
        )


def test_a_folder_with_a_quote_in_its_name(tmp_path: Path) -> None:
    root = tmp_path / "o'brien"
    with open_archive(root, ["labels"]) as writer:
        epochs = writer.epochs("labels", 0)
        writer.add("labels", Span(0, 0, 0), [Timed(0, b"no label", timestamp=NOW_MS)], epochs)
    with history(root) as connection:
        assert connection.execute("SELECT problem, value FROM labels").fetchall() == [
            ("INVALID_JSON", b"no label")
        ]
