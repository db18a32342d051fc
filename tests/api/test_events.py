"""POST /v1/events: remembered, published, then accepted."""

from __future__ import annotations

import json
from typing import Any

from risk.domain.decoding import decode_event
from risk.domain.times import rfc3339
from tests.support.http import Site

URL = "/v1/events"
DAY_MS = 24 * 60 * 60 * 1000


def login(site: Site, **change: Any) -> dict[str, Any]:
    at = rfc3339(site.runtime.clock.now_ms())
    return {"type": "login", "id": "l1", "account": "acc_1", "occurred_at": at} | change


async def test_an_event_is_accepted_when_published(site: Site) -> None:
    answer = await site.client.post(URL, json=login(site), headers=site.key("events"))
    assert answer.status_code == 202
    assert answer.json() == {"id": "l1", "type": "login"}
    assert site.engine.published == [b"ledger"]


async def test_again_changes_nothing(site: Site) -> None:
    key = site.key("events")
    event = login(site)
    for _ in range(3):
        assert (await site.client.post(URL, json=event, headers=key)).status_code == 202
    assert len(site.engine.published) == 1


async def test_other_content_is_a_conflict(site: Site) -> None:
    key = site.key("events")
    event = login(site)
    await site.client.post(URL, json=event, headers=key)
    answer = await site.client.post(URL, json=event | {"succeeded": False}, headers=key)
    assert answer.status_code == 202, "a failed login is an event of its own"
    answer = await site.client.post(URL, json=event | {"device": "d2"}, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (409, "PAYLOAD_MISMATCH")


async def test_a_scored_type_is_sent_to_decisions(site: Site) -> None:
    answer = await site.client.post(URL, json=site.payment(), headers=site.key("events"))
    body = answer.json()
    assert (answer.status_code, body["code"], body["pointer"]) == (422, "SCORED_TYPE", "/type")
    assert "/v1/decisions" in body["operator"]


async def test_labels_may_be_late_but_not_from_the_future(site: Site) -> None:
    now_ms = site.runtime.clock.now_ms()
    label = {
        "type": "label", "id": "lab1", "payment_id": "pay_1", "label": "chargeback",
        "account": "acc_1", "occurred_at": rfc3339(now_ms - 60 * DAY_MS),
        "known_at": rfc3339(now_ms),
    }  # fmt: skip
    key = site.key("events")
    assert (await site.client.post(URL, json=label, headers=key)).status_code == 202
    label |= {"id": "lab2", "known_at": rfc3339(now_ms + DAY_MS)}
    answer = await site.client.post(URL, json=label, headers=key)
    assert (answer.json()["code"], answer.json()["pointer"]) == ("INVALID_TIME", "/known_at")


async def test_a_label_gets_the_entities_of_its_payment(site: Site) -> None:
    at = rfc3339(site.runtime.clock.now_ms())
    label = {"type": "label", "id": "lab1", "payment_id": "pay_1", "label": "chargeback"}
    label |= {"occurred_at": at, "known_at": at}
    key = site.key("events", "decide")
    answer = await site.client.post(URL, json=label, headers=key)
    assert (answer.status_code, answer.json()) == (
        202,
        {"id": "lab1", "type": "label", "parked": True},
    )
    ((kept, wanted),) = site.runtime.parked
    assert (kept.event.id, kept.door, wanted) == ("lab1", "http", "pay_1")
    payment = site.payment(card="card_1")
    assert (await site.client.post("/v1/decisions", json=payment, headers=key)).status_code == 200
    assert (await site.client.post(URL, json=label, headers=key)).status_code == 202
    fingerprint, _ = site.engine.stood["main", "chargeback:lab1"]
    whole = decode_event(json.dumps(label | {"account": "acc_1", "card": "card_1"}).encode())
    assert fingerprint == whole.fingerprint


async def test_when_a_part_is_down_the_caller_must_retry(site: Site) -> None:
    key = site.key("events")
    site.engine.down = True
    answer = await site.client.post(URL, json=login(site), headers=key)
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    assert "10.1.2.3" not in answer.text
    site.engine.down = False
    assert (await site.client.post(URL, json=login(site), headers=key)).status_code == 202
