"""The challenger scores the same vectors after the answer, and is never waited for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from features.local_memory import LocalMemory
from features.local_truth import LocalPublisher, LocalTruth
from features.vectors import vectors
from models.shadow import BATCH_ROWS, Shadow, ShadowBatch
from risk.bootstrap import new_judgement
from risk.domain.clock import Deadline, ManualClock
from risk.domain.decision import decode_decision
from risk.domain.decoding import canonical
from risk.domain.errors import Unavailable
from risk.domain.event import Login, Payment
from risk.domain.observation import Arrival
from risk.domain.times import from_ms
from risk.engine import Engine, Verdict
from risk.observability.metrics import Metrics
from risk.tables.load import exchange_rates
from tests.support.small_model import small_bundle

NOW_MS = 1_780_000_000_000


class Stand:
    """An engine whose champion is model 1, with model 2 in its shadow."""

    def __init__(self, challenger: int | None = 2, rows_max: int = 1_000) -> None:
        self.kept: list[ShadowBatch] = []
        self.metrics = Metrics()
        self.challenger = None if challenger is None else small_bundle(challenger).scorer()
        self.away = False
        self.shadow = Shadow(lambda: self.challenger, self._keep, self.metrics, rows_max)
        judgement = new_judgement(exchange_rates(None, "EUR"))
        held, made = judgement.versions, judgement.constants.versions
        judgement.versions = made(small_bundle(1).scorer(), held.rules, held.policy)
        publisher = LocalPublisher(LocalTruth())
        memory = LocalMemory(vectors)
        self.engine = Engine(memory, judgement, publisher, self.metrics, self.shadow)

    async def _keep(self, batches: Sequence[bytes]) -> None:
        if self.away:
            raise Unavailable("kafka", "away")
        self.kept += [msgspec.json.decode(one, type=ShadowBatch) for one in batches]

    async def handle(self, *arrivals: Arrival) -> list[Verdict]:
        return await self.engine.handle(arrivals, Deadline(ManualClock(NOW_MS), 60_000))

    def value(self, name: str) -> float:
        return self.metrics.value(name)


def payment(number: int) -> Arrival:
    event = canonical(
        Payment(
            id=f"pay_{number}", occurred_at=from_ms(NOW_MS + number), account=f"acc_{number % 7}",
            card="tok_1", merchant="mer_1", amount_minor=1000 + number, currency="EUR",
            channel="ecom", country="DE",
        )
    )  # fmt: skip
    return Arrival(event.event, event.body, event.fingerprint, "stream", NOW_MS + number, 1000)


def login() -> Arrival:
    event = canonical(Login(id="log_1", occurred_at=from_ms(NOW_MS), account="acc_1"))
    return Arrival(event.event, event.body, event.fingerprint, "stream", NOW_MS, None)


async def test_it_scores_the_vectors_that_the_champion_scored() -> None:
    stand = Stand()
    verdicts = await stand.handle(*(payment(number) for number in range(20)), login())
    await stand.shadow.turn()
    (batch,) = stand.kept
    decided = [decode_decision(one.body) for one in verdicts[:20]]
    assert batch.payment_id == [one.payment_id for one in decided]
    assert batch.champion_score == [one.score for one in decided]
    matrix = np.array(
        [
            [np.nan if value is None else value for value in one.evidence.vector or ()]
            for one in decided
            if one.evidence is not None
        ]
    )
    assert batch.challenger_score == small_bundle(2).scorer().score(matrix).tolist()
    assert batch.champion == (small_bundle(1).model_digest, small_bundle(1).calibration_digest)
    assert batch.challenger[0] == small_bundle(2).model_digest
    assert (batch.channel[0], batch.country[0], batch.amount[0]) == ("ecom", "DE", 1000)
    assert stand.value("weir_shadow_scored_total") == 20


async def test_a_repeated_payment_is_told_once() -> None:
    stand = Stand()
    await stand.handle(payment(1))
    await stand.handle(payment(1))
    await stand.shadow.turn()
    assert [one.payment_id for one in stand.kept] == [["pay_1"]]


async def test_a_full_queue_leaves_out_and_counts() -> None:
    stand = Stand(rows_max=10)
    await stand.handle(*(payment(number) for number in range(8)))
    verdicts = await stand.handle(*(payment(number) for number in range(8, 16)))
    assert all(one.authoritative for one in verdicts)
    assert stand.value("weir_shadow_dropped_total") == 8
    await stand.shadow.turn()
    assert (len(stand.kept[0].payment_id), stand.kept[0].dropped) == (8, 8)
    await stand.handle(payment(20))
    await stand.shadow.turn()
    assert stand.kept[1].dropped == 0


async def test_what_kafka_does_not_take_is_counted_and_told_later() -> None:
    stand = Stand()
    stand.away = True
    await stand.handle(payment(1), payment(2))
    await stand.shadow.turn()
    assert stand.value("weir_shadow_dropped_total") == 2
    stand.away = False
    await stand.handle(payment(3))
    await stand.shadow.turn()
    assert [(one.payment_id, one.dropped) for one in stand.kept] == [(["pay_3"], 2)]


async def test_without_a_challenger_or_with_the_champion_as_one_nothing_is_kept() -> None:
    for challenger in (None, 1):
        stand = Stand(challenger)
        await stand.handle(payment(1))
        await stand.shadow.turn()
        assert stand.kept == []
        assert stand.value("weir_shadow_dropped_total") == 0


async def test_many_payments_become_several_records() -> None:
    stand = Stand(rows_max=5_000)
    await stand.handle(*(payment(number) for number in range(BATCH_ROWS + 3)))
    await stand.shadow.turn()
    assert [len(one.payment_id) for one in stand.kept] == [BATCH_ROWS, 3]
