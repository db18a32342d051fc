"""`weir rules performance` and `minimise` on a real broker, and what bad input is told."""

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
from risk.rules.book_file import dump_book, load_book
from risk.versions.store import VersionStore
from risk.versions.version import Version
from streams.control import Control
from streams.publish import KafkaPublisher
from streams.topics import Topics
from tests.support.proof_world import RATES, publish, story
from tests.support.rule_story import BUSY
from tests.support.small_model import small_bundle

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]
WORLD = "rule-performance"


def run(kafka: str, home: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    report = home / "report.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "risk.cli", "rules", *words, "--report", str(report)]
    environment = {**os.environ, "WEIR_HOME": str(home), "WEIR_KAFKA": kafka, "WEIR_WORLD": WORLD}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = json.loads(report.read_bytes()) if report.exists() else {}
    return done.returncode, found, done.stdout + done.stderr


async def test_both_commands_find_versions_on_the_topic(kafka: str, tmp_path: Path) -> None:
    records, topics, bundle = story(31, 250, book=BUSY), Topics(WORLD), small_bundle()
    await publish(kafka, topics, records)
    async with KafkaPublisher(kafka, topics) as publisher:
        control = Control(kafka, topics, VersionStore(tmp_path / "other"), publisher)
        body = msgspec.json.encode(BUSY, order="sorted")
        await control.publish([*shipped_versions(RATES, 1), Version.of("book", body, "ana", 1)])
        await control.close()
    code, told, text = run(kafka, tmp_path, "performance", "--label-delay-days", "0")
    assert code == 0, text
    decided = {one.value for one in records if one.topic == "decisions" and one.value}
    assert (told["payments"], told["recomputed"], told["differing"]) == (
        len(decided), len(decided), 0,
    )  # fmt: skip
    assert {one["rule"]: one["hits"] for one in told["rules"]}["watch_french"] > 0
    assert "never is dead" in text

    file, smaller = tmp_path / "busy.yaml", tmp_path / "smaller.yaml"
    file.write_text(dump_book(BUSY), encoding="utf-8")
    code, _, text = run(kafka, tmp_path, "minimise", str(file))
    assert (code, "model" in text) == (2, True), text  # nothing can be judged without the model
    bundle.write(tmp_path / "cache" / "models" / "bundles" / bundle.digest)
    code, told, text = run(kafka, tmp_path, "minimise", str(file), "--out", str(smaller))
    assert code == 0, text
    assert told["verified"] == {
        "payments": len(decided), "equal": len(decided), "different": 0, "first_different": "",
    }  # fmt: skip
    assert load_book(smaller.read_text(encoding="utf-8")).digest() == told["proposed_digest"]
    assert told["rules_after"] < told["rules_before"]

    code, _, text = run(kafka, tmp_path, "performance", "--from", "yesterday")
    assert (code, "--from" in text) == (2, True), text
    code, _, text = run(kafka, tmp_path, "performance", "--to", "2001-01-01T00:00:00Z")
    assert (code, "nothing that can be counted" in text) == (2, True), text
    file.write_text("rules: 3", encoding="utf-8")
    code, _, text = run(kafka, tmp_path, "minimise", str(file))
    assert code == 2, text
