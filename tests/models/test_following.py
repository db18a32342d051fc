"""What judges follows the aliases; a refusal is said once, and MLflow may be away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from features.catalogue import FEATURE_NAMES, catalogue_digest
from features.local_memory import LocalMemory
from features.local_truth import LocalPublisher, LocalTruth
from features.vectors import vectors
from models.follow import Follower
from models.following import ModelFollowing
from models.names import CHALLENGER, CHAMPION
from models.signature import ModelKeys
from models.source import Catalogue, ModelRef, ModelSource
from risk.bootstrap import new_judgement
from risk.domain.clock import Deadline, ManualClock
from risk.domain.decision import decode_decision
from risk.engine import Engine, Verdict
from risk.observability.metrics import Metrics
from risk.tables.load import exchange_rates
from tests.models.test_shadow import NOW_MS, payment
from tests.support.small_model import small_bundle

OURS = Catalogue(FEATURE_NAMES, catalogue_digest())


class Stand:
    """A process without MLflow, whose cache holds a model that it served before."""

    def __init__(self, place: Path, *, signed: bool = True) -> None:
        self.keys = ModelKeys(place / "keys")
        bundle = small_bundle(1)
        signature = self.keys.sign(bundle.digest) if signed else ""
        source = ModelSource("", "weir-risk", place / "cache", OURS, self.keys)
        bundle.write(place / "cache" / "bundles" / bundle.digest)
        ref = ModelRef(
            name="weir-risk", version="4", run_id="", bundle=bundle.digest, signature=signature
        )
        source.serve(ref, CHAMPION)
        self.metrics = Metrics()
        self.judgement = new_judgement(exchange_rates(None, "EUR"))
        self.following = ModelFollowing(
            Follower(source), Follower(source, CHALLENGER, optional=True), self.judgement,
            self.metrics,
        )  # fmt: skip


async def test_what_served_last_judges_again_without_mlflow(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    await stand.following.turn()
    held = stand.judgement.versions
    assert held.digests.model == small_bundle(1).model_digest
    assert stand.following.problem == ""
    assert stand.metrics.value("weir_model_loaded") == 1
    assert stand.metrics.value("weir_challenger_loaded") == 0
    await stand.following.turn()
    assert stand.judgement.versions is held


async def test_a_refused_model_is_said_once_and_judges_nothing(tmp_path: Path) -> None:
    stand = Stand(tmp_path, signed=False)
    for _ in range(3):
        await stand.following.turn()
    assert stand.judgement.versions.scoring is None
    assert stand.following.problem.startswith("champion refused: the model has no signature")
    assert stand.metrics.value("weir_models_refused_total", alias="champion") == 1
    assert stand.metrics.value("weir_model_loaded") == 0


async def test_a_note_that_cannot_be_written_does_not_stop_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand = Stand(tmp_path)
    (note,) = (tmp_path / "cache").glob("*.json")
    ref = note.read_bytes()
    note.unlink()
    note.mkdir()  # where the note should go, a folder stands
    (note / "kept").write_bytes(ref)
    source = ModelSource("", "weir-risk", tmp_path / "cache", OURS, stand.keys)
    follower = Follower(source)
    assert follower._take(
        ModelRef(
            name="weir-risk", version="4", run_id="", bundle=small_bundle(1).digest,
            signature=stand.keys.sign(small_bundle(1).digest),
        )
    )  # fmt: skip
    assert follower.scorer is not None
    assert "cannot be noted" in capsys.readouterr().out


async def test_payments_in_flight_are_judged_whole_while_the_model_changes(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    engine = Engine(
        LocalMemory(vectors), stand.judgement, LocalPublisher(LocalTruth()), stand.metrics
    )

    async def decide(batch: int) -> list[Verdict]:
        arrivals = [payment(batch * 10 + place) for place in range(10)]
        return await engine.handle(arrivals, Deadline(ManualClock(NOW_MS), 60_000))

    async def decided() -> list[Verdict]:
        verdicts: list[Verdict] = []
        for batch in range(200):
            verdicts += await decide(batch)
            await asyncio.sleep(0)
            if batch > 20 and switched.done():
                break
        return verdicts + await decide(999)

    switched = asyncio.create_task(stand.following.turn())
    verdicts = await decided()
    await switched
    named = [decode_decision(one.body) for one in verdicts]
    assert all(one.authoritative for one in verdicts)
    models = [one.evidence.digests.model for one in named if one.evidence is not None]
    assert set(models) <= {"", small_bundle(1).model_digest}
    assert models == sorted(models), "once it serves, it stays"
    for one, model in zip(named, models, strict=True):
        assert (one.score is not None) == (model != "")
    assert (await decide(1000))[0].body.count(small_bundle(1).model_digest.encode()) == 1
