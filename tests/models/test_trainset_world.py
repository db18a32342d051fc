"""Training sets from what a world served: only proven vectors, each payment once, certified."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from features.proof.certificate import ParityReport
from features.proof.history import HistoryRecord
from models.trainset import MANIFEST_FILE, ROWS_FILE, Manifest, open_trainset
from models.trainset_events import Asked
from models.trainset_world import UNEQUAL, Means, write_from_world
from risk.domain.decision import decode_decision, encode_decision
from risk.domain.errors import BadConfiguration
from tests.support.memory import START_MS
from tests.support.proof_world import RATES, STEP_MS, ListHistory, OneModel, story, to_base

EVENTS = 400
WHOLE = Asked(None, None, 86_400_000)


class NoModel:
    """Has none."""

    def of(self, _model: str, _calibration: str) -> None:
        return None


@cache
def whole() -> tuple[HistoryRecord, ...]:
    return tuple(story(5, EVENTS))


async def write(
    records: Sequence[HistoryRecord],
    out: Path,
    asked: Asked = WHOLE,
    models: Any = None,
    **history: Any,
) -> tuple[Manifest, ParityReport]:
    read = ListHistory(records, **history)
    means = Means(to_base, models or OneModel(), RATES.digest())
    return await write_from_world({"kind": "world"}, (read, read), asked, means, out)


def decided() -> dict[str, Any]:
    found = [
        decode_decision(one.value) for one in whole() if one.topic == "decisions" and one.value
    ]
    return {one.payment_id: one for one in found}


async def test_every_proven_payment_has_one_row_with_what_was_served(tmp_path: Path) -> None:
    manifest, found = await write(whole(), tmp_path / "set")
    rows = open_trainset(tmp_path / "set").table().to_pylist()
    served = decided()
    assert found.verdict == "equal"
    assert found.checked > manifest.rows == len(rows) == len(served)  # some are published twice
    assert [row["arrived_at"] for row in rows] == sorted(row["arrived_at"] for row in rows)
    for row in rows:
        one = served[row["payment_id"]]
        assert (row["served_score"], row["served_outcome"]) == (one.score, one.outcome.value)
        vector = [row[name] for name in manifest.features]
        assert [None if math.isnan(value) else value for value in vector] == one.evidence.vector
    assert manifest.left_out == {}
    assert manifest.certificate is not None
    assert manifest.certificate["equal"] == found.equal == found.checked
    assert manifest.certificate["ranges"]
    assert manifest.frauds == sum(row["label"] for row in rows) > 0
    assert sorted(one.name for one in (tmp_path / "set").iterdir()) == [MANIFEST_FILE, ROWS_FILE]


async def test_bytes_do_not_depend_on_how_history_was_cut(tmp_path: Path) -> None:
    await write(whole(), tmp_path / "one", chunk=512)
    await write(whole(), tmp_path / "two", chunk=37)
    for name in (ROWS_FILE, MANIFEST_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


async def test_a_vector_that_differs_is_left_out_and_counted(tmp_path: Path) -> None:
    place = next(
        n for n, one in enumerate(whole()) if one.topic == "decisions" and one.value and n > 200
    )
    old = whole()[place].value
    decision = decode_decision(old)
    assert decision.evidence is not None
    assert decision.evidence.vector is not None
    vector = list(decision.evidence.vector)
    vector[3] = 12_345.0
    evidence = msgspec.structs.replace(decision.evidence, vector=vector)
    new = encode_decision(msgspec.structs.replace(decision, evidence=evidence))
    records = [one._replace(value=new) if one.value == old else one for one in whole()]
    manifest, found = await write(records, tmp_path / "set")
    held = open_trainset(tmp_path / "set").table(["payment_id"])["payment_id"].to_pylist()
    assert found.verdict == "different"
    assert decision.payment_id not in held
    assert len(held) == len(decided()) - 1
    assert manifest.left_out.keys() == {UNEQUAL}


async def test_a_hole_leaves_out_who_saw_it_and_no_others(tmp_path: Path) -> None:
    gone = next(n for n, one in enumerate(whole()) if one.topic == "ledger" and n > 150)
    records = [one for n, one in enumerate(whole()) if n != gone]
    manifest, found = await write(records, tmp_path / "set")
    assert found.verdict in ("unprovable", "different")
    assert 0 < manifest.rows < len(decided())
    assert sum(manifest.left_out.values()) == found.checked - found.equal
    assert set(manifest.left_out) <= {"HOLE", "PENDING"}  # the last hour may still come


async def test_a_model_that_is_not_at_hand_leaves_vectors_proven(tmp_path: Path) -> None:
    manifest, found = await write(whole(), tmp_path / "set", models=NoModel())
    assert found.unprovable == {"MODEL_UNKNOWN": found.checked}
    assert manifest.rows == len(decided())
    assert manifest.left_out == {}


async def test_a_range_takes_what_was_decided_in_it(tmp_path: Path) -> None:
    asked = Asked(START_MS + 100 * STEP_MS, START_MS + 200 * STEP_MS, 86_400_000)
    manifest, _ = await write(whole(), tmp_path / "set", asked)
    rows = open_trainset(tmp_path / "set").table(["arrived_at"])["arrived_at"].to_pylist()
    times = [round(row.timestamp() * 1000) for row in rows]
    assert asked.from_ms is not None
    assert asked.to_ms is not None
    assert asked.from_ms <= min(times)
    assert max(times) < asked.to_ms
    assert manifest.rows == len(rows) > 20


@pytest.mark.parametrize(
    ("asked", "history", "says"),
    [
        (Asked(START_MS, None, 0), {"cut_ms": START_MS + 5}, "removed by retention"),
        (Asked(1_000_000_000_000, 1_000_000_000_001, 0), {}, "no payments in this range"),
    ],
)
async def test_ranges_that_cannot_be_made_are_refused(
    asked: Asked, history: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(BadConfiguration, match=says):
        await write(whole(), tmp_path / "set", asked, **history)
    assert list(tmp_path.iterdir()) == []


async def test_a_world_without_decisions_or_without_proof_is_refused(tmp_path: Path) -> None:
    ledger = [one for one in whole() if one.topic == "ledger"]
    with pytest.raises(BadConfiguration, match="nothing was decided"):
        await write(ledger, tmp_path / "set")
    decisions = [one for one in whole() if one.topic == "decisions"]
    with pytest.raises(BadConfiguration, match="could be proven: HOLE"):
        await write(decisions, tmp_path / "set", Asked(START_MS + 300 * STEP_MS, None, 0))
