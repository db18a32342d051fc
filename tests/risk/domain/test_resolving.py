"""Labels that name only their payment get its entities, where the decision tells them."""

from __future__ import annotations

import msgspec

from risk.domain.decision import decode_decision, encode_decision
from risk.domain.event import Label
from risk.domain.resolving import with_entities
from risk.domain.times import from_ms
from tests.support.stream_records import NOW_MS, decision

LABEL = Label(
    id="lab-1",
    occurred_at=from_ms(NOW_MS),
    known_at=from_ms(NOW_MS),
    payment_id="p-1",
    label="fraud_report",
)


def test_a_label_gets_the_entities_of_its_payment() -> None:
    found = with_entities(LABEL, decision("p-1", device="d-1"))
    assert found is not None
    assert (found.event.account, found.event.device) == ("a-1", "d-1")


def test_a_decision_without_evidence_tells_no_entities() -> None:
    bare = msgspec.structs.replace(decode_decision(decision("p-1")), evidence=None)
    assert with_entities(LABEL, encode_decision(bare)) is None
