"""The functions of the rule language. All are total: a missing argument gives unknown.

Unknown is NaN for numbers and moments, None for text and conditions. Literal parameters are
prepared once, when a rule is compiled; the others are values of the payment.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from ipaddress import IPv4Network, ip_network
from typing import Final

from risk.domain.codes import CURRENCY_EXPONENT
from risk.domain.money import ExchangeRates
from risk.rules.local_time import local_ms
from risk.rules.syntax import NUMERIC, Type

UNKNOWN: Final = math.nan
DAY_MS: Final = 86_400_000
_EARTH_KM: Final = 6371.0088
HOUR_MS: Final = 3_600_000
_TEXT: Final = (Type.TEXT,)
_TIME: Final = (Type.TIME,)
_CONDITION: Final = (Type.BOOLEAN,)
_ANY: Final = (*NUMERIC, Type.TEXT, Type.TIME)
_V4_IN_V6: Final = bytes(10) + b"\xff\xff"
Network = tuple[int, int, int]  # bytes of an address, mask, number


@dataclass(frozen=True, slots=True)
class Parameter:
    """``literal`` ones must be written out; ``repeated`` may only be the last."""

    name: str
    types: tuple[Type, ...]
    literal: bool = False
    optional: bool = False
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """One function. ``result`` None means the common type of the arguments.

    ``call`` gets the values, then what ``prepare`` made of the literal arguments, where
    there are any. ``prepare`` raises ValueError with the fix; the exchange rates are its
    first argument where ``needs_rates``. ``context`` names hidden first arguments. ``call``
    None: the compiler writes the function as operators, or as what was prepared.
    """

    name: str
    parameters: tuple[Parameter, ...]
    result: Type | None
    sentence: str
    example: str
    call: Callable[..., object] | None
    prepare: Callable[..., object] | None = None
    context: tuple[str, ...] = ()
    needs_rates: bool = False

    @property
    def literals(self) -> int:
        """How many parameters, always the last ones, are literal."""
        return sum(parameter.literal for parameter in self.parameters)


def divide(left: float, right: float) -> float:
    """``left / right``, unknown where ``right`` is 0.

    >>> divide(1.0, 4.0), divide(1.0, 0.0)
    (0.25, nan)
    """
    return left / right if right else UNKNOWN


def modulo(left: float, right: float) -> float:
    """The rest of ``left / right`` with the sign of ``right``; unknown where ``right`` is 0.

    >>> modulo(7.0, 4.0), modulo(7.0, 0.0)
    (3.0, nan)
    """
    return left % right if right else UNKNOWN


def smallest(*values: float) -> float:
    """The least value, unknown where one is.

    >>> smallest(3.0, 1.0), smallest(3.0, math.nan)
    (1.0, nan)
    """
    return UNKNOWN if any(map(math.isnan, values)) else min(values)


def largest(*values: float) -> float:
    """The greatest value, unknown where one is.

    >>> largest(3.0, 1.0)
    3.0
    """
    return UNKNOWN if any(map(math.isnan, values)) else max(values)


def rounded(value: float, digits: int) -> float:
    """``value`` rounded half to even to ``digits`` decimals.

    >>> rounded(2.5, 0), rounded(1.26, 1)
    (2.0, 1.3)
    """
    return round(value, digits)


def ratio(part: float, whole: float, default: float = UNKNOWN) -> float:
    """``part / whole``; ``default`` where ``whole`` is 0.

    >>> ratio(1.0, 2.0), ratio(1.0, 0.0, 0.0)
    (0.5, 0.0)
    """
    if whole == 0.0:
        return UNKNOWN if math.isnan(part) else default
    return part / whole


def coalesce(*values: object) -> object:
    """The first value that is not missing, else the last.

    >>> coalesce(math.nan, 2.0), coalesce(None, "x")
    (2.0, 'x')
    """
    for value in values:
        if value is not None and not (isinstance(value, float) and math.isnan(value)):
            return value
    return values[-1]


def lower(text: str | None) -> str | None:
    """``text`` in small letters.

    >>> lower("EcoM")
    'ecom'
    """
    return None if text is None else text.lower()


def starts_with(text: str | None, prefixes: tuple[str, ...]) -> bool | None:
    """Whether ``text`` begins with one of ``prefixes``.

    >>> starts_with("mrc_77", ("mrc_", "shop_")), starts_with(None, ("a",))
    (True, None)
    """
    return None if text is None else text.startswith(prefixes)


def in_cidr(address: str | None, networks: tuple[Network, ...]) -> bool | None:
    """Whether the IP ``address`` lies in one of ``networks``; unknown for other text.

    IPv4 addresses written as IPv6 (``::ffff:10.0.0.1``) count as the IPv4 they are.

    >>> nets = networks_of("10.0.0.0/8", "2001:db8::/32")
    >>> in_cidr("10.1.2.3", nets), in_cidr("2001:db9::1", nets), in_cidr("10.1.2", nets)
    (True, False, None)
    """
    if address is None:
        return None
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except (OSError, ValueError):
        return None
    if packed.startswith(_V4_IN_V6) and len(packed) == 16:
        packed = packed[12:]
    number, size = int.from_bytes(packed), len(packed)
    return any(size == length and number & mask == net for length, mask, net in networks)


def days_since(now_ms: float, then_ms: float) -> float:
    """Days from ``then_ms`` to the payment, in parts; negative where it lies ahead.

    >>> days_since(129_600_000.0, 0.0)
    1.5
    """
    return (now_ms - then_ms) / DAY_MS


def hour_of(at_ms: float) -> float:
    """The hour of the day in UTC, 0 to 23.

    >>> hour_of(7_200_000.0)
    2.0
    """
    return at_ms // HOUR_MS % 24.0


def weekday_of(at_ms: float) -> float:
    """The day of the week in UTC, 0 Monday to 6 Sunday.

    >>> weekday_of(0.0)
    3.0
    """
    return (at_ms // DAY_MS + 3.0) % 7.0


def local_hour(now_ms: float, country: str | None) -> float:
    """The hour of the day that clocks in ``country`` show at the payment.

    >>> local_hour(0.0, "JP"), local_hour(0.0, "ZZ")
    (9.0, nan)
    """
    return hour_of(local_ms(now_ms, country))


def local_weekday(now_ms: float, country: str | None) -> float:
    """The day of the week in ``country`` at the payment, 0 Monday to 6 Sunday.

    >>> local_weekday(0.0, "JP"), local_weekday(0.0, "US")
    (3.0, 2.0)
    """
    return weekday_of(local_ms(now_ms, country))


def distance_km(lat_1: float, lon_1: float, lat_2: float, lon_2: float) -> float:
    """Great-circle distance on a sphere of 6371.0088 km, rounded to one metre.

    Haversine formula. Rounding hides the last bits, in which machines' sines may differ.
    Places outside of +-90 and +-180 degrees give unknown.

    >>> distance_km(52.52, 13.405, 48.8566, 2.3522), distance_km(91.0, 0.0, 0.0, 0.0)
    (877.464, nan)
    """
    if not (abs(lat_1) <= 90 and abs(lat_2) <= 90 and abs(lon_1) <= 180 and abs(lon_2) <= 180):
        return UNKNOWN
    a, b = math.radians(lat_1), math.radians(lat_2)
    across = math.sin(math.radians(lon_2 - lon_1) / 2)
    along = math.sin((b - a) / 2)
    share = along * along + math.cos(a) * math.cos(b) * across * across
    return round(2 * _EARTH_KM * math.asin(math.sqrt(min(1.0, share))), 3)


def prefixes_of(*prefixes: str) -> tuple[str, ...]:
    """Literal prefixes, none empty.

    >>> prefixes_of("a", "b")
    ('a', 'b')
    """
    if "" in prefixes:
        raise ValueError("every text starts with the empty text; write a prefix")
    return prefixes


def networks_of(*texts: str) -> tuple[Network, ...]:
    """Networks in CIDR notation as (address bytes, mask, number).

    >>> networks_of("10.0.0.0/8")
    ((4, 4278190080, 167772160),)
    """
    found: list[Network] = []
    for text in texts:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{text!r} is no network; write it as 10.0.0.0/8") from None
        if "/" not in text or str(network) != text.lower():
            raise ValueError(f"{text!r} is no network; write {network}")
        size = 4 if isinstance(network, IPv4Network) else 16
        found.append((size, int(network.netmask), int(network.network_address)))
    return tuple(found)


def moment_of(text: str) -> float:
    """Midnight UTC of an ISO date, in milliseconds since 1970.

    >>> moment_of("1970-01-02")
    86400000.0
    """
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"{text!r} is no date; write it as 2026-01-31") from None
    return float((day - datetime(1970, 1, 1, tzinfo=UTC)).days * DAY_MS)


def digits_of(digits: float = 0.0) -> int:
    """A literal number of decimals.

    >>> digits_of(2.0)
    2
    """
    if digits not in range(10):
        raise ValueError("round to 0 to 9 decimals")
    return int(digits)


def money(rates: ExchangeRates, amount: float, currency: str) -> float:
    """``amount`` major units of ``currency`` in base minor units; unknown without a rate.

    >>> euro = ExchangeRates(base="EUR", as_of="2026-01-01", source="example", rates_e9={})
    >>> money(euro, 12.5, "EUR"), money(euro, 1.0, "USD")
    (1250.0, nan)
    """
    if currency not in CURRENCY_EXPONENT:
        raise ValueError(f"{currency!r} is no ISO 4217 code; write one as EUR")
    if amount < 0:
        raise ValueError("an amount is not negative")
    scaled = Decimal(repr(amount)).scaleb(CURRENCY_EXPONENT[currency])
    base = rates.to_base(int(scaled.quantize(Decimal(1), ROUND_HALF_EVEN)), currency)
    return UNKNOWN if base is None else float(base)


def _p(
    name: str,
    types: tuple[Type, ...] = NUMERIC,
    *,
    literal: bool = False,
    optional: bool = False,
    repeated: bool = False,
) -> Parameter:
    return Parameter(name, types, literal, optional, repeated)


_NUM, _INT, _BOOL, _STR = Type.NUMBER, Type.INTEGER, Type.BOOLEAN, Type.TEXT
_CATALOGUE: Final = (
    Function("abs", (_p("x"),), None, "The size of x without its sign.",
             "abs(account_amount_zscore_30d) > 3", abs),
    Function("min", (_p("a"), _p("b", repeated=True)), None, "The least of the numbers.",
             "min(device_accounts_7d, ip_accounts_24h) >= 3", smallest),
    Function("max", (_p("a"), _p("b", repeated=True)), None, "The greatest of the numbers.",
             "max(account_distance, card_distance) > 500", largest),
    Function("round", (_p("x"), _p("digits", literal=True, optional=True)), _NUM,
             "x rounded half to even, to 0 to 9 decimals.", "round(score, 2) == 0.5",
             rounded, digits_of),
    Function("between", (_p("x"), _p("low"), _p("high")), _BOOL,
             "Whether low <= x <= high, both ends included.",
             'between(amount, money(9000, "EUR"), money(9999, "EUR"))', None),
    Function("is_missing", (_p("x", _ANY),), _BOOL,
             "Whether x is missing. Never unknown.", "is_missing(device)", None),
    Function("coalesce", (_p("a", _ANY), _p("b", _ANY, repeated=True)), None,
             "The first argument that is not missing.",
             "coalesce(card_payments_1h, 0) == 0", coalesce),
    Function("ratio", (_p("part"), _p("whole"), _p("default", optional=True)), _NUM,
             "part / whole; default (else unknown) where whole is 0.",
             "ratio(card_declines_24h, card_payments_24h, 0) > 0.5", ratio),
    Function("lower", (_p("x", _TEXT),), _STR, "x in small letters.",
             'lower(merchant) == "mrc_shop"', lower),
    Function("starts_with", (_p("x", _TEXT), _p("prefix", _TEXT, literal=True, repeated=True)),
             _BOOL, "Whether x begins with one of the prefixes.",
             'starts_with(mcc, "59", "79")', starts_with, prefixes_of),
    Function("in_cidr", (_p("ip", _TEXT), _p("network", _TEXT, literal=True, repeated=True)),
             _BOOL, "Whether an IP address lies in one of the networks.",
             'in_cidr(ip, "10.0.0.0/8")', in_cidr, networks_of),
    Function("any_of", (_p("a", _CONDITION), _p("b", _CONDITION, repeated=True)), _BOOL,
             "Whether at least one of the conditions holds.",
             "any_of(account_new_device, account_new_country)", None),
    Function("all_of", (_p("a", _CONDITION), _p("b", _CONDITION, repeated=True)), _BOOL,
             "Whether all of the conditions hold.",
             "all_of(account_new_device, amount > 5000)", None),
    Function("distance_km", (_p("lat_1"), _p("lon_1"), _p("lat_2"), _p("lon_2")), _NUM,
             "Kilometres between two places in degrees, along the ground.",
             "distance_km(lat, lon, 52.52, 13.405) > 100", distance_km),
    Function("money", (_p("amount", literal=True), _p("currency", _TEXT, literal=True)), _INT,
             "An amount in major units, as minor units of the base currency.",
             'amount > money(500, "EUR")', None, money,
             needs_rates=True),
    Function("date", (_p("day", _TEXT, literal=True),), Type.TIME, "Midnight UTC of a day.",
             'account_opened_at >= date("2026-01-31")', None, moment_of),
    Function("days_since", (_p("moment", _TIME),), _NUM,
             "Days from a moment to the payment, in parts.",
             "days_since(account_opened_at) < 2", days_since, context=("occurred_at",)),
    Function("hour_of", (_p("moment", _TIME),), _INT, "Hour of the day in UTC, 0 to 23.",
             "hour_of(account_opened_at) == 3", hour_of),
    Function("weekday_of", (_p("moment", _TIME),), _INT,
             "Day of the week in UTC, 0 Monday to 6 Sunday.",
             "weekday_of(account_opened_at) == 6", weekday_of),
    Function("local_hour", (_p("country", _TEXT),), _INT,
             "Hour of the day, 0 to 23, that clocks in a country show at the payment.",
             "local_hour(coalesce(card_country, country)) in (1, 2, 3, 4)", local_hour,
             context=("occurred_at",)),
    Function("local_weekday", (_p("country", _TEXT),), _INT,
             "Day of the week in a country at the payment, 0 Monday to 6 Sunday.",
             "local_weekday(card_country) >= 5", local_weekday, context=("occurred_at",)),
)  # fmt: skip
FUNCTIONS: Final = {function.name: function for function in _CATALOGUE}
