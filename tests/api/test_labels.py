"""POST /v1/labels: three fields are a label."""

from __future__ import annotations

import pytest

from risk.domain.times import rfc3339
from tests.support.http import Site

URL = "/v1/labels"


def told(site: Site, **change: object) -> dict[str, object]:
    known_at = rfc3339(site.runtime.clock.now_ms())
    return {"payment_id": "pay_1", "label": "chargeback", "known_at": known_at} | change


async def test_three_fields_are_enough_and_again_changes_nothing(site: Site) -> None:
    key, body = site.key("events"), told(site, account="acc_1")
    for _ in range(2):
        answer = await site.client.post(URL, json=body, headers=key)
        assert answer.status_code == 202, answer.text
        assert answer.json() == {"id": "pay_1", "type": "label"}
    assert len(site.engine.published) == 1
    other = body | {"device": "dev_1"}
    assert (await site.client.post(URL, json=other, headers=key)).status_code == 409


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    (
        ({"label": "bad"}, "OUT_OF_RANGE", "/label"),
        ({"known_at": "yesterday"}, "INVALID_TIME", "/known_at"),
        ({"payment_id": "4111111111111111"}, "CARD_NUMBER", "/id"),
        ({"type": "login"}, "WRONG_TYPE", "/type"),
        ({"why": "x"}, "UNKNOWN_FIELD", "/why"),
    ),
)
async def test_a_bad_field_is_named(
    site: Site, change: dict[str, object], code: str, pointer: str
) -> None:
    answer = await site.client.post(URL, json=told(site, **change), headers=site.key("events"))
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["pointer"] == pointer


async def test_what_is_missing_is_named(site: Site) -> None:
    answer = await site.client.post(URL, json={"label": "chargeback"}, headers=site.key("events"))
    assert answer.json()["code"] == "MISSING_FIELD"
    for raw in (b"[1]", b"{"):
        answer = await site.client.post(
            URL, content=raw, headers={**site.key("events"), "Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 422)
