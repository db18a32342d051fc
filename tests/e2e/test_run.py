"""`weir run` as a user starts it: real Kafka, Redis, MLflow, worker and API, in a new folder."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from risk.domain.decision import decode_decision, encode_decision
from risk.settings import Settings

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]
WEIR = (sys.executable, "-m", "risk.cli")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new state folder that shares only the caches of the set-up."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(
        Settings().state / "cache", folder / "cache", ignore=shutil.ignore_patterns("models")
    )
    return folder


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "WEIR_HOME": str(home)}


def weir(home: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*WEIR, *arguments],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def first_run(home: Path) -> dict[str, Any]:
    """The report of a run of 10 s that ends by itself; it also trains the first model."""
    report = home / "report.json"
    done = weir(home, "run", "--seconds", "10", "--rate", "50", "--report", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.fixture(scope="module")
def running(home: Path, first_run: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """A run that goes on until it is told to stop: (run.json, process)."""
    process = subprocess.Popen(
        [*WEIR, "run", "--rate", "20"],
        env=environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        ends = time.monotonic() + 90
        while not (home / "run.json").exists() or not _ready(home):
            assert process.poll() is None, "the run ended before it was ready"
            assert time.monotonic() < ends, "the run was not ready in 90 s"
            time.sleep(0.2)
        yield json.loads((home / "run.json").read_text()), process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def _ready(home: Path) -> bool:
    try:
        api = json.loads((home / "run.json").read_text())["api"]
        worker = (home / "ready" / "worker-0").exists()
        return worker and httpx.get(f"{api}/readyz", timeout=2).status_code == 200
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        return False


def payment(number: int, **fields: Any) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    return {
        "type": "payment",
        "id": f"order-{number}",
        "occurred_at": now,
        "account": "acc-e2e",
        "card": "tok-e2e",
        "merchant": "shop-3",
        "device": "dev-9",
        "amount_minor": 4999,
        "currency": "EUR",
        "channel": "ecom",
        **fields,
    }


def test_a_run_decides_every_payment_and_reports(first_run: dict[str, Any]) -> None:
    assert set(first_run) >= {
        "payments", "decisions", "outcomes", "per_s", "latency_ms", "dead_letters",
        "seconds_to_ready", "redis_bytes_per_payment",
    }  # fmt: skip
    assert first_run["payments"] > 300
    assert first_run["decisions"] == first_run["payments"]
    assert sum(first_run["outcomes"].values()) == first_run["payments"]
    assert first_run["dead_letters"] == 0
    assert set(first_run["latency_ms"]) == {"p50", "p99", "p999"}
    assert first_run["redis_bytes_per_payment"] > 0


def test_a_run_proves_and_archives_what_it_decides(home: Path, first_run: dict[str, Any]) -> None:
    parity, archive = first_run["parity"], first_run["archive"]
    assert parity["checked"] == parity["equal"] >= first_run["decisions"]
    assert (parity["unequal"], parity["damaged"], parity["unprovable"]) == (0, 0, {})
    assert archive["rows"] > first_run["decisions"]
    assert (archive["holes"], archive["damaged"], archive["missing"]) == (0, 0, 0)
    assert first_run["problems"] == []
    # Vector, event, places and digests of a decision, as the broker keeps them.
    assert 100 < first_run["evidence_bytes_per_decision"] <= 2_500
    verified = weir(home, "archive", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_run_file_is_private_and_a_second_start_exits_3(
    home: Path, running: tuple[dict[str, Any], Any]
) -> None:
    assert (home / "run.json").stat().st_mode & 0o777 == 0o600
    second = weir(home, "run", "--seconds", "1")
    assert second.returncode == 3
    assert "already runs" in second.stderr


def test_http_decides_repeats_and_refuses(running: tuple[dict[str, Any], Any]) -> None:
    record, _ = running
    headers = {"Authorization": f"Bearer {record['demo_key']}"}
    with httpx.Client(base_url=record["api"], headers=headers, timeout=10) as client:
        asked = payment(1)
        first = client.post("/v1/decisions", json=asked)
        assert first.status_code == 200, first.text
        assert first.json()["authoritative"] is True
        assert first.json()["score"] is not None, "the champion serves"
        assert client.post("/v1/decisions", json=asked).content == first.content
        assert client.get("/v1/decisions/order-1").json() == first.json()
        other = client.post("/v1/decisions", json={**asked, "amount_minor": 1})
        assert (other.status_code, other.json()["code"]) == (409, "PAYLOAD_MISMATCH")
        bad = client.post("/v1/decisions", json={**asked, "id": "order-2", "currency": "ZZZ"})
        assert (bad.status_code, bad.json()["code"]) == (422, "UNKNOWN_CURRENCY")
        assert httpx.post(f"{record['api']}/v1/decisions", json=asked).status_code == 401


def test_a_killed_worker_is_started_again(home: Path, running: tuple[dict[str, Any], Any]) -> None:
    record, process = running
    killed = record["pids"]["worker-0"]
    os.kill(killed, signal.SIGKILL)
    ends = time.monotonic() + 60
    while True:
        assert process.poll() is None, "the run ended with its worker"
        assert time.monotonic() < ends, "the worker did not come back in 60 s"
        now = json.loads((home / "run.json").read_text())["pids"]["worker-0"]
        if now != killed and (home / "ready" / "worker-0").exists():
            break
        time.sleep(0.2)


def test_a_killed_redis_is_started_again_and_decides(
    home: Path, running: tuple[dict[str, Any], Any]
) -> None:
    record, process = running
    os.kill(record["pids"]["redis"], signal.SIGKILL)
    headers = {"Authorization": f"Bearer {record['demo_key']}"}
    ends = time.monotonic() + 60
    number = 100
    with httpx.Client(base_url=record["api"], headers=headers, timeout=10) as client:
        while True:
            assert process.poll() is None, "the run ended with its Redis"
            assert time.monotonic() < ends, "no authoritative decision in 60 s"
            number += 1
            answer = client.post("/v1/decisions", json=payment(number))
            now = json.loads((home / "run.json").read_text())["pids"]["redis"]
            back = now != record["pids"]["redis"]
            if back and answer.status_code == 200 and answer.json()["authoritative"]:
                break
            time.sleep(0.5)
    # The decision from before the kill stands.
    first = client_get(record, "order-1")
    assert first["payment_id"] == "order-1"


def client_get(record: dict[str, Any], payment_id: str) -> dict[str, Any]:
    """The stored decision of a payment."""
    answer = httpx.get(
        f"{record['api']}/v1/decisions/{payment_id}",
        headers={"Authorization": f"Bearer {record['demo_key']}"},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_readiness_shows_the_proof(running: tuple[dict[str, Any], Any]) -> None:
    record, _ = running
    ends = time.monotonic() + 60
    while True:
        parts = httpx.get(f"{record['api']}/readyz", timeout=5).json()["parts"]
        states = {one["part"]: one["state"] for one in parts}
        if {"parity", "archive"} <= states.keys():
            break
        assert time.monotonic() < ends, parts
        time.sleep(0.5)
    assert states["parity"] == states["archive"] == "ready"


def test_a_killed_prover_and_archiver_are_started_again(
    home: Path, running: tuple[dict[str, Any], Any]
) -> None:
    _, process = running
    for name in ("archive", "prove"):
        killed = _pid(home, name)
        os.kill(killed, signal.SIGKILL)
        ends = time.monotonic() + 60
        while _pid(home, name) == killed:
            assert process.poll() is None, f"the run ended with its {name}"
            assert time.monotonic() < ends, f"{name} did not come back in 60 s"
            time.sleep(0.2)


def _pid(home: Path, name: str) -> int:
    pid: int = json.loads((home / "run.json").read_text())["pids"][name]
    return pid


def test_ctrl_c_stops_everything_in_ten_seconds(
    home: Path, running: tuple[dict[str, Any], Any]
) -> None:
    _, process = running
    record = json.loads((home / "run.json").read_text())
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert time.monotonic() - began < 10
    assert not (home / "run.json").exists()
    for pid in record["pids"].values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_tampered_record_fails_the_run(home: Path, running: tuple[dict[str, Any], Any]) -> None:
    """After the one before has ended: a run that finds a difference does not end well."""
    assert running[1].poll() is not None
    report = home / "tampered.json"
    run = subprocess.Popen(
        [*WEIR, "run", "--seconds", "12", "--rate", "20", "--report", str(report)],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    ends = time.monotonic() + 90
    while not (home / "run.json").exists() or not _ready(home):
        assert run.poll() is None and time.monotonic() < ends  # noqa: PT018
        time.sleep(0.2)
    kafka = json.loads((home / "run.json").read_text())["kafka"]
    payment_id = asyncio.run(_tamper(kafka))
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 1, said
    assert "1 decisions differ from history" in said
    found = json.loads(report.read_text())
    assert found["parity"]["unequal"] == 1
    assert len(found["problems"]) == 1
    note = json.loads((home / "parity" / "live.json").read_text())
    first = note["certificate"]["first_difference"]
    assert (first["payment_id"], first["served"]) == (payment_id, 12_345.0)
    assert first["rebuilt"] != 12_345.0


async def _tamper(kafka: str) -> str:
    """Publish a decision that was just made again, with another value in its vector."""
    async with (
        AIOKafkaConsumer("weir.decisions", bootstrap_servers=kafka) as consumer,
        AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer,
    ):
        async with asyncio.timeout(60):
            while True:
                one = await consumer.getone()
                if one.value and json.loads(one.value)["evidence"]["vector"]:
                    break
        decision = decode_decision(one.value)
        assert decision.evidence is not None
        assert decision.evidence.vector is not None
        wrong = msgspec.structs.replace(
            decision.evidence, vector=[12_345.0, *decision.evidence.vector[1:]]
        )
        body = encode_decision(msgspec.structs.replace(decision, evidence=wrong))
        await producer.send_and_wait(
            one.topic, body, one.key, one.partition, headers=list(one.headers)
        )
        return decision.payment_id
