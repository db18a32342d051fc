"""The local time of a country, from a fixed table, so that a replay never gives another hour.

Offsets are those of the IANA time zone database (2025) for the capital's or the largest zone.
Daylight saving follows the rules of Europe and of North America; others have standard time.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_SUNDAY: Final = 6
# Minutes that the clocks of countries are ahead of UTC in winter.
_OFFSETS: Final = {
    -660: "AS NU",
    -600: "CK PF",
    -480: "PN",
    -360: "BZ CR GT HN MX NI SV",
    -300: "BS CA CO CU EC HT JM KY PA PE TC US",
    -240: "AG AI AW BB BL BM BO BQ CL CW DM DO GD GP GY KN LC MF MQ MS PR SX TT VC VE VG VI",
    -180: "AR BR FK GF PM PY SR UY",
    -120: "GL GS",
    -60: "CV",
    0: "BF CI FO GB GG GH GM GN GW IE IM IS JE LR ML MR PT SH SL SN ST TG",
    60: (
        "AD AL AO AT BA BE BJ BV CD CF CG CH CM CZ DE DK DZ EH ES FR GA GI GQ HR HU IT LI "
        "LU MA MC ME MK MT NE NG NL NO PL RS SE SI SJ SK SM TD TN VA"
    ),
    120: ("AX BG BI BW CY EE EG FI GR IL LB LS LT LV LY MD MW MZ NA PS RO RW SD SS SZ UA ZA ZM ZW"),
    180: "BH BY DJ ER ET IQ JO KE KM KW MG QA RU SA SO SY TR TZ UG YE YT",
    210: "IR",
    240: "AE AM AZ GE MU OM RE SC",
    270: "AF",
    300: "HM KZ MV PK TF TJ TM UZ",
    330: "IN LK",
    345: "NP",
    360: "BD BT IO KG",
    390: "CC MM",
    420: "CX ID KH LA TH VN",
    480: "BN CN HK MN MO MY PH SG TW",
    540: "JP KP KR PW TL",
    600: "AU GU MP PG",
    660: "FM NC NF SB VU",
    720: "AQ FJ KI MH NR NZ TV UM WF",
    780: "TK TO WS",
}
_EUROPE: Final = frozenset(
    (
        "AD AL AT AX BA BE BG CH CY CZ DE DK EE ES FI FO FR GB GG GI GL GR HR HU IE IM IT "
        "JE LI LT LU LV MC MD ME MK MT NL NO PL PT RO RS SE SI SJ SK SM UA VA"
    ).split()
)
_NORTH_AMERICA: Final = frozenset("BM BS CA CU HT PM TC US".split())
_OFFSET_OF: Final = {
    country: minutes for minutes, text in _OFFSETS.items() for country in text.split()
}


def local_ms(at_ms: float, country: str | None) -> float:
    """``at_ms`` as the clocks of ``country`` show it; unknown for a country without a row.

    >>> local_ms(0.0, "JP") / 3_600_000, local_ms(0.0, None)
    (9.0, nan)
    """
    minutes = _OFFSET_OF.get(country) if country is not None else None
    if minutes is None or math.isnan(at_ms):
        return math.nan
    if country in _EUROPE:
        begin_ms, end_ms = _europe(_year(at_ms))
    elif country in _NORTH_AMERICA:
        begin_ms, end_ms = _north_america(_year(at_ms), minutes)
    else:
        return at_ms + minutes * _MINUTE_MS
    summer = begin_ms <= at_ms < end_ms
    return at_ms + minutes * _MINUTE_MS + summer * _HOUR_MS


def _year(at_ms: float) -> int:
    return datetime.fromtimestamp(at_ms / 1000, UTC).year


@lru_cache(maxsize=256)
def _europe(year: int) -> tuple[float, float]:
    """Summer time: last Sunday of March to last Sunday of October, at 01:00 UTC."""
    begin, end = _sunday_from(year, 3, 25), _sunday_from(year, 10, 25)
    return begin + _HOUR_MS, end + _HOUR_MS


@lru_cache(maxsize=256)
def _north_america(year: int, minutes: int) -> tuple[float, float]:
    """Second Sunday of March to first Sunday of November, at 02:00 by the clock in force."""
    begin, end = _sunday_from(year, 3, 8), _sunday_from(year, 11, 1)
    offset_ms = minutes * _MINUTE_MS
    return begin + 2 * _HOUR_MS - offset_ms, end + _HOUR_MS - offset_ms


def _sunday_from(year: int, month: int, day: int) -> float:
    """Midnight UTC of the first Sunday on or after a day."""
    first = datetime(year, month, day, tzinfo=UTC)
    found = first + timedelta(days=(_SUNDAY - first.weekday()) % 7)
    return found.timestamp() * 1000
