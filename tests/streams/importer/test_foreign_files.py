"""The two foreign files of the guide, whole."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from risk.domain.clock import ManualClock
from risk.domain.decoding import decode_event
from risk.domain.event import Label, OutcomeReport, Payment, Refund
from risk.domain.times import parse_rfc3339
from streams.importer.dataset import sort_ms
from streams.importer.mapping import load_mapping
from streams.importer.run import ImportReport, import_file
from tests.support.import_files import bodies

MAPPINGS = Path(__file__).parents[3] / "docs" / "guide" / "mappings"
pytestmark = pytest.mark.external


def run(path: Path, mapping: str, folder: Path) -> ImportReport:
    return import_file(path, load_mapping(MAPPINGS / mapping), folder, ManualClock(0))


def test_tabformer(external_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tabformer"
    report = run(external_data / "tabformer_user0.csv.gz", "tabformer.toml", folder)
    # Six refunds were declined: no money moved.
    assert (report.rows, report.rejected, report.duplicates) == (19_963, 6, 0)
    assert {(one.field, one.code) for one in report.first_rejected} == {("reason", "INCONSISTENT")}
    events = [decode_event(body).event for body in bodies(folder)]
    payments = {event.id: event for event in events if isinstance(event, Payment)}
    refunds = [event for event in events if isinstance(event, Refund)]
    assert (len(payments), len(refunds)) == (19_313, 644)
    outcomes = [event for event in events if isinstance(event, OutcomeReport)]
    assert {event.payment_id for event in outcomes} == set(payments)
    reasons = Counter(event.reason for event in outcomes if event.result == "declined")
    assert set(reasons) == {
        "insufficient_funds", "wrong_pin", "expired_card", "invalid_card", "invalid_cvv",
        "technical_error",
    }  # fmt: skip
    labels = [event for event in events if isinstance(event, Label)]
    assert len(labels) == 27
    happened = {event.id: event.occurred_at_ms for event in (*payments.values(), *refunds)}
    for label in labels:
        assert label.known_at_ms - happened[label.payment_id] == 3 * 86_400_000
    first = payments["tf-0"]
    # 2002-09-01 06:21 in Los Angeles, which has daylight-saving time then.
    assert first.occurred_at_ms == parse_rfc3339("2002-09-01T13:21:00Z")
    assert (first.amount_minor, first.currency, first.channel) == (13_409, "USD", "pos_swipe")
    assert (
        len({event.merchant for event in payments.values()} | {r.merchant for r in refunds}) == 552
    )
    times = [sort_ms(event) for event in events]
    assert times == sorted(times)


def test_ms_online(external_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ms-online"
    report = run(external_data / "ms_online_fraud_rows.parquet", "ms-online-fraud.toml", folder)
    assert (report.rows, report.rejected, report.duplicates) == (8_640, 6, 0)
    assert {one.code for one in report.first_rejected} == {"UNKNOWN_CURRENCY"}
    assert {one.column for one in report.first_rejected} == {"currency"}
    events = [decode_event(body).event for body in bodies(folder)]
    payments = [event for event in events if isinstance(event, Payment)]
    assert len(payments) == 8_634 == sum(isinstance(event, Label) for event in events)
    assert all(payment.device is None and payment.ip is None for payment in payments)
    assert all(payment.ip_prefix and payment.ip_prefix.count(".") <= 1 for payment in payments)
    yen = Counter(payment.amount_minor for payment in payments if payment.currency == "JPY")
    assert yen[73_080] > 0
    dollars = Counter(payment.amount_minor for payment in payments if payment.currency == "USD")
    assert dollars[13_999] > 100
