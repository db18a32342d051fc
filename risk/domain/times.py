"""RFC 3339 outside, integer milliseconds UTC inside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware ``moment``; parts of a millisecond are cut off.

    >>> to_ms(datetime(1970, 1, 1, 0, 0, 1, 999, tzinfo=UTC))
    1000
    """
    return (moment - _EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    """The aware UTC moment of ``ms``.

    >>> from_ms(1500).isoformat()
    '1970-01-01T00:00:01.500000+00:00'
    """
    return _EPOCH + timedelta(milliseconds=ms)


def rfc3339(ms: int) -> str:
    """``ms`` as RFC 3339 text in UTC with three decimals.

    >>> rfc3339(1500)
    '1970-01-01T00:00:01.500Z'
    """
    return f"{_to_the_second(ms // 1000)}.{ms % 1000:03d}Z"


# Neighbours in a batch share their second, and strftime is slow.
@lru_cache(maxsize=4096)
def _to_the_second(second: int) -> str:
    return from_ms(second * 1000).strftime("%Y-%m-%dT%H:%M:%S")


def parse_rfc3339(text: str) -> int:
    """Milliseconds of RFC 3339 ``text``; raises ValueError where it is none, or has no zone.

    >>> parse_rfc3339("1970-01-01T01:00:01.5+01:00")
    1500
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no time; write 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; end it in Z or an offset")
    return to_ms(moment)
