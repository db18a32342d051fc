"""The edges of times, errors, kinds and clocks that no other test comes to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from risk.domain.clock import Deadline, ManualClock
from risk.domain.decoding import canonical
from risk.domain.errors import InvalidEvent
from risk.domain.event import Payment
from risk.domain.times import parse_rfc3339, rfc3339

FAR = timedelta(hours=23, minutes=59)


def a_payment(
    identifier: str = "pay_1", at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
) -> Payment:
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
