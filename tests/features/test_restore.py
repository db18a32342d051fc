"""What a record of the topics may not be, and what an undelivered decision keeps."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from features.claims import pack_decided, unpack_value
from features.logs import Log
from features.restore import Unreadable, place_keeper, read_found
from features.truth import TruthRecord
from risk.domain.decision import (
    LogPosition,
    decode_decision,
    decode_ledger,
    encode_decision,
    encode_ledger,
)
from risk.domain.observation import Arrival, Claimed, Publication
from tests.support.memory import arrival, decided, payment

PLACES = (LogPosition("account", "a1", 1, 0, 0, 0), LogPosition("card", "c1", 1, 0, 0, 0))
LOGIN = arrival("login", id="l1", account="a1")


def published(of: Arrival, places: tuple[LogPosition, ...] = PLACES) -> Publication:
    return decided(of, Claimed(places, None, ()))


def in_the_outbox(publication: Publication) -> bytes:
    """The value that Redis holds of a decided event until it is acknowledged."""
    return b"D" + bytes(16) + pack_decided(publication)


def record(body: bytes) -> TruthRecord:
    return TruthRecord(7, 1, False, b"", body)


def without_evidence(publication: Publication) -> Publication:
    decision = msgspec.structs.replace(decode_decision(publication.body), evidence=None)
    return replace(publication, body=encode_decision(decision))


def test_a_decision_without_evidence_is_not_restored() -> None:
    publication = without_evidence(published(payment(1)))
    with pytest.raises(Unreadable, match="without evidence"):
        read_found("decisions", 0, record(publication.body))
    with pytest.raises(Unreadable, match="no evidence"):
        place_keeper(in_the_outbox(publication))


def test_a_fingerprint_of_another_length_is_not_restored() -> None:
    entry = decode_ledger(published(LOGIN, PLACES[:1]).body)
    short = msgspec.structs.replace(entry, fingerprint="00" * 15)
    with pytest.raises(Unreadable, match="fingerprint"):
        read_found("ledger", 0, record(encode_ledger(short)))


def test_an_event_of_another_fingerprint_is_not_restored() -> None:
    entry = decode_ledger(published(LOGIN, PLACES[:1]).body)
    other = msgspec.structs.replace(entry, fingerprint="00" * 16)
    with pytest.raises(Unreadable, match="not the one of its fingerprint"):
        read_found("ledger", 0, record(encode_ledger(other)))


def test_an_undelivered_ledger_record_keeps_its_places() -> None:
    publication = published(LOGIN, PLACES[:1])
    kept = place_keeper(in_the_outbox(publication))
    assert kept is not None
    assert (kept.topic, kept.key) == ("ledger", b"main:a1")
    told, whole = decode_ledger(kept.body), decode_ledger(publication.body)
    assert told.pending
    assert msgspec.structs.replace(told, pending=False) == whole


def test_an_undelivered_decision_keeps_its_places() -> None:
    publication = published(payment(1))
    kept = place_keeper(in_the_outbox(publication))
    assert kept is not None
    told = decode_ledger(kept.body)
    assert (told.event_id, told.pending, tuple(told.positions)) == ("p1", True, PLACES)


def test_nothing_is_kept_of_what_is_published_or_gone() -> None:
    found = read_found("decisions", 3, record(published(payment(1)).body))
    assert found is not None
    receipt = found.value.pack()
    assert unpack_value(receipt) == found.value
    assert place_keeper(receipt) is None
    assert place_keeper(None) is None


def test_a_log_that_goes_on_in_another_epoch_begins_a_new_incarnation() -> None:
    log = Log(1, 0, 0, bytearray())
    assert [log.append(1, bytes(36)), log.append(1, bytes(36))] == [0, 1]
    assert log.append(4, bytes(36)) == 2
    assert (log.incarnation, log.base, log.following) == (4, 2, 3)
