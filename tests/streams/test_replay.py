"""`weir replay` on a real broker: the same bytes with no Redis and another version live."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from risk.bootstrap import shipped_versions
from risk.domain.decision import decode_decision
from risk.policy import Policy
from risk.versions.store import VersionStore
from risk.versions.version import Version
from streams.control import Control
from streams.publish import KafkaPublisher
from streams.topics import Topics
from tests.support.proof_world import RATES, publish, story
from tests.support.small_model import small_bundle

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]


def run(kafka: str, world: str, home: Path, payment: str) -> tuple[int, dict[str, Any], str]:
    report = home / "report.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "risk.cli", "replay", payment, "--report", str(report)]
    command += ["--world", world, "--out", str(home / "again")]
    environment = {**os.environ, "WEIR_HOME": str(home), "WEIR_KAFKA": kafka}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = json.loads(report.read_bytes()) if report.exists() else {}
    return done.returncode, found, done.stdout + done.stderr


async def test_replay_finds_versions_on_the_topic_and_names_what_is_wrong(
    kafka: str, tmp_path: Path
) -> None:
    records, world = story(78, 60), "replay-e2e"
    topics, bundle = Topics(world), small_bundle()
    await publish(kafka, topics, records)
    async with KafkaPublisher(kafka, topics) as publisher:
        control = Control(kafka, topics, VersionStore(tmp_path / "other"), publisher)
        await control.publish(shipped_versions(RATES, 1))
        other = msgspec.json.encode(Policy(review_at=0.2), order="sorted")
        await control.set_live(Version.of("policy", other, "ana", 2), author="ana", at_ms=2)
        await control.close()
    model = tmp_path / "cache" / "models" / "bundles" / bundle.digest
    bundle.write(model)
    body = next(one.value for one in reversed(records) if one.topic == "decisions" and one.value)
    decision = decode_decision(body)
    assert decision.evidence is not None

    code, told, text = run(kafka, world, tmp_path, decision.payment_id)
    assert (code, told.get("verdict"), told.get("vector")) == (0, "equal", "equal"), text
    assert told["digest_stored"] == told["digest_replayed"]
    assert (tmp_path / "again").read_bytes() == body

    code, _, text = run(kafka, world, tmp_path, "nobody")
    assert (code, "no decision on payment nobody" in text) == (2, True), text

    (model / "model.txt").rename(tmp_path / "aside")
    code, told, text = run(kafka, world, tmp_path, decision.payment_id)
    assert (code, told["verdict"], told["missing"][0][:6]) == (4, "unprovable", "model "), text

    book = tmp_path / "versions" / "book" / decision.evidence.digests.book
    whole = book.read_bytes()
    half = len(whole) // 2
    book.write_bytes(whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :])
    code, _, text = run(kafka, world, tmp_path, decision.payment_id)
    assert (code, str(book) in text) == (1, True), text
