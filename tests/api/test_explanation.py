"""An explanation over HTTP: what the command says, to whoever may read, and errors with names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from api.desks import Desks
from models.explaining import Explanation, explained
from risk.bootstrap import shipped_book
from risk.domain.decision import decode_decision
from risk.domain.errors import Unavailable
from tests.risk.test_replay import bodies, named
from tests.support.http import Site, open_site
from tests.support.proof_world import scorer


class Explainer:
    """The versions that the bodies of the replay tests name; "gone" is one that nobody has."""

    async def explain(self, body: bytes, inputs: Sequence[str]) -> Explanation:
        decision = decode_decision(body)
        if decision.payment_id == "pay/gone":
            raise Unavailable("versions", "what judged is not at hand: model 123")
        return explained(decision, named(decision, scoring=scorer()), shipped_book(), inputs)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path, desks=Desks(explanations=Explainer())) as one:
        body = bodies()[5]
        one.engine.stood["main", "p:pay/1"] = (b"", body)
        gone = msgspec.json.decode(body) | {"payment_id": "pay/gone"}
        one.engine.stood["main", "p:pay/gone"] = (b"", msgspec.json.encode(gone))
        yield one


def at(payment_id: str) -> str:
    return f"/v1/decisions/{payment_id}/explanation"


async def test_it_says_what_the_command_says(site: Site) -> None:
    decision = decode_decision(bodies()[5])
    wanted = explained(decision, named(decision, scoring=scorer()), shipped_book(), [])
    answer = await site.client.get(at("pay/1"), headers=site.key("read"))
    assert answer.status_code == 200
    assert msgspec.json.decode(answer.content, type=Explanation) == wanted
    assert wanted.shares


async def test_named_inputs_are_varied(site: Site) -> None:
    asked = {"counterfactual": ["payment_amount", "card_payments_1h"]}
    answer = await site.client.get(at("pay/1"), params=asked, headers=site.key("read"))
    assert answer.json()["tried"] == asked["counterfactual"]


@pytest.mark.parametrize(
    ("inputs", "named_in"), [(["card_paymets_1h"], "'card_paymets_1h'"), (["a"] * 7, "at most 6")]
)
async def test_inputs_that_cannot_be_varied_are_refused(
    site: Site, inputs: list[str], named_in: str
) -> None:
    answer = await site.client.get(
        at("pay/1"), params={"counterfactual": inputs}, headers=site.key("read")
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_QUERY")
    assert named_in in answer.json()["detail"]


async def test_who_may_not_read_gets_nothing(site: Site) -> None:
    assert (await site.client.get(at("pay/1"))).status_code == 401
    assert (await site.client.get(at("pay/1"), headers=site.key("decide"))).status_code == 403
    foreign = await site.client.get(at("pay/1"), headers=site.key("read", tenant="other"))
    assert (foreign.status_code, foreign.json()["code"]) == (404, "UNKNOWN_PAYMENT")


async def test_what_is_not_there_is_named(site: Site, tmp_path: Path) -> None:
    key = site.key("read")
    unknown = await site.client.get(at("pay_2"), headers=key)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "UNKNOWN_PAYMENT")
    assert (await site.client.get(at("4111111111111111"), headers=key)).status_code == 422
    assert (await site.client.get(at("pay/gone"), headers=key)).status_code == 503
    async with open_site(tmp_path / "bare") as bare:
        answer = await bare.client.get(at("pay/1"), headers=bare.key("read"))
        assert answer.status_code == 503
