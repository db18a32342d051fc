"""Merchants: what they sell, where, and what things cost there."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final

from risk.domain.codes import CURRENCY_EXPONENT
from risk.domain.limits import AMOUNT_MINOR_MAX
from risk.simulator.numbers import name
from risk.simulator.places import PLACES, Place


@dataclass(frozen=True, slots=True)
class Trade:
    """A line of business.

    ``median_eur`` is the median price in euro, ``sigma`` the spread of its logarithm, ``weight``
    how often people buy there. ``resale`` goods sell again easily. ``prices`` is the length of a
    price list; 0 where every basket costs something else. ``returned`` of the purchases come back;
    ``monthly`` sells by subscription; ``settles`` charges later what it reserved.
    """

    title: str
    mcc: str
    median_eur: float
    sigma: float
    weight: int
    online: bool
    resale: bool = False
    prices: int = 0
    returned: float = 0.01
    monthly: bool = False
    settles: bool = False


TRADES: Final = (
    Trade("grocery", "5411", 28, 0.75, 26, False),
    Trade("restaurant", "5812", 34, 0.55, 14, False),
    Trade("fast food", "5814", 11, 0.45, 14, False, prices=14, returned=0.0),
    Trade("fuel", "5541", 55, 0.35, 7, False, returned=0.0, settles=True),
    Trade("pharmacy", "5912", 17, 0.65, 7, False, prices=30),
    Trade("transport", "4111", 4, 0.70, 10, False, prices=7, returned=0.004),
    Trade("clothing", "5651", 58, 0.70, 8, False, prices=40, returned=0.07),
    Trade("electronics shop", "5732", 180, 0.95, 3, False, resale=True, prices=40, returned=0.05),
    Trade("jeweller", "5944", 240, 0.90, 1, False, resale=True, prices=30, returned=0.03),
    Trade("marketplace", "5399", 36, 0.95, 16, True, returned=0.06),
    Trade("games", "5816", 12, 0.80, 9, True, prices=9, returned=0.01),
    Trade("streaming", "4899", 11, 0.25, 8, True, prices=4, returned=0.0, monthly=True),
    Trade("charity", "8398", 15, 0.85, 3, True, prices=6, returned=0.0),
    Trade("electronics online", "5734", 160, 1.00, 4, True, resale=True, prices=40, returned=0.06),
    Trade("gift cards", "5947", 50, 0.70, 2, True, resale=True, prices=6, returned=0.0),
    Trade("airline", "4511", 190, 0.65, 3, True, returned=0.03, settles=True),
    Trade("hotel", "7011", 150, 0.60, 3, True, returned=0.04, settles=True),
    Trade("telephone", "4814", 24, 0.35, 0, True, prices=6, monthly=True),
    Trade("insurance", "6300", 42, 0.60, 0, True, prices=12, monthly=True),
    Trade("fitness", "7997", 32, 0.30, 0, True, prices=4, monthly=True),
    Trade("newspaper", "5968", 16, 0.40, 0, True, prices=4, monthly=True),
)
RETURNED: Final = {trade.mcc: trade.returned for trade in TRADES}
SETTLED_LATER: Final = frozenset(trade.mcc for trade in TRADES if trade.settles)


@dataclass(frozen=True, slots=True)
class Merchant:
    """One shop; ``price_factor`` is how dear it is within its trade, ``prices`` its price list
    in minor units of the currency there, cheapest first (empty: every basket differs)."""

    id: str
    trade: Trade
    place: Place
    lat: float
    lon: float
    terminal: str | None
    price_factor: float
    prices: tuple[int, ...] = ()

    def price_minor(self, rng: Random, purse: float) -> int:
        """What one purchase costs somebody with ``purse``, in minor units of the currency here."""
        if self.prices:
            # Small purses stay at the cheap end of the list; some buy two of a thing.
            place = int(len(self.prices) * rng.random() ** (1.2 / min(4.0, max(0.3, purse))))
            price = self.prices[place]
            return min(2 * price, AMOUNT_MINOR_MAX) if rng.random() < 0.1 else price
        spread = math.exp(rng.gauss(0.0, self.trade.sigma))
        return minor_of(
            self.trade.median_eur * self.price_factor * purse * spread, self.place, rng.random()
        )


def minor_of(euro: float, place: Place, whole: float = 1.0) -> int:
    """``euro`` in minor units of ``place``; ``whole`` below 0.3 rounds to major units."""
    unit = int(10 ** CURRENCY_EXPONENT[place.currency])
    major = euro * place.per_euro
    if whole < 0.3 and major >= 2:
        return min(round(major) * unit, AMOUNT_MINOR_MAX)
    return min(max(1, round(major * unit)), AMOUNT_MINOR_MAX)


class Market:
    """All merchants of a world, found by place and by kind of trade."""

    def __init__(self, seed: int, count: int) -> None:
        rng = Random(f"market:{seed}")  # noqa: S311
        self.shops: list[list[Merchant]] = [[] for _ in PLACES]
        self.online: list[Merchant] = []
        self.resale_shops: list[Merchant] = []
        self.resale_online: list[Merchant] = []
        self.cash: list[Merchant] = []
        shop_trades = [trade for trade in TRADES if not trade.online]
        online_trades = [trade for trade in TRADES if trade.online]
        homes = [place.homes + 1 for place in PLACES]
        for number in range(count // 4):
            trade = online_trades[number % len(online_trades)]
            place = PLACES[_weighted(rng, homes)]
            self.online.append(_merchant(rng, seed, number, trade, place))
        for number in range(count // 4, count):
            # Every place gets one shop of every trade before the rest is spread by size.
            turn = number - count // 4
            where = (
                turn % len(PLACES)
                if turn < len(PLACES) * len(shop_trades)
                else _weighted(rng, homes)
            )
            trade = (
                shop_trades[turn // len(PLACES) % len(shop_trades)]
                if turn < len(PLACES) * len(shop_trades)
                else shop_trades[_weighted(rng, [trade.weight for trade in shop_trades])]
            )
            self.shops[where].append(_merchant(rng, seed, number, trade, PLACES[where]))
        for where, place in enumerate(PLACES):
            self.cash.append(_merchant(rng, seed, count + where, _CASH, place))
            self.resale_shops.extend(shop for shop in self.shops[where] if shop.trade.resale)
        self.resale_online.extend(shop for shop in self.online if shop.trade.resale)
        self.monthly = [shop for shop in self.online if shop.trade.monthly]
        self._online_cumulative = list(accumulate(shop.trade.weight for shop in self.online))

    def online_shop(self, rng: Random) -> Merchant:
        """An online merchant, as often as people shop there."""
        total = self._online_cumulative[-1]
        return self.online[bisect_right(self._online_cumulative, rng.random() * total)]


_CASH = Trade("cash machine", "6011", 80, 0.5, 1, False)


def _merchant(rng: Random, seed: int, number: int, trade: Trade, place: Place) -> Merchant:
    factor = math.exp(rng.gauss(0, 0.25))
    return Merchant(
        id=name("mer", seed, number),
        trade=trade,
        place=place,
        lat=round(place.lat + rng.gauss(0, 0.05), 5),
        lon=round(place.lon + rng.gauss(0, 0.07), 5),
        terminal=None if trade.online else name("term", seed, number),
        price_factor=factor,
        prices=_prices(rng, trade, place, factor),
    )


def _prices(rng: Random, trade: Trade, place: Place, factor: float) -> tuple[int, ...]:
    """A price list as shops write it: whole, or just below a whole amount."""
    unit = int(10 ** CURRENCY_EXPONENT[place.currency])
    prices = set()
    for _ in range(trade.prices):
        major = trade.median_eur * factor * place.per_euro * math.exp(rng.gauss(0, trade.sigma))
        step = 1 if major < 100 else 5 if major < 1000 else 10
        whole = max(1, round(major / step)) * step * unit
        below = unit * (0, 1, 1, 10, 51)[int(5 * rng.random())] // 100
        prices.add(min(whole - below, AMOUNT_MINOR_MAX))
    return tuple(sorted(prices))


def _weighted(rng: Random, weights: list[int]) -> int:
    return bisect_right(list(accumulate(weights)), rng.random() * sum(weights))
