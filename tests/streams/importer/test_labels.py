"""Labels from CSV: every wrong line by number and field, and the whole file or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from risk.domain.clock import SystemClock
from risk.domain.decoding import decode_event
from risk.domain.errors import BadConfiguration
from risk.domain.event import Label
from streams.importer.labels import LINE_CHARS_MAX, SHOWN, check_file, send_file
from streams.topics import Topics

HEADER = "payment_id,label,known_at\n"
GOOD = "pay_1,chargeback,2025-01-02T00:00:00Z\n"
NOW_MS = 1_750_000_000_000


def file_of(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_wrong_line_is_named_by_field(tmp_path: Path) -> None:
    text = (
        HEADER + GOOD
        + "pay_2,lost,2025-01-02T00:00:00Z\n"
        + '"pay\n3",chargeback,2025-01-02T00:00:00Z\n'
        + "pay_4,chargeback,soon\n"
        + ",chargeback,2025-01-02T00:00:00Z\n"
        + "pay_5,chargeback\n\n"
        + "pay_6,fraud_report,2099-01-02T00:00:00Z\n"
        + "4111111111111111,chargeback,2025-01-02T00:00:00Z\n"
    )  # fmt: skip
    found = check_file(file_of(tmp_path, text), "live", NOW_MS)
    assert (found.rows, found.rejected, found.by_label) == (8, 7, {"chargeback": 1})
    assert [(one.line, one.field, one.code) for one in found.first_rejected] == [
        (3, "label", "OUT_OF_RANGE"), (5, "payment_id", "OUT_OF_RANGE"),
        (6, "known_at", "INVALID_TIME"), (7, "payment_id", "MISSING_FIELD"),
        (8, "", "MISSING_FIELD"), (10, "known_at", "INVALID_TIME"),
        (11, "payment_id", "CARD_NUMBER"),
    ]  # fmt: skip


def test_only_the_first_wrong_lines_are_kept(tmp_path: Path) -> None:
    found = check_file(file_of(tmp_path, HEADER + "p,lost,x\n" * 50), "live", NOW_MS)
    assert (found.rejected, len(found.first_rejected)) == (50, SHOWN)


@pytest.mark.parametrize(
    ("text", "says"),
    (
        ("", "no column 'payment_id'"),
        ("payment_id,known_at\n", "no column 'label'"),
        ("payment_id,label,known_at,why\n", "'why' is unknown"),
        ("payment_id,label,known_at,label\n", "there twice"),
        (HEADER + '"pay_1', "line 2"),
        (HEADER + "x" * (LINE_CHARS_MAX + 1), "characters"),
    ),
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadConfiguration, match=says):
        check_file(file_of(tmp_path, text), "live", NOW_MS)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="cannot be read"):
        check_file(tmp_path / "none.csv", "live", NOW_MS)
    path = tmp_path / "bytes.csv"
    path.write_bytes(HEADER.encode() + b"pay_1,\xff,x\n")
    with pytest.raises(BadConfiguration, match="UTF-8"):
        check_file(path, "live", NOW_MS)


@pytest.mark.services
async def test_labels_reach_their_topic(kafka: str, tmp_path: Path) -> None:
    text = HEADER.strip() + ",id,account\n"
    text += "pay_1,chargeback,2025-01-02T00:00:00Z,,acc_1\n"
    text += "pay_1,analyst_legit,2025-01-03T00:00:00Z,word_2,\n"
    path = file_of(tmp_path, text)
    checked = check_file(path, "labels-csv", None)
    assert await send_file(path, checked, kafka, SystemClock()) == 2
    topics = Topics("labels-csv")
    consumer = AIOKafkaConsumer(
        topics.labels, bootstrap_servers=kafka, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        records = [await consumer.getone() for _ in range(2)]
    finally:
        await consumer.stop()
    events = [decode_event(record.value or b"").event for record in records]
    assert all(isinstance(event, Label) for event in events)
    assert sorted(event.id for event in events) == ["pay_1", "word_2"]
    assert {record.key for record in records} == {b"main:pay_1"}
