"""The walk of one payment, on the twins of Redis and Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES
from features.local_memory import LocalMemory
from features.local_truth import LocalPublisher, LocalTruth
from features.vectors import vectors
from models.explain import Contribution
from risk.bootstrap import new_judgement
from risk.domain.clock import Deadline, ManualClock, SystemClock
from risk.domain.decision import decode_decision, decode_ledger
from risk.domain.decoding import canonical
from risk.domain.errors import DeadlineExceeded, StaleEpoch
from risk.domain.event import Login, Payment
from risk.domain.observation import (
    Arrival,
    Claimed,
    Delivery,
    Lost,
    Observed,
    Publication,
    Receipt,
    Stored,
)
from risk.domain.outcome import Outcome
from risk.domain.times import from_ms
from risk.engine import Engine
from risk.judgement import Judgement
from risk.observability.metrics import Metrics
from risk.tables.load import exchange_rates

NOW_MS = 1_780_000_000_000


class FixedScoring:
    """Scores every payment the same, as a model that loads and never moves."""

    model_digest = "m" * 64
    calibration_digest = "c" * 64

    def __init__(self, value: float) -> None:
        self._value = value

    def score(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.full(len(matrix), self._value)

    def reasons(self, matrix: NDArray[np.float64]) -> list[list[Contribution]]:
        return [[Contribution(FEATURE_NAMES[0], float(row[0]), 1.0)] for row in matrix]


class StumblingMemory(LocalMemory):
    """Loses its epoch once, after a named step took effect, as a Redis restart would."""

    def __init__(self, stumble_at: str) -> None:
        super().__init__(vectors)
        self._stumble_at = stumble_at
        self.recoveries = 0

    def _stumble(self, step: str) -> None:
        if step == self._stumble_at:
            self._stumble_at = ""
            raise StaleEpoch("restarted")

    async def observe(
        self, arrivals: Sequence[Arrival], windows: tuple[str, ...] = ()
    ) -> list[Observed]:
        found = await super().observe(arrivals, windows)
        self._stumble("observe")
        return found

    async def decide(self, publications: Sequence[Publication]) -> list[Stored | Receipt]:
        found = await super().decide(publications)
        self._stumble("decide")
        return found

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        await super().acknowledge(deliveries)
        self._stumble("acknowledge")

    async def recover(self) -> None:
        self.recoveries += 1


class Parts:
    """An engine and what stands around it."""

    def __init__(self, memory: LocalMemory | None = None, score: float | None = 0.01) -> None:
        self.truth = LocalTruth()
        self.memory = memory or LocalMemory(vectors)
        self.metrics = Metrics()
        self.judgement = judgement(score)
        self.engine = Engine(self.memory, self.judgement, LocalPublisher(self.truth), self.metrics)
        self.clock = ManualClock(NOW_MS)

    def deadline(self) -> Deadline:
        return Deadline(self.clock, 60_000)

    def published(self, topic: str) -> list[bytes]:
        return [
            record.value
            for place, records in self.truth.partitions.items()
            for record in records
            if place.topic == topic and not record.marker
        ]


def judgement(score: float | None) -> Judgement:
    made = new_judgement(exchange_rates(None, "EUR"))
    held = made.versions
    scoring = None if score is None else FixedScoring(score)
    made.versions = made.constants.versions(scoring, held.rules, held.policy)
    return made


def an_arrival(number: int, door: Any = "http", **fields: Any) -> Arrival:
    event = canonical(
        Payment(
            **{
                "id": f"pay_{number}",
                "occurred_at": from_ms(NOW_MS + number * 1000),
                "account": "acc_1",
                "card": "tok_1",
                "merchant": "mer_1",
                "amount_minor": 1000 + number,
                "currency": "EUR",
                **fields,
            }
        )
    )
    return Arrival(
        event.event, event.body, event.fingerprint, door, NOW_MS + number * 1000, 1000 + number
    )


async def test_a_payment_is_decided_published_and_acknowledged() -> None:
    parts = Parts()
    (verdict,) = await parts.engine.decide([an_arrival(1)], parts.deadline())
    assert parts.published("decisions") == [verdict.body]
    decision = decode_decision(verdict.body)
    assert decision.outcome is verdict.outcome is Outcome.ALLOW
    assert decision.score == 0.01
    assert decision.evidence is not None
    assert bytes(decision.evidence.event) == an_arrival(1).body
    assert [place.kind for place in decision.evidence.positions] == ["account", "card", "merchant"]
    assert len(decision.evidence.vector or []) == len(FEATURE_NAMES)
    assert isinstance(await parts.memory.look_up("main", "p:pay_1"), Receipt)
    assert parts.metrics.value("weir_decisions_total", door="http", outcome="allow") == 1
    assert parts.metrics.value("weir_decision_seconds_count", door="http") == 1


async def test_the_same_question_gets_the_same_bytes() -> None:
    parts = Parts()
    (first,) = await parts.engine.decide([an_arrival(1)], parts.deadline())
    parts.judgement.versions = judgement(0.99).versions
    (again,) = await parts.engine.decide([an_arrival(1)], parts.deadline())
    assert again.body == first.body
    assert again.repeated
    assert len(parts.published("decisions")) == 1


async def test_the_stream_does_not_read_back_what_it_published() -> None:
    parts = Parts()
    await parts.engine.decide([an_arrival(1, "stream")], parts.deadline())
    (again,) = await parts.engine.decide([an_arrival(1, "stream")], parts.deadline())
    assert (again.body, again.outcome, again.repeated) == (b"", Outcome.ALLOW, True)


async def test_other_content_under_the_same_id_changes_nothing() -> None:
    parts = Parts()
    await parts.engine.decide([an_arrival(1)], parts.deadline())
    (verdict,) = await parts.engine.decide([an_arrival(1, merchant="mer_2")], parts.deadline())
    assert verdict.mismatch
    assert len(parts.published("decisions")) == 1
    assert parts.metrics.value("weir_mismatches_total", door="http") == 1


@pytest.mark.parametrize(
    "score,outcome,code",
    [
        (0.01, Outcome.ALLOW, None),
        (0.2, Outcome.REVIEW, "MODEL_REVIEW"),
        (0.9, Outcome.BLOCK, "MODEL_BLOCK"),
        (None, Outcome.REVIEW, "NO_MODEL"),
    ],
)
async def test_outcomes_follow_the_score_and_a_missing_model_never_allows(
    score: float | None, outcome: Outcome, code: str | None
) -> None:
    parts = Parts(score=score)
    (verdict,) = await parts.engine.decide([an_arrival(1)], parts.deadline())
    decision = decode_decision(verdict.body)
    assert verdict.outcome is outcome
    codes = [reason.code for reason in decision.reasons]
    assert (code in codes) if code else codes == []
    assert ("MODEL_EXPLANATION" in codes) == (code in ("MODEL_REVIEW", "MODEL_BLOCK"))
    assert decision.degraded == (["no_model"] if score is None else [])


@pytest.mark.parametrize("step", ["observe", "decide", "acknowledge"])
async def test_a_restart_between_any_two_steps_leaves_one_decision(step: str) -> None:
    memory = StumblingMemory(step)
    parts = Parts(memory)
    arrivals = [an_arrival(number) for number in range(1, 4)]
    verdicts = await parts.engine.decide(arrivals, parts.deadline())
    assert memory.recoveries == 1
    bodies = set(parts.published("decisions"))
    assert bodies == {verdict.body for verdict in verdicts}
    assert len(bodies) == 3
    assert parts.metrics.value("weir_stale_epochs_total") == 1


async def test_what_was_observed_under_another_epoch_is_not_decided() -> None:
    class Moving(LocalMemory):
        """The other door waits for recovery on the same memory while this one judges."""

        observed = 0

        async def observe(
            self, arrivals: Sequence[Arrival], windows: tuple[str, ...] = ()
        ) -> list[Observed]:
            found = await super().observe(arrivals, windows)
            self.observed += 1
            if self.observed == 1:
                self._epoch += 1
            return found

    memory = Moving(vectors)
    parts = Parts(memory)
    (verdict,) = await parts.engine.decide([an_arrival(1)], parts.deadline())
    assert memory.observed == 2
    assert parts.published("decisions") == [verdict.body]
    assert parts.metrics.value("weir_stale_epochs_total") == 1


async def test_an_explanation_says_which_feature_is_missing() -> None:
    class Unlocated(FixedScoring):
        def reasons(self, matrix: NDArray[np.float64]) -> list[list[Contribution]]:
            name = next(FEATURE_NAMES[at] for at in np.flatnonzero(np.isnan(matrix[0])))
            return [[Contribution(name, float("nan"), 1.0)] for _ in matrix]

    parts = Parts(score=0.99)
    held = parts.judgement.versions
    parts.judgement.versions = parts.judgement.constants.versions(
        Unlocated(0.99), held.rules, held.policy
    )
    (verdict,) = await parts.engine.decide([an_arrival(1)], parts.deadline())
    (told,) = (
        reason.sentence
        for reason in decode_decision(verdict.body).reasons
        if reason.code == "MODEL_EXPLANATION"
    )
    assert told.endswith(" is missing.")


async def test_batches_of_any_size_give_the_same_decisions() -> None:
    arrivals = [an_arrival(number) for number in range(20)]
    together, alone = Parts(), Parts()
    batch = await together.engine.decide(arrivals, together.deadline())
    single = [(await alone.engine.decide([arrival], alone.deadline()))[0] for arrival in arrivals]
    assert [one.body for one in batch] == [one.body for one in single]


async def test_lost_features_are_said_and_go_to_review() -> None:
    parts = Parts()
    seen = (await parts.memory.observe([an_arrival(1)]))[0]
    assert isinstance(seen, Claimed)
    lost = Lost(seen.positions[0], seen.positions)
    (judged,) = parts.judgement.judge([(an_arrival(1), lost)])
    decision = decode_decision(judged.body)
    assert decision.outcome is Outcome.REVIEW
    assert "no_features" in decision.degraded
    assert decision.evidence is not None
    assert decision.evidence.vector is None
    assert decision.evidence.features_lost == seen.positions[0]


async def test_no_rate_goes_to_review() -> None:
    parts = Parts()
    arrival = an_arrival(1)
    unknown = Arrival(
        arrival.event, arrival.body, arrival.fingerprint, "http", arrival.arrived_at_ms, None
    )
    (verdict,) = await parts.engine.decide([unknown], parts.deadline())
    decision = decode_decision(verdict.body)
    assert decision.outcome is Outcome.REVIEW
    assert decision.degraded == ["no_rate"]
    assert decision.expected_cost is None


async def test_a_mixed_batch_keeps_its_order() -> None:
    parts = Parts()
    login = canonical(Login(id="log_1", occurred_at=from_ms(NOW_MS + 2000), account="acc_1"))
    between = Arrival(login.event, login.body, login.fingerprint, "stream", NOW_MS, None)
    await parts.engine.handle([an_arrival(1), between, an_arrival(3)], parts.deadline())
    places = [
        place.sequence
        for body in (*parts.published("ledger"), *parts.published("decisions"))
        for place in (
            decode_ledger(body).positions
            if b'"event_id"' in body[:20]
            else (decode_decision(body).evidence or pytest.fail("no evidence")).positions
        )
        if place.kind == "account"
    ]
    assert sorted(places) == [0, 1, 2]
    assert decode_ledger(parts.published("ledger")[0]).positions[0].sequence == 1


async def test_activity_goes_to_the_ledger_with_its_places() -> None:
    parts = Parts()
    event = canonical(
        Login(id="log_1", occurred_at=from_ms(NOW_MS), account="acc_1", device="dev_1")
    )
    arrival = Arrival(event.event, event.body, event.fingerprint, "stream", NOW_MS, None)
    assert await parts.engine.remember([arrival], parts.deadline()) == [True]
    assert await parts.engine.remember([arrival], parts.deadline()) == [True]
    (body,) = parts.published("ledger")
    record = decode_ledger(body)
    assert (record.record, record.pending) == ("login", False)
    assert [place.kind for place in record.positions] == ["account", "device"]
    other = canonical(Login(id="log_1", occurred_at=from_ms(NOW_MS), account="acc_2"))
    changed = Arrival(other.event, other.body, other.fingerprint, "stream", NOW_MS, None)
    assert await parts.engine.remember([changed], parts.deadline()) == [False]
    assert parts.metrics.value("weir_remembered_total", door="stream") == 2
    assert parts.metrics.value("weir_mismatches_total", door="stream") == 1


async def test_the_fallback_is_published_and_not_authoritative() -> None:
    parts = Parts()
    (verdict,) = await parts.engine.fall_back([an_arrival(1)])
    decision = decode_decision(verdict.body)
    assert verdict.authoritative is decision.authoritative is False
    assert decision.outcome is Outcome.REVIEW
    assert decision.degraded == ["fallback"]
    assert parts.published("decisions") == [verdict.body]
    assert parts.metrics.value("weir_degraded_total", door="http", step="fallback") == 1
    (final,) = await parts.engine.decide([an_arrival(1)], parts.deadline())
    assert decode_decision(final.body).authoritative


async def test_the_fallback_is_answered_although_kafka_is_away() -> None:
    class Away(LocalPublisher):
        async def publish(self, publications: Sequence[Publication], epoch: int) -> list[Delivery]:
            await asyncio.sleep(60)
            raise AssertionError("nobody waits that long")

    parts = Parts()
    engine = Engine(parts.memory, parts.judgement, Away(parts.truth), parts.metrics)
    (verdict,) = await engine.fall_back([an_arrival(1)])
    assert not verdict.authoritative
    assert parts.metrics.value("weir_decisions_unpublished_total", door="http") == 1


async def test_a_spent_deadline_is_an_error_and_loses_nothing() -> None:
    parts = Parts()
    spent = Deadline(parts.clock, 0)
    with pytest.raises(DeadlineExceeded):
        await _slow(parts).decide([an_arrival(1)], spent)
    (verdict,) = await parts.engine.decide([an_arrival(1)], parts.deadline())
    assert verdict.outcome is Outcome.ALLOW


async def test_a_broken_receipt_is_not_answered() -> None:
    parts = Parts()
    await parts.engine.decide([an_arrival(1)], parts.deadline())
    for records in parts.truth.partitions.values():
        for place, record in enumerate(records):
            changed = record.value.replace(b"allow", b"block")
            records[place] = type(record)(
                record.offset, record.epoch, record.marker, record.key, changed
            )
    (verdict,) = await parts.engine.decide([an_arrival(1)], parts.deadline())
    assert (verdict.body, verdict.unread) == (b"", True)


async def test_an_old_answer_that_cannot_be_read_does_not_delay_a_new_one() -> None:
    class Unreadable(LocalPublisher):
        async def read(self, topic: str, partition: int, offset: int) -> bytes | None:
            await asyncio.sleep(60)
            raise AssertionError("nobody waits that long")

    parts = Parts()
    await parts.engine.decide([an_arrival(1)], parts.deadline())
    engine = Engine(parts.memory, parts.judgement, Unreadable(parts.truth), parts.metrics)
    deadline = Deadline(SystemClock(), 1_000)
    old, new = await engine.decide([an_arrival(1), an_arrival(2)], deadline)
    assert not deadline.spent()
    assert (old.unread, old.outcome, old.body) == (True, Outcome.ALLOW, b"")
    assert (new.unread, new.authoritative) == (False, True)
    assert decode_decision(new.body).payment_id == "pay_2"


def _slow(parts: Parts) -> Engine:
    """An engine whose memory waits longer than any deadline of zero."""

    class Sleeper(LocalMemory):
        async def observe(
            self, arrivals: Sequence[Arrival], windows: tuple[str, ...] = ()
        ) -> list[Observed]:
            await asyncio.sleep(1)
            return await super().observe(arrivals, windows)

    return Engine(Sleeper(vectors), parts.judgement, LocalPublisher(parts.truth), parts.metrics)
