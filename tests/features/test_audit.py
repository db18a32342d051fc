"""An audit names every event that made a value, and leaks name records from the future."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence

import msgspec
import pytest

from features.audit import Audit, AuditReport, examine
from features.catalogue import CATALOGUE, FEATURE_NAMES
from features.leaks import Leaks, LeaksReport, search
from features.proof.history import HistoryRecord
from features.records import Facts, pack, unpack
from risk.domain.decision import decode_decision, encode_decision
from risk.domain.errors import BadConfiguration
from risk.domain.limits import TIME_MS_MAX
from risk.domain.times import parse_rfc3339, rfc3339
from tests.support.dense import dense_case
from tests.support.proof_world import ListHistory, story, to_base

NEWER = "newer than the payment by more than 5 s"


@pytest.fixture(scope="module")
def whole() -> list[HistoryRecord]:
    return story(21, 700)


async def audit(records: Sequence[HistoryRecord], payment_id: str, name: str) -> AuditReport:
    history = ListHistory(records)
    return await examine(history, Audit(history.extent, to_base, payment_id, name))


async def leaks(records: Sequence[HistoryRecord]) -> LeaksReport:
    history = ListHistory(records)
    return await search(history, Leaks(history.extent, to_base, 0, TIME_MS_MAX - 1))


def _payments(records: Sequence[HistoryRecord]) -> list[str]:
    bodies = [one.value for one in records if one.topic == "decisions" and one.value]
    return [decode_decision(body).payment_id for body in bodies]


def test_records_unpack_to_what_was_packed() -> None:
    rng = random.Random(1)
    for _ in range(200):
        case = dense_case(rng)
        for kind, log in case.logs.items():
            for of in log.entries:
                if of is not None:
                    assert _without_own(of, kind) == unpack(pack(of, kind), kind)


def _without_own(of: Facts, kind: str) -> Facts:
    own = {"account": 0, "card": 1, "device": 2, "ip": 3, "merchant": 4, "beneficiary": 4}[kind]
    hashes = [0 if role == own else value for role, value in enumerate(of.hashes)]
    return of._replace(hashes=tuple(hashes))  # type: ignore[arg-type]  # five


async def test_counted_records_make_the_value(whole: list[HistoryRecord]) -> None:
    payments = _payments(whole)
    checked = 0
    for payment_id in (payments[3], payments[200], payments[-1]):
        for name in ("account_payments_24h", "card_declines_24h", "account_logins_24h"):
            found = await audit(whole, payment_id, name)
            assert found.equal
            (step,) = found.steps
            if found.rebuilt is None:
                assert found.records == []
                continue
            counted = [one for one in found.records if one.counted_in]
            assert len(counted) == found.rebuilt
            assert all(one.counted_in == [step] and one.says for one in counted)
            checked += len(counted)
            for one in found.records:
                assert bool(one.counted_in) != bool(one.left_out)
    assert checked > 10


async def test_sums_are_the_sums_of_the_amounts(whole: list[HistoryRecord]) -> None:
    found = await audit(whole, _payments(whole)[150], "account_amount_sum_7d")
    assert found.equal
    said = [one.says for one in found.records if one.counted_in]
    euros = [one.amount_minor or 0 for one in said if one and one.currency == "EUR"]
    others = [one for one in said if one and one.currency != "EUR"]
    assert found.served is not None
    assert sum(euros) <= found.served <= sum(euros) + sum(one.amount_minor or 0 for one in others)
    assert len(said) > 5


async def test_what_tiles_add_is_told_so_that_the_list_adds_up() -> None:
    records = story(5, 1_500)
    payment_id = _payments(records)[-1]
    added = 0
    for name in ("account_payments_30d", "account_amount_sum_30d", "account_amount_max_30d"):
        found = await audit(records, payment_id, name)
        assert found.equal
        assert found.before_tail > 0
        counted = sum(bool(one.counted_in) for one in found.records)
        (step,) = found.steps
        # Those that count through tiles are named by what the topics say of them.
        assert found.folded_count == len(found.folded)
        assert all(one.counted_in == [step] for one in found.folded)
        if name == "account_payments_30d":
            assert found.rebuilt == counted + found.tiles[step]
            assert 0 < found.tiles[step] <= found.before_tail
            assert found.tiles[step] == found.folded_count
            told = {one.says.event_id: one.origin for one in found.folded}
            assert set(told) <= set(_payments(records))
            assert len(told) == found.folded_count
            for origin, body in (
                ((one.topic, one.partition, one.offset), one.value) for one in records if one.value
            ):
                event_id = next((of for of, at in told.items() if at == origin), None)
                assert event_id is None or decode_decision(body).payment_id == event_id
        if name == "account_amount_sum_30d":
            euros = [of.says.amount_minor or 0 for of in found.folded if of.says.currency == "EUR"]
            assert 0 < sum(euros) < found.tiles[step]
        (why,) = found.records[0].left_out.values()
        assert why.endswith("it counts through tiles")
        added += step in found.tiles
    assert added >= 2
    recent = await audit(records, payment_id, "account_payments_5m")
    assert (recent.tiles, recent.folded, recent.folded_count) == ({}, [], 0)
    assert not any("tiles" in why for one in recent.records for why in one.left_out.values())


async def test_what_is_left_out_says_why(whole: list[HistoryRecord]) -> None:
    reasons: set[str] = set()
    payments = _payments(whole)
    for payment_id in (payments[30], payments[250], payments[-1]):
        for name in ("account_payments_5m", "account_amount_sum_1h", "account_device_seen_30d"):
            if name in FEATURE_NAMES:
                found = await audit(whole, payment_id, name)
                for one in found.records:
                    reasons |= set(one.left_out.values())
    assert {"of another kind", "outside the window of 5m", NEWER} <= reasons
    late = await audit(whole, payments[-1], "account_payments_30d")
    first = min(one.sequence for one in late.records)
    if late.before_tail:
        (why,) = late.records[0].left_out.values()
        assert why.startswith("before the tail")
        assert first == max(0, late.before_tail - 20)


async def test_every_feature_can_be_audited(whole: list[HistoryRecord]) -> None:
    payment_id = _payments(whole)[-1]
    for spec in CATALOGUE[::7]:
        found = await audit(whole, payment_id, spec.name)
        assert found.equal, spec.name
        assert (found.steps == []) == (found.records == [] and not found.steps)


class _Closing(ListHistory):
    """A history in chunks of one record that counts the readings that are not closed."""

    def __init__(self, records: Sequence[HistoryRecord]) -> None:
        super().__init__(records, chunk=1)
        self.open = self.begun = 0

    async def chunks(self) -> AsyncGenerator[Sequence[HistoryRecord], None]:
        self.open += 1
        self.begun += 1
        try:
            async for chunk in super().chunks():
                yield chunk
        finally:
            self.open -= 1


async def test_who_leaves_a_history_early_closes_it(whole: list[HistoryRecord]) -> None:
    history = _Closing(whole[:40])
    payment_id = _payments(whole[:40])[-1]
    found = await examine(
        history, Audit(history.extent, to_base, payment_id, "account_payments_24h")
    )
    assert found.payment_id == payment_id
    assert (history.begun, history.open) == (2, 0)


async def test_unknown_names_are_refused(whole: list[HistoryRecord]) -> None:
    with pytest.raises(BadConfiguration, match="no authoritative decision on payment nobody"):
        await audit(whole, "nobody", "account_payments_24h")
    with pytest.raises(BadConfiguration, match="no feature 'nothing'"):
        await audit(whole, _payments(whole)[0], "nothing")


async def test_a_hole_is_a_place_without_a_record(whole: list[HistoryRecord]) -> None:
    payments = _payments(whole)
    gone = next(one for one in whole if one.value and payments[100].encode() in one.value[:60])
    left = [one for one in whole if one.value != gone.value]
    seen = decode_decision(gone.value).evidence
    assert seen is not None
    account = seen.positions[0].identifier
    after = next(
        name
        for name in payments[payments.index(payments[100]) + 1 :]
        if any(
            (of := decode_decision(one.value)).payment_id == name
            and of.evidence
            and of.evidence.positions[0].identifier == account
            and of.evidence.positions[0].sequence > seen.positions[0].sequence
            for one in left
            if one.topic == "decisions" and one.value
        )
    )
    found = await audit(left, after, "account_payments_30d")
    assert found.unprovable in ("HOLE", "PENDING")
    assert found.gap is not None
    assert "no record is known here" in {
        why for one in found.records for why in one.left_out.values()
    }


async def test_nothing_leaks(whole: list[HistoryRecord]) -> None:
    found = await leaks(whole)
    assert (found.verdict, found.leaking, found.unequal) == ("equal", 0, 0)
    assert found.checked == found.clean == len(_payments(whole))


async def test_a_record_from_the_future_is_named(whole: list[HistoryRecord]) -> None:
    place = next(
        number
        for number, one in enumerate(whole)
        if number > 100 and one.topic == "decisions" and one.value
    )
    old = whole[place].value
    decision = decode_decision(old)
    assert decision.evidence is not None
    # It says that it arrived a day later than those that saw it.
    later = rfc3339(parse_rfc3339(decision.decided_at) + 86_400_000)
    moved = msgspec.structs.replace(
        decision,
        decided_at=later,
        evidence=msgspec.structs.replace(decision.evidence, arrived_at=later),
    )
    new = encode_decision(moved)
    found = await leaks([one._replace(value=new) if one.value == old else one for one in whole])
    assert found.verdict == "different"
    assert found.leaking > 0
    assert found.first_leak is not None
    assert found.first_leak.says is not None
    assert found.first_leak.says.event_id == decision.payment_id
    assert found.first_leak.arrived_at == later


async def test_a_vector_of_other_records_is_named(whole: list[HistoryRecord]) -> None:
    place = next(
        number
        for number, one in enumerate(whole)
        if number > 100 and one.topic == "decisions" and one.value
    )
    old = whole[place].value
    decision = decode_decision(old)
    assert decision.evidence is not None
    assert decision.evidence.vector is not None
    vector = [7_777.0, *decision.evidence.vector[1:]]
    new = encode_decision(
        msgspec.structs.replace(
            decision, evidence=msgspec.structs.replace(decision.evidence, vector=vector)
        )
    )
    found = await leaks([one._replace(value=new) if one.value == old else one for one in whole])
    assert found.verdict == "different"
    assert found.first_unequal == decision.payment_id
