"""The decision on one payment is found in a history, with the vector that history makes."""

from __future__ import annotations

from features.proof.causes import CATALOGUE_OLDER
from features.replaying import Replayable, Search, search
from risk.domain.decision import decode_decision
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


async def test_an_unknown_payment_is_not_found() -> None:
    assert await found(ListHistory(RECORDS), "nobody") is None
