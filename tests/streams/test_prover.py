"""The prover looks at each decision once, goes on after an outage, and is loud where it fails."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import msgspec
import pytest

from features.proof.causes import CAUSES
from features.proof.history import HistoryRecord
from risk.bootstrap import Runtime, proof_note
from risk.domain.clock import ManualClock
from risk.domain.decision import decode_decision, encode_decision
from risk.domain.errors import Unavailable
from risk.domain.outcome import Outcome
from risk.domain.times import parse_rfc3339, rfc3339
from risk.observability.catalogue import PARITY_CAUSES
from risk.observability.metrics import Metrics
from risk.settings import Settings
from streams.prover import DAY_AFTER_MS, DAY_MS, Means, Prover
from streams.topics import Topics
from tests.features.test_judging import StoryVersions
from tests.support.memory import START_MS
from tests.support.proof_world import OneModel, publish, story, to_base

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]


def prover(kafka: str, world: str, metrics: Metrics) -> Prover:
    clock = ManualClock(START_MS)
    return Prover(kafka, Topics(world), Means(to_base, OneModel()), clock, metrics, 0)


def forged(records: Sequence[HistoryRecord], place: int) -> HistoryRecord:
    """A decision whose score has another last digit."""
    decision = decode_decision(records[place].value)
    assert decision.score is not None
    moved = math.nextafter(decision.score, 1)
    return records[place]._replace(
        value=encode_decision(msgspec.structs.replace(decision, score=moved))
    )


def scored(records: Sequence[HistoryRecord]) -> list[int]:
    return [n for n, one in enumerate(records) if one.topic == "decisions" and one.value]


async def test_each_decision_is_checked_once(kafka: str, tmp_path: Path) -> None:
    records, metrics, world = story(51, 400), Metrics(), "prover-once"
    await publish(kafka, Topics(world), records[:200])
    one = prover(kafka, world, metrics)
    first = await one.turn()
    assert first.judged + first.waiting == len(scored(records[:200]))
    assert (await one.turn()).judged == first.judged
    await publish(kafka, Topics(world), records[200:])
    last = await one.turn()
    assert last.judged == len(scored(records))
    assert (last.unequal, last.damaged, last.unprovable, last.waiting) == (0, 0, {}, 0)
    assert metrics.value("weir_parity_checked_total") == len(scored(records))
    assert metrics.value("weir_parity_unequal_total") == 0
    assert metrics.value("weir_parity_proven_seconds") == START_MS / 1000
    assert one.problem is None
    await one.note(tmp_path / "parity" / "note.json")
    note = json.loads((tmp_path / "parity" / "note.json").read_text())
    assert (note["verdict"], note["problem"]) == ("equal", "")


async def test_a_difference_is_loud(
    kafka: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records, metrics, world = story(52, 200), Metrics(), "prover-loud"
    place = scored(records)[-1]
    changed = [*records[:place], forged(records, place), *records[place + 1 :]]
    await publish(kafka, Topics(world), changed)
    one = prover(kafka, world, metrics)
    state = await one.turn()
    assert state.unequal == metrics.value("weir_parity_unequal_total") == 1
    assert one.problem is not None
    note = proof_note(Settings(home=tmp_path, world=world))
    await one.note(note)
    first = json.loads(note.read_text())["certificate"]["first_difference"]
    assert first["feature"] == "score"
    # The API of this machine says it at /readyz.
    runtime = SimpleNamespace(settings=Settings(home=tmp_path, world=world))
    (part,) = Runtime._proof_parts(cast("Any", runtime))
    assert (part.part, part.state, part.reason) == ("parity", "degraded", one.problem)
    other = SimpleNamespace(settings=Settings(home=tmp_path, world="other"))
    assert Runtime._proof_parts(cast("Any", other)) == []
    assert (await one.turn()).unequal == 1  # it stays, and is not counted again
    assert metrics.value("weir_parity_unequal_total") == 1


async def test_a_decision_that_is_judged_otherwise_is_loud(kafka: str, tmp_path: Path) -> None:
    records, metrics, world = story(57, 120), Metrics(), "prover-judged"
    place = scored(records)[-1]
    decision = decode_decision(records[place].value)
    other = Outcome.BLOCK if decision.outcome != Outcome.BLOCK else Outcome.ALLOW
    forged = encode_decision(msgspec.structs.replace(decision, outcome=other))
    await publish(kafka, Topics(world), [*records[:place], *records[place + 1 :]])
    versions = StoryVersions()
    means = Means(to_base, OneModel(), versions)
    one = Prover(kafka, Topics(world), means, ManualClock(START_MS), metrics, 0)
    await one.turn()
    assert one.problem is None
    judged = metrics.value("weir_parity_judged_total", result="equal")
    assert judged == len(scored(records)) - 1
    await publish(kafka, Topics(world), [records[place]._replace(value=forged)])
    assert (await one.turn()).unequal == 0  # its vector and its score are right
    assert metrics.value("weir_parity_judged_total", result="unequal") == 1
    assert one.problem == "parity: 1 decisions are judged otherwise than published"
    assert versions.looks == 2
    await one.note(tmp_path / "note.json")
    note = json.loads((tmp_path / "note.json").read_text())
    assert note["verdict"] == "different"
    assert note["certificate"]["first_difference"]["feature"] == "outcome"
    found = note["certificate"]["judgements"]
    assert (found["checked"], found["equal"], found["unequal"]) == (judged + 1, judged, 1)


async def test_an_outage_of_kafka_is_made_up_for(kafka: str) -> None:
    records, metrics, world = story(53, 200), Metrics(), "prover-outage"
    await publish(kafka, Topics(world), records)
    one = prover("127.0.0.1:9", world, metrics)
    with pytest.raises(Unavailable):
        await one.turn()
    one._bootstrap = kafka
    assert (await one.turn()).judged == len(scored(records))


def test_every_cause_is_a_label() -> None:
    assert tuple(CAUSES) == PARITY_CAUSES


def test_the_process_says_what_differs_until_it_is_stopped(kafka: str, tmp_path: Path) -> None:
    records, world = story(54, 120), "prover-process"
    place = scored(records)[-1]
    changed = [*records[:place], *records[place + 1 :]]
    asyncio.run(publish(kafka, Topics(world), changed))
    command = [sys.executable, "-m", "risk.cli", "prove", "--world", world, "--every", "0.2"]
    environment = {
        **os.environ,
        "WEIR_HOME": str(tmp_path),
        "WEIR_KAFKA": kafka,
        "WEIR_MLFLOW": "",
    }
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen([*command, "--hours", "9000000"], env=environment, stderr=out)
    try:
        ready = tmp_path / "ready" / f"prove-{world}"
        until(ready.exists)
        address = re.search(r"http://\S+(?=/metrics)", log.read_text())
        assert address is not None
        assert httpx.get(f"{address[0]}/healthz").status_code == 200
        metrics = httpx.get(f"{address[0]}/metrics").text
        # The model of the story is nowhere: unprovable, and counted so.
        assert 'weir_parity_unprovable_total{cause="MODEL_UNKNOWN"}' in metrics
        vector = decode_decision(records[place].value).evidence
        assert vector is not None
        assert vector.vector is not None
        wrong = [999.0, *vector.vector[1:]]
        decision = msgspec.structs.replace(
            decode_decision(records[place].value),
            evidence=msgspec.structs.replace(vector, vector=wrong),
        )
        new = records[place]._replace(value=encode_decision(decision))
        asyncio.run(publish(kafka, Topics(world), [new]))
        until(lambda: httpx.get(f"{address[0]}/healthz").status_code == 503)
        assert "1 decisions differ" in httpx.get(f"{address[0]}/healthz").text
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
    assert code == 1
    assert "decisions differ from history" in log.read_text()


def until(done: Any) -> None:
    import time

    for _ in range(300):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it never came to that")


async def test_each_whole_day_gets_a_certificate_that_stays(kafka: str, tmp_path: Path) -> None:
    records, world = story(55, 150), "prover-days"
    await publish(kafka, Topics(world), records)
    clock = ManualClock(START_MS)
    one = Prover(kafka, Topics(world), Means(to_base, OneModel()), clock, Metrics(), 0)
    assert await one.note_day(tmp_path) is None  # it has only begun
    midnight_ms = (START_MS // DAY_MS + 1) * DAY_MS
    clock.advance(midnight_ms - START_MS + DAY_AFTER_MS)
    file = await one.note_day(tmp_path)
    assert file is not None
    assert file.name == f"{rfc3339(START_MS)[:10]}.json"
    note = json.loads(file.read_text())
    assert (note["verdict"], note["problem"]) == ("equal", "")
    of_day = [decode_decision(records[place].value).decided_at for place in scored(records)]
    assert (
        note["certificate"]["checked"] == sum(parse_rfc3339(at) < midnight_ms for at in of_day) > 50
    )
    assert note["certificate"]["to"] == rfc3339(midnight_ms)
    assert await one.note_day(tmp_path) is None  # once
    clock.advance(40 * DAY_MS)
    assert await one.note_day(tmp_path) is None  # nothing was decided
    assert list(tmp_path.iterdir()) == [file]


async def test_a_day_that_differs_is_loud(kafka: str, tmp_path: Path) -> None:
    records, world = story(56, 150), "prover-bad-day"
    place = scored(records)[-1]
    changed = [*records[:place], forged(records, place), *records[place + 1 :]]
    await publish(kafka, Topics(world), changed)
    clock = ManualClock(START_MS)
    one = Prover(kafka, Topics(world), Means(to_base, OneModel()), clock, Metrics(), 0)
    clock.advance((START_MS // DAY_MS + 1) * DAY_MS - START_MS + DAY_AFTER_MS)
    file = await one.note_day(tmp_path)
    assert file is not None
    assert json.loads(file.read_text())["verdict"] == "different"
    assert one.problem is not None
    assert one.problem.startswith(f"parity of {file.stem}: 1 decisions differ")
