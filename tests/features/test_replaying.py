"""The decision on one payment is found in a history, with the vector that history makes."""

from __future__ import annotations

import msgspec

from features.proof.causes import CATALOGUE_OLDER
from features.proof.history import HistoryRecord
from features.replaying import Replayable, Search, search
from risk.domain.decision import decode_decision, encode_decision
from risk.replay import evidence_of
from tests.support.proof_world import ListHistory, story, to_base

RECORDS = story(77, 160)
DECIDED = [one for one in RECORDS if one.topic == "decisions" and one.value]


async def found(history: ListHistory, payment_id: str) -> Replayable | None:
    return await search(history, Search(history.extent, to_base, "main", payment_id))


async def test_each_decision_is_found_with_its_bytes_and_its_vector() -> None:
    for one in DECIDED[::9]:
        seen = await found(ListHistory(RECORDS), decode_decision(one.value).payment_id)
        assert seen is not None
        assert (seen.body, seen.vector, seen.cause) == (one.value, "equal", "")


async def test_an_older_catalogue_and_another_value_are_told() -> None:
    body = DECIDED[40].value
    decision = decode_decision(body)
    digest = evidence_of(decision).digests.catalogue.encode()
    older = body.replace(digest, b"0" * 64)
    records = [one._replace(value=older) if one.value == body else one for one in RECORDS]
    seen = await found(ListHistory(records), decision.payment_id)
    assert seen is not None
    assert (seen.body, seen.vector, seen.cause) == (older, "unprovable", CATALOGUE_OLDER)


def changed(old: HistoryRecord, **fields: object) -> list[HistoryRecord]:
    """The history where the decision in one record has other fields."""
    new = encode_decision(msgspec.structs.replace(decode_decision(old.value), **fields))
    return [one._replace(value=new) if one.value == old.value else one for one in RECORDS]


async def test_a_vector_that_history_does_not_make_is_different() -> None:
    decision = decode_decision(DECIDED[40].value)
    evidence = evidence_of(decision)
    assert evidence.vector is not None
    other = msgspec.structs.replace(evidence, vector=[7_777.0, *evidence.vector[1:]])
    seen = await found(ListHistory(changed(DECIDED[40], evidence=other)), decision.payment_id)
    assert seen is not None
    assert (seen.vector, seen.cause, seen.gap) == ("different", "", None)
    assert evidence_of(seen.decision).vector == other.vector


async def test_a_decision_without_a_vector_or_authority_has_none() -> None:
    decision = decode_decision(DECIDED[40].value)
    without = msgspec.structs.replace(evidence_of(decision), vector=None)
    for records in (
        changed(DECIDED[40], evidence=without),
        changed(DECIDED[40], authoritative=False),
    ):
        seen = await found(ListHistory(records), decision.payment_id)
        assert seen is not None
        assert (seen.vector, seen.cause) == ("none", "")
        assert seen.decision.payment_id == decision.payment_id


async def test_what_a_decision_saw_and_history_lost_is_unprovable() -> None:
    evidence = evidence_of(decode_decision(DECIDED[40].value))
    account = evidence.positions[0]
    later = next(
        decision
        for one in DECIDED[41:]
        for decision in [decode_decision(one.value)]
        for place in evidence_of(decision).positions[:1]
        if place.identifier == account.identifier and place.sequence > account.sequence
    )
    seen = await found(
        ListHistory([one for one in RECORDS if one.value != DECIDED[40].value]), later.payment_id
    )
    assert seen is not None
    assert seen.vector == "unprovable"
    assert seen.cause in ("HOLE", "PENDING")
    assert seen.gap is not None


async def test_a_damaged_decision_and_one_of_another_tenant_are_passed_over() -> None:
    body = DECIDED[40].value
    payment_id = decode_decision(body).payment_id
    records = [one._replace(value=body[:-1]) if one.value == body else one for one in RECORDS]
    assert await found(ListHistory(records), payment_id) is None
    assert await found(ListHistory(changed(DECIDED[40], tenant="other")), payment_id) is None


async def test_an_unknown_payment_is_not_found() -> None:
    assert await found(ListHistory(RECORDS), "nobody") is None
