"""`weir simulate` as a person meets it: files, words, reports and exit codes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from streams.topics import Topics

ROOT = Path(__file__).parents[3]
SMALL = ("--days", "3", "--accounts", "300", "--seed", "5")


def weir(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "risk.cli", "simulate", *words],
        env={**os.environ, "WEIR_HOME": str(home), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_world_as_a_file_with_its_report(tmp_path: Path) -> None:
    out, report = tmp_path / "world.jsonl", tmp_path / "report.json"
    done = weir(tmp_path, *SMALL, "--out", str(out), "--report", str(report))
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    kinds = Counter(json.loads(line)["type"] for line in out.read_text().splitlines())
    truth = [json.loads(line) for line in Path(found["truth_file"]).read_text().splitlines()]
    scenarios = Counter(line["scenario"] for line in truth)
    assert found["by_type"] == dict(kinds)
    assert found["events"] == kinds.total()
    paid = sum(kinds[kind] for kind in ("payment", "transfer", "withdrawal", "top_up"))
    assert found["payments"] == paid
    assert found["frauds"] == len(truth)
    assert found["fraud_share"] == pytest.approx(len(truth) / paid)
    assert {name: one["payments"] for name, one in found["scenarios"].items()} == dict(scenarios)
    assert all(one["episodes"] >= 1 for one in found["scenarios"].values())
    assert (found["world"], found["seed"], found["days"]) == ("simulated", 5, 3.0)
    assert (found["accounts"], found["start"]) == (300, "2025-01-01T00:00:00.000Z")
    assert (found["file"], found["sent_to"], found["rejected"]) == (str(out), None, 0)
    assert found["seconds"] > 0
    assert found["events_per_s"] > 0
    assert "World simulated, seed 5: 300 accounts, 3 days" in done.stdout
    assert "the truth is in" in done.stdout
    assert f"{found['events']:,} events" in done.stdout


def test_another_process_makes_the_same_bytes(tmp_path: Path) -> None:
    digests = set()
    for hashes, name in (("1", "a"), ("2", "b")):
        out = tmp_path / f"{name}.jsonl"
        # The name of the world does not change what happens in it.
        done = weir(tmp_path, *SMALL, "--world", name, "--out", str(out), PYTHONHASHSEED=hashes)
        assert done.returncode == 0, done.stderr
        digests.add((digest(out), digest(tmp_path / f"{name}.jsonl.truth.jsonl")))
    assert len(digests) == 1


def test_start_and_tempo(tmp_path: Path) -> None:
    found = []
    for number, tempo in enumerate(("1", "3")):
        report = tmp_path / f"{number}.json"
        out = tmp_path / f"{number}.parquet"
        words = ("--start", "2024-07-01T12:00:00+02:00", "--tempo", tempo, "--report", str(report))
        done = weir(tmp_path, *SMALL, "--out", str(out), *words)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(report.read_text()))
    assert found[0]["start"] == "2024-07-01T10:00:00.000Z"
    assert found[0]["truth_file"] is None
    assert 2.2 < found[1]["payments"] / found[0]["payments"] < 3.8


def test_an_existing_file_is_kept_without_force(tmp_path: Path) -> None:
    out = tmp_path / "world.jsonl"
    out.write_text("mine")
    done = weir(tmp_path, *SMALL, "--out", str(out))
    assert done.returncode == 2
    assert "the file exists; add --force" in done.stderr
    assert out.read_text() == "mine"
    assert weir(tmp_path, *SMALL, "--out", str(out), "--force").returncode == 0
    assert out.read_text() != "mine"


@pytest.mark.parametrize(
    "words, said",
    [
        ((), "give --out FILE, or --send"),
        (("--out", "x.jsonl", "--send"), "--out and --send"),
        (("--out", "x.csv"), "--out x.csv: end the name in"),
        (("--out", "none/x.jsonl"), "there is no folder none"),
        (("--out", "x.jsonl", "--days", "0"), "--days 0"),
        (("--out", "x.jsonl", "--days", "nan"), "--days nan"),
        (("--out", "x.jsonl", "--days", "40000"), "after the year 2099"),
        (("--out", "x.jsonl", "--accounts", "0"), "--accounts 0"),
        (("--out", "x.jsonl", "--seed", "-1"), "--seed -1"),
        (("--out", "x.jsonl", "--tempo", "-2"), "--tempo -2"),
        (("--out", "x.jsonl", "--start", "yesterday"), "--start 'yesterday': write RFC 3339"),
        (("--out", "x.jsonl", "--start", "1999-01-01T00:00:00Z"), "2000 is the earliest"),
        (("--out", "x.jsonl", "--world", "A b"), "--world 'A b'"),
        (("--out", "x.jsonl", "--report", "none/r.json"), "--report none/r.json"),
        (("--send", "--world", "live"), "--world live: these events are history"),
        (("--out", "x.jsonl", "--world", "handbook", "--tempo", "2"), "--tempo"),
        (("--out", "x.jsonl", "--world", "handbook", "--days", "1.5"), "--days 1.5"),
    ],
)
def test_bad_input_names_the_option_and_writes_nothing(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "risk.cli", "simulate", *words],
        env={**os.environ, "WEIR_HOME": str(tmp_path)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert list(folder.iterdir()) == []


def test_the_handbook_world(tmp_path: Path) -> None:
    out, report = tmp_path / "handbook.jsonl.zst", tmp_path / "report.json"
    words = ("--world", "handbook", "--seed", "7", "--days", "20", "--accounts", "200")
    done = weir(tmp_path, *words, "--out", str(out), "--report", str(report))
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    assert set(found["by_type"]) == {"payment", "label"}
    assert found["start"] == "2018-04-01T00:00:00.000Z"
    assert found["by_type"]["label"] == found["frauds"] > 0
    assert all(one["episodes"] is None for one in found["scenarios"].values())


@pytest.mark.services
async def test_a_world_is_sent_to_its_topics(tmp_path: Path, kafka: str) -> None:
    report = tmp_path / "report.json"
    world = "simulate-sent"
    done = weir(
        tmp_path, *SMALL, "--world", world, "--send", "--report", str(report), WEIR_KAFKA=kafka
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    assert (found["sent_to"], found["file"], found["rejected"]) == (f"world {world}", None, 0)
    topics = Topics(world)
    kinds: Counter[str] = Counter()
    consumer = AIOKafkaConsumer(
        topics.events, topics.labels, bootstrap_servers=kafka, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        while kinds.total() < found["events"]:
            batch = await consumer.getmany(timeout_ms=5_000)
            assert batch, f"{kinds.total()} of {found['events']} events are there"
            for records in batch.values():
                kinds.update(json.loads(record.value)["type"] for record in records)
    finally:
        await consumer.stop()
    assert dict(kinds) == found["by_type"]
