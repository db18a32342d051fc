"""Sending: the right topics and keys, event-time order, the speed asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from risk.domain.clock import ManualClock, SystemClock
from risk.domain.decoding import decode_event
from risk.domain.errors import BadConfiguration, Unavailable
from streams.importer.dataset import Progress, open_dataset, read_manifest, sort_ms
from streams.importer.run import import_file
from streams.importer.send import WINDOW, send_dataset, sendable, speed_of
from streams.topics import Topics
from tests.support.import_files import HEADER, START_MS, bodies, line, make_mapping, write_rows


def make_set(tmp_path: Path, rows: int = 3000) -> Path:
    folder = tmp_path / "set"
    path = write_rows(tmp_path / "f.csv", rows)
    import_file(path, make_mapping(tmp_path), folder, ManualClock(0), chunk_rows=300)
    return folder


async def records(bootstrap: str, topic: str) -> list[list[tuple[bytes, bytes]]]:
    """(key, body) of every record, by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(8)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[list[tuple[bytes, bytes]]] = [[] for _ in places]
        while sum(map(len, found)) < sum(ends.values()):
            for place, batch in (await consumer.getmany(timeout_ms=500)).items():
                found[place.partition].extend((one.key, one.value) for one in batch)
        return found
    finally:
        await consumer.stop()


@pytest.mark.services
async def test_every_event_once_under_its_key_and_in_order(kafka: str, tmp_path: Path) -> None:
    folder = make_set(tmp_path)
    expected = bodies(folder)
    shown: list[tuple[int, int]] = []
    report = await send_dataset(
        folder, "sent", None, kafka, SystemClock(), lambda done, total: shown.append((done, total))
    )
    assert (report.events, report.rejected) == (len(expected), 0)
    assert len(expected) > 2 * WINDOW
    assert shown[-1] == (len(expected), len(expected))
    topics = Topics("sent")
    events = await records(kafka, topics.events)
    labels = await records(kafka, topics.labels)
    sent = [body for partition in (*events, *labels) for _, body in partition]
    assert sorted(sent) == sorted(expected)
    for partition in (*events, *labels):
        times = [sort_ms(decode_event(body).event) for _, body in partition]
        assert times == sorted(times)
    for key, body in (pair for partition in events for pair in partition):
        assert key.decode() == f"main:{decode_event(body).event.account}"
    for key, body in (pair for partition in labels for pair in partition):
        event = decode_event(body).event
        assert event.kind == "label"
        assert key.decode() == f"main:{event.id}"


@pytest.mark.services
async def test_speed_stretches_event_time(kafka: str, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(HEADER + "".join(line(number, START_MS + number * 60_000) for number in (1, 2)))
    folder = tmp_path / "set"
    import_file(path, make_mapping(tmp_path), folder, ManualClock(0))
    report = await send_dataset(folder, "paced", 60.0, kafka, SystemClock())
    assert 1.0 <= report.seconds < 6.0
    assert report.events == 4


def test_speeds() -> None:
    assert [speed_of(text) for text in ("1x", "60x", "3600x", "max")] == [1.0, 60.0, 3600.0, None]
    for text in ("", "x", "0x", "-1x", "fast", "1.5x", "60", "²x"):
        with pytest.raises(BadConfiguration, match="--speed"):
            speed_of(text)


def test_history_is_not_sent_to_the_live_world(tmp_path: Path) -> None:
    folder = make_set(tmp_path, 10)
    with pytest.raises(BadConfiguration, match="world of its own"):
        asyncio.run(send_dataset(folder, "live", None, "127.0.0.1:1", SystemClock()))


def test_no_kafka_is_said(tmp_path: Path) -> None:
    folder = make_set(tmp_path, 10)
    with pytest.raises(Unavailable, match="kafka cannot be reached"):
        asyncio.run(send_dataset(folder, "none", None, "127.0.0.1:1", SystemClock()))


def test_a_data_set_that_is_none_or_unfinished_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="there is no data set"):
        read_manifest(tmp_path / "none")
    folder = make_set(tmp_path, 10)
    with open_dataset(folder) as writer:
        writer.begin(Progress(id="x", kind="payments", file="other.csv", mapping_digest=""))
        writer.write_manifest()
    with pytest.raises(BadConfiguration, match=r"import of other\.csv .* was cut off"):
        sendable(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(BadConfiguration, match="is damaged"):
        read_manifest(folder)
