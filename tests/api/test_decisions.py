"""POST and GET /v1/decisions: one decision per payment, the same bytes each time."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx

from risk.domain.decision import decode_decision
from tests.support.http import Site, open_site

URL = "/v1/decisions"


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = answer.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["type"] == f"urn:weir:problem:{code}"
    return body


async def test_a_payment_gets_its_published_decision(site: Site) -> None:
    key = site.key("decide")
    answer = await site.client.post(URL, json=site.payment(), headers=key)
    assert answer.status_code == 200
    decision = decode_decision(answer.content)
    assert (decision.payment_id, decision.outcome.value) == ("pay_1", "allow")
    assert decision.evidence is None
    assert b"evidence" not in answer.content
    assert len(site.engine.published) == 1


async def test_a_repeat_gets_the_same_bytes(site: Site) -> None:
    key = site.key("decide", "read")
    payment = site.payment()
    first = await site.client.post(URL, json=payment, headers=key)
    again = await site.client.post(URL, content=json.dumps(payment, indent=3), headers={
        **key, "Content-Type": "application/json; charset=UTF-8"
    })  # fmt: skip
    found = await site.client.get(f"{URL}/pay_1", headers=key)
    assert first.content == again.content == found.content
    assert len(site.engine.published) == 1


async def test_with_evidence_the_bytes_are_the_published_ones(site: Site) -> None:
    key = site.key("decide", "read")
    answer = await site.client.post(
        URL, params={"evidence": "true"}, json=site.payment(), headers=key
    )
    assert answer.content == site.engine.published[0]
    found = await site.client.get(f"{URL}/pay_1?evidence=true", headers=key)
    assert found.content == site.engine.published[0]


async def test_evidence_needs_the_scope_read(site: Site) -> None:
    answer = await site.client.post(
        URL, params={"evidence": "true"}, json=site.payment(), headers=site.key("decide")
    )
    problem(answer, 403, "FORBIDDEN")
    assert site.engine.batches == []


async def test_other_content_under_the_same_id_is_a_conflict(site: Site) -> None:
    key = site.key("decide")
    await site.client.post(URL, json=site.payment(), headers=key)
    answer = await site.client.post(URL, json=site.payment(amount_minor=1), headers=key)
    assert problem(answer, 409, "PAYLOAD_MISMATCH")["pointer"] == "/id"


async def test_a_remembered_type_is_sent_elsewhere(site: Site) -> None:
    login = {
        "type": "login", "id": "l1", "account": "a", "occurred_at": site.payment()["occurred_at"],
    }  # fmt: skip
    answer = await site.client.post(URL, json=login, headers=site.key("decide"))
    body = problem(answer, 422, "NOT_SCORED")
    assert body["pointer"] == "/type"
    assert "/v1/events" in str(body["operator"])


async def test_the_tenant_comes_from_the_key(site: Site) -> None:
    key = site.key("decide", "read", tenant="shop")
    answer = await site.client.post(URL, json=site.payment(), headers=key)
    assert decode_decision(answer.content).tenant == "shop"
    same = await site.client.post(URL, json=site.payment(id="p2", tenant="shop"), headers=key)
    assert same.status_code == 200
    other = await site.client.post(URL, json=site.payment(id="p3", tenant="main"), headers=key)
    assert problem(other, 403, "FOREIGN_TENANT")["pointer"] == "/tenant"
    main = site.key("decide", "read")
    foreign = await site.client.post(URL, json=site.payment(tenant="shop"), headers=main)
    problem(foreign, 403, "FOREIGN_TENANT")


async def test_a_decision_of_another_tenant_does_not_exist(site: Site) -> None:
    await site.client.post(URL, json=site.payment(), headers=site.key("decide", tenant="shop"))
    answer = await site.client.get(f"{URL}/pay_1", headers=site.key("read"))
    problem(answer, 404, "UNKNOWN_PAYMENT")


async def test_ids_with_slashes_and_odd_letters_are_found(site: Site) -> None:
    key = site.key("decide", "read")
    for name in ("a/b/c", "é ü", "x?y#z", "%2F"):
        await site.client.post(URL, json=site.payment(id=name), headers=key)
        path = "".join(f"%{byte:02X}" for byte in name.encode())
        answer = await site.client.get(f"{URL}/{path}", headers=key)
        assert answer.status_code == 200, name
    for name, code in (("n" * 129, 404), ("4111111111111111", 422), ("", 404)):
        assert (await site.client.get(f"{URL}/{name}", headers=key)).status_code == code


async def test_without_redis_the_fallback_is_answered(site: Site) -> None:
    site.engine.down = True
    answer = await site.client.post(URL, json=site.payment(), headers=site.key("decide"))
    assert answer.status_code == 200
    decision = decode_decision(answer.content)
    assert decision.outcome.value == "review"
    assert not decision.authoritative
    assert decision.degraded == ["fallback"]
    site.engine.down = False
    later = await site.client.post(URL, json=site.payment(), headers=site.key("decide"))
    assert decode_decision(later.content).authoritative


async def test_a_decision_that_cannot_be_read_again_gets_the_fallback(site: Site) -> None:
    site.engine.unread = frozenset({"pay_1"})
    answer = await site.client.post(URL, json=site.payment(), headers=site.key("decide"))
    assert not decode_decision(answer.content).authoritative
    assert site.engine.fallbacks == [1]


async def test_after_the_deadline_the_fallback_is_answered_once(tmp_path: Path) -> None:
    async with open_site(tmp_path, http_deadline_ms=50) as site:
        site.engine.delay_s = 30.0
        answers = await asyncio.gather(
            *(
                site.client.post(URL, json=site.payment(id=f"p{n}"), headers=key)
                for key in [site.key("decide")]
                for n in range(20)
            )
        )
        assert {answer.status_code for answer in answers} == {200}
        assert not any(decode_decision(answer.content).authoritative for answer in answers)
        assert sum(site.engine.fallbacks) == 20
        site.engine.delay_s = 0.0


async def test_requests_that_come_together_are_one_batch(site: Site) -> None:
    key = site.key("decide")
    payments = [site.payment(id=f"pay_{n}", amount_minor=n) for n in range(300)]
    answers = await asyncio.gather(
        *(site.client.post(URL, json=payment, headers=key) for payment in payments)
    )
    got = [decode_decision(answer.content).payment_id for answer in answers]
    assert got == [payment["id"] for payment in payments]
    assert sum(site.engine.batches) == 300
    assert max(site.engine.batches) <= 64
    assert len(site.engine.batches) < 150


async def test_a_defect_hurts_only_its_own_payment(site: Site) -> None:
    site.engine.poison = frozenset({"pay_7"})
    key = site.key("decide")
    answers = await asyncio.gather(
        *(site.client.post(URL, json=site.payment(id=f"pay_{n}"), headers=key) for n in range(20))
    )
    codes = [answer.status_code for answer in answers]
    assert codes == [500 if n == 7 else 200 for n in range(20)]
    problem(answers[7], 500, "INTERNAL")
    assert "acc_private" not in answers[7].text


async def test_unavailable_tells_the_caller_no_address(site: Site) -> None:
    site.engine.down = True
    answer = await site.client.get(f"{URL}/pay_1", headers=site.key("read"))
    body = problem(answer, 503, "UNAVAILABLE")
    assert "10.1.2.3" not in answer.text
    assert "kafka" in str(body["detail"])
    assert answer.headers["retry-after"] == "1"


async def test_decided_long_ago_is_gone_with_its_outcome(site: Site) -> None:
    key = site.key("decide")
    payment = site.payment()
    await site.client.post(URL, json=payment, headers=key)
    ((place, (fingerprint, _)),) = site.engine.stood.items()
    site.engine.stood[place] = (fingerprint, b"")
    answer = await site.client.post(URL, json=payment, headers=key)
    assert problem(answer, 410, "DECISION_GONE")["outcome"] == "allow"


async def test_a_wrong_query_is_a_problem(site: Site) -> None:
    answer = await site.client.post(
        URL, params={"evidence": "perhaps"}, json=site.payment(), headers=site.key("decide")
    )
    assert "evidence" in str(problem(answer, 422, "INVALID_QUERY")["detail"])


async def test_what_happens_at_this_door_is_counted(site: Site) -> None:
    key = site.key("decide")
    await site.client.post(URL, json=site.payment(), headers=key)
    site.engine.down = True
    await site.client.post(URL, json=site.payment(id="p2"), headers=key)
    value = site.runtime.metrics.value
    assert value("weir_batch_payments_count", door="http") == 2
    assert value("weir_http_responses_total", status="2xx") == 2
