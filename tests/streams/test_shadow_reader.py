"""Shadow scores and labels are read back from a real broker."""

from __future__ import annotations

import msgspec
import pytest

from risk.domain.decision import LedgerRecord, encode_ledger
from risk.domain.times import rfc3339
from streams.admin import ensure_topics
from streams.publish import KafkaPublisher, Outgoing
from streams.shadow_reader import labels_known, shadow_records
from streams.topics import Topics

pytestmark = pytest.mark.services

NOW_MS = 1_780_000_000_000


def ledgered(record: str, event: dict[str, str]) -> bytes:
    return encode_ledger(
        LedgerRecord(
            event_id="e", tenant="main", record=record, pending=False,
            event=msgspec.Raw(msgspec.json.encode(event)), fingerprint="",
            arrived_at=rfc3339(NOW_MS), positions=[], rates="",
        )
    )  # fmt: skip


async def test_scores_and_labels_come_back(kafka: str) -> None:
    topics = Topics("shadow-reader")
    await ensure_topics(kafka, topics)
    said = {"payment_id": "pay_1", "label": "chargeback", "known_at": rfc3339(NOW_MS)}
    async with KafkaPublisher(kafka, topics) as publisher:
        await publisher.deliver(
            [
                Outgoing(topics.shadow, 0, None, b"one"),
                Outgoing(topics.shadow, 1, None, b"two"),
                Outgoing(topics.ledger, 3, b"k", ledgered("chargeback", said)),
                Outgoing(topics.ledger, 4, b"k", ledgered("login", {"account": "a"})),
                Outgoing(topics.ledger, 4, b"k", ledgered("chargeback", {"label": "x"})),
                Outgoing(topics.ledger, 5, b"k", b"damaged"),
            ]
        )
    assert sorted(await shadow_records(kafka, topics, 0)) == [b"one", b"two"]
    assert await labels_known(kafka, topics, 0) == {("main", "pay_1"): [(NOW_MS, "chargeback")]}
    # Nothing was written in the future.
    assert await shadow_records(kafka, topics, 4_000_000_000_000) == []
