"""What is served is watched: metrics by feature, once there is enough of it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np

from features.catalogue import FEATURE_NAMES
from features.local_memory import LocalMemory
from features.local_truth import LocalPublisher, LocalTruth
from features.vectors import vectors
from models.drift_reference import Reference, stored
from models.drift_watch import FEWEST, KEPT, DriftWatch
from risk.bootstrap import new_judgement
from risk.domain.clock import Deadline, ManualClock
from risk.domain.decision import LogPosition
from risk.domain.decoding import canonical
from risk.domain.event import Payment
from risk.domain.observation import Arrival, Claimed
from risk.domain.times import from_ms
from risk.engine import Engine
from risk.observability.metrics import Metrics
from risk.tables.load import exchange_rates
from tests.support.small_model import small_bundle

NOW_MS = 1_780_000_000_000


def payment(number: int) -> Arrival:
    event = canonical(
        Payment(
            id=f"pay_{number}", occurred_at=from_ms(NOW_MS + number), account="acc_1",
            amount_minor=100, currency="EUR",
        )
    )  # fmt: skip
    return Arrival(event.event, event.body, event.fingerprint, "stream", NOW_MS + number, 100)


class Stand:
    """A watch of model 1, with a reference where ``known``."""

    def __init__(self, *, known: bool = True) -> None:
        self.metrics = Metrics()
        self.asked: list[tuple[str, str]] = []
        self.known = known
        self.watch = DriftWatch(self._find, self.metrics)
        self.judgement = new_judgement(exchange_rates(None, "EUR"))
        held = self.judgement.versions
        scorer = small_bundle(1).scorer()
        self.judgement.versions = self.judgement.constants.versions(scorer, held.rules, held.policy)

    def _find(self, model: str, calibration: str) -> Reference | None:
        self.asked.append((model, calibration))
        return stored(small_bundle(1)) if self.known else None

    def see(self, count: int, value: float = 0.0) -> None:
        claim = Claimed(
            positions=(LogPosition("", "", 0, 0, 0, 0),),
            vector=np.full(len(FEATURE_NAMES), value),
            inexact=(),
        )
        self.watch.saw([(payment(0), claim, 0.5)] * count, self.judgement.versions)


async def test_what_the_engine_decides_is_measured_once_there_is_enough() -> None:
    stand = Stand()
    memory, publisher = LocalMemory(vectors), LocalPublisher(LocalTruth())
    engine = Engine(memory, stand.judgement, publisher, stand.metrics, stand.watch)
    for start in range(0, FEWEST, 50):
        assert not stand.asked
        await stand.watch.turn()
        await engine.handle(
            [payment(start + number) for number in range(50)],
            Deadline(ManualClock(NOW_MS), 60_000),
        )
    await stand.watch.turn()
    digests = stand.judgement.versions.digests
    assert stand.asked == [(digests.model, digests.calibration)]
    # One account that pays and pays is nothing that the simulator's people did.
    name = "account_payments_24h"
    assert stand.metrics.value("weir_drift_psi", feature=name) > 0.2
    await stand.watch.turn()
    assert len(stand.asked) == 1, "a reference is read once"


async def test_a_model_without_a_reference_is_not_measured() -> None:
    stand = Stand(known=False)
    stand.see(FEWEST)
    await stand.watch.turn()
    assert stand.metrics.value("weir_drift_score_psi") == 0.0


async def test_only_the_newest_of_the_model_that_serves_are_kept() -> None:
    stand = Stand()
    stand.see(KEPT, value=1e9)
    stand.see(KEPT)
    await stand.watch.turn()
    near = stand.metrics.value("weir_drift_score_psi")
    assert near > 0.0
    versions = stand.judgement.versions
    stand.judgement.versions = replace(
        versions, digests=msgspec.structs.replace(versions.digests, model="x")
    )
    stand.see(FEWEST - 1)
    asked = len(stand.asked)
    await stand.watch.turn()
    assert len(stand.asked) == asked, "too few of the new model"
