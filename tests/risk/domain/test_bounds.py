"""The edges of times, errors, kinds and clocks that no other test comes to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from risk.domain.clock import Deadline, ManualClock, SystemClock
from risk.domain.decoding import canonical, decode_event, encode_event
from risk.domain.errors import InvalidEvent, PayloadMismatch
from risk.domain.event import Label, Login, Payment, Refund
from risk.domain.kinds import event_key
from risk.domain.times import parse_rfc3339, rfc3339

AT = datetime(2026, 1, 1, tzinfo=UTC)
FAR = timedelta(hours=23, minutes=59)


def a_payment(identifier: str = "pay_1", at: datetime = AT) -> Payment:
    return Payment(id=identifier, occurred_at=at, account="a", amount_minor=1, currency="EUR")


@pytest.mark.parametrize(
    "at",
    [
        datetime.min.replace(tzinfo=timezone(FAR)),
        datetime.max.replace(tzinfo=timezone(-FAR)),
    ],
    ids=["before the first year", "after the last year"],
)
def test_a_moment_outside_the_calendar_is_refused_and_does_not_overflow(at: datetime) -> None:
    with pytest.raises(InvalidEvent, match="INVALID_TIME") as refused:
        canonical(a_payment(at=at))
    assert refused.value.field == "/occurred_at"


def test_a_lone_surrogate_has_no_canonical_bytes() -> None:
    with pytest.raises(InvalidEvent, match="INVALID_UTF8"):
        canonical(a_payment("p\ud800"))


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        parse_rfc3339("2026-01-01T00:00:00")
    assert rfc3339(parse_rfc3339("2026-01-01T00:00:00+01:00")) == "2025-12-31T23:00:00.000Z"


def test_an_error_code_that_is_not_documented_is_a_defect() -> None:
    with pytest.raises(ValueError, match="unknown event error code NO_SUCH"):
        InvalidEvent("NO_SUCH", "why")


def test_a_deadline_is_spent_when_its_time_has_passed() -> None:
    clock = ManualClock(1_000)
    deadline = Deadline(clock, 50)
    assert not deadline.spent()
    assert deadline.remaining_s() == pytest.approx(0.05)
    clock.advance(60)
    assert deadline.spent()
    assert deadline.remaining_s() == 0.0


def test_nesting_without_end_is_refused_by_name() -> None:
    # All before the type has to be passed over, however deep it is.
    deep = b'{"attributes":' + b"[" * 5_000 + b"]" * 5_000 + b',"type":"payment"}'
    with pytest.raises(InvalidEvent, match="TOO_DEEP"):
        decode_event(deep)


def test_attributes_may_be_numbers_and_truths() -> None:
    event = Payment(
        id="pay_1",
        occurred_at=AT,
        account="a",
        amount_minor=1,
        currency="EUR",
        attributes={"ratio": 0.5, "known": True, "basket": 3, "shop": "s_1"},
    )
    assert decode_event(encode_event(event)).event == event


def test_a_refund_needs_a_currency_that_exists() -> None:
    refund = Refund(id="r_1", occurred_at=AT, account="a", amount_minor=1, currency="ZZZ")
    with pytest.raises(InvalidEvent, match="UNKNOWN_CURRENCY"):
        canonical(refund)


def test_a_payment_its_label_and_its_refusal_have_keys_of_their_own() -> None:
    label = Label(id="1", occurred_at=AT, payment_id="1", label="chargeback", known_at=AT)
    failed = Login(id="1", occurred_at=AT, account="a", succeeded=False)
    keys = [event_key(one) for one in (a_payment("1"), label, failed)]
    assert keys == ["p:1", "chargeback:1", "login_failed:1"]
    assert str(PayloadMismatch("1")) == "payment 1 was seen before with other content"


def test_the_clock_of_the_machine_goes_on() -> None:
    clock = SystemClock()
    first_ms, first_s = clock.now_ms(), clock.monotonic_s()
    assert first_ms > 1_700_000_000_000
    assert clock.now_ms() >= first_ms
    assert clock.monotonic_s() >= first_s
