"""`weir alerts tail` for people and programs, and what bad input is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from risk.alerts.alert import Alert, encode_alert
from risk.cli.alerts_tail import parse_since
from risk.domain.errors import BadConfiguration
from streams.admin import ensure_topics
from streams.alert_state import alerts_folder, held_state
from streams.publish import KafkaPublisher, Outgoing
from streams.topics import Topics
from tests.support.alerting import NOW_MS, alert

WEIR = (sys.executable, "-m", "risk.cli", "alerts")
DRIFT = msgspec.json.encode({
    "type": "drift", "at_ms": NOW_MS + 9_000, "model_digest": "d" * 64, "n": 5, "drifted": ["a"],
    "psi": {"a": 1.0}, "tenant": "main",
})  # fmt: skip


def environment(home: Path, kafka: str, world: str) -> dict[str, str]:
    return {
        **os.environ, "WEIR_HOME": str(home), "WEIR_KAFKA": kafka, "WEIR_WORLD": world,
        "COLUMNS": "80",
    }  # fmt: skip


def tail(home: Path, kafka: str, world: str, *given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*WEIR, "tail", *given],
        env=environment(home, kafka, world),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


async def publish(kafka: str, world: str, *bodies: bytes) -> None:
    topics = Topics(world)
    await ensure_topics(kafka, topics)
    async with KafkaPublisher(kafka, topics) as publisher:
        for number, body in enumerate(bodies):
            await publisher.deliver([Outgoing(topics.alerts, number % 2, b"k", body)])


def some(*alerts: Alert) -> list[bytes]:
    return [encode_alert(one) for one in alerts]


@pytest.mark.services
async def test_alerts_are_shown_oldest_first_each_once(kafka: str, tmp_path: Path) -> None:
    world = "tail-shown"
    bodies = some(
        alert(2, severity="high", sentence="[red]Often\x1b[2J."), alert(1, suppressed=3),
        alert(2, severity="high"), alert(3, severity="low", rule="other"),
    )  # fmt: skip
    await publish(kafka, world, *bodies, b"no alert", DRIFT)
    report = tmp_path / "report.json"
    since = ("--since", "2026-01-01T00:00:00Z")
    shown = tail(tmp_path, kafka, world, *since, "--report", str(report))
    assert shown.returncode == 0, shown.stderr
    text = " ".join(shown.stdout.split())
    places = [text.index(word) for word in ("pay_1", "pay_2", "pay_3", "drift")]
    assert places == sorted(places)
    assert "(+3 before)" in text
    assert len(shown.stdout.splitlines()) == 4  # one each, however narrow the terminal
    assert "\x1b[2J" not in shown.stdout
    assert "[red]Often" in text  # what stands in an alert is no markup
    found = json.loads(report.read_bytes())
    assert list(found) == [
        "world", "since", "severity", "rule", "shown", "by_severity", "by_rule", "alerts",
    ]  # fmt: skip
    assert (found["shown"], found["by_severity"]) == (4, {"medium": 2, "high": 1, "low": 1})
    lines = tail(tmp_path, kafka, world, *since, "--json", "--severity", "high").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [alert(2).id]
    only = tail(tmp_path, kafka, world, *since, "--json", "--rule", "other").stdout.splitlines()
    assert [json.loads(line)["rule"] for line in only] == ["other"]
    later = tail(tmp_path, kafka, world, "--since", alert(3).at, "--json").stdout.splitlines()
    assert len(later) == 2


@pytest.mark.services
async def test_following_goes_on_until_it_is_stopped(kafka: str, tmp_path: Path) -> None:
    world = "tail-follow"
    await publish(kafka, world, *some(alert(1)))
    report = tmp_path / "report.json"
    process = await asyncio.create_subprocess_exec(
        *WEIR, "tail", "--follow", "--json", "--since", "2026-01-01T00:00:00Z",
        "--report", str(report),
        env=environment(tmp_path, kafka, world), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(40):
        assert json.loads(await process.stdout.readline())["id"] == alert(1).id
        await publish(kafka, world, *some(alert(2)))
        assert json.loads(await process.stdout.readline())["id"] == alert(2).id
        process.send_signal(signal.SIGINT)
        await process.wait()
    assert json.loads(report.read_bytes())["shown"] == 2


def test_bad_input_is_named(tmp_path: Path) -> None:
    for given, said in (
        (("--severity", "grave"), "--severity 'grave': give one of low, medium, high, critical"),
        (("--since", "yesterday"), "--since 'yesterday': write 30m, 12h, 7d or 2026-01-31T12"),
    ):
        refused = tail(tmp_path, "127.0.0.1:9", "nowhere", *given)
        assert refused.returncode == 2
        assert said in refused.stderr


def test_a_second_publisher_ends_with_3(tmp_path: Path) -> None:
    with held_state(alerts_folder(tmp_path, "main-world")):
        done = subprocess.run(
            [*WEIR, "run"], env=environment(tmp_path, "127.0.0.1:9", "main-world"),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert "ALREADY_RUNNING: another process publishes the alerts of main-world" in done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30m", NOW_MS - 1_800_000), ("7d", NOW_MS - 7 * 86_400_000), ("999999d", 0),
     ("1970-01-01T00:00:01Z", 1_000)],
)  # fmt: skip
def test_since_when(text: str, expected: int) -> None:
    assert parse_since(text, NOW_MS) == expected


@pytest.mark.parametrize("text", ["", "0m", "m", "30", "2026-01-01", "1y"])
def test_since_no_time(text: str) -> None:
    with pytest.raises(BadConfiguration, match="--since"):
        parse_since(text, NOW_MS)
