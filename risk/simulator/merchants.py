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
    """A line of business: category code, median price in euro, spread of its logarithm."""

    title: str
    mcc: str
    median_eur: float
    sigma: float
    weight: int
    online: bool
    resale: bool = False


TRADES: Final = (
    Trade("grocery", "5411", 28, 0.75, 26, False),
    Trade("restaurant", "5812", 34, 0.55, 14, False),
    Trade("fast food", "5814", 11, 0.45, 14, False),
    Trade("fuel", "5541", 55, 0.35, 7, False),
    Trade("pharmacy", "5912", 17, 0.65, 7, False),
    Trade("transport", "4111", 4, 0.70, 10, False),
    Trade("clothing", "5651", 58, 0.70, 8, False),
    Trade("electronics shop", "5732", 180, 0.95, 3, False, resale=True),
    Trade("jeweller", "5944", 240, 0.90, 1, False, resale=True),
    Trade("marketplace", "5399", 36, 0.95, 16, True),
    Trade("games", "5816", 12, 0.80, 9, True),
    Trade("streaming", "4899", 11, 0.25, 8, True),
    Trade("charity", "8398", 15, 0.85, 3, True),
    Trade("electronics online", "5734", 160, 1.00, 4, True, resale=True),
    Trade("gift cards", "5947", 50, 0.70, 2, True, resale=True),
    Trade("airline", "4511", 190, 0.65, 3, True),
    Trade("hotel", "7011", 150, 0.60, 3, True),
)


@dataclass(frozen=True, slots=True)
class Merchant:
    """One shop; ``price_factor`` is how dear it is within its trade."""

    id: str
    trade: Trade
    place: Place
    lat: float
    lon: float
    terminal: str | None
    price_factor: float

    def price_minor(self, rng: Random, purse: float) -> int:
        """What one purchase costs somebody with ``purse``, in minor units of the currency here."""
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
        self._online_cumulative = list(accumulate(shop.trade.weight for shop in self.online))

    def online_shop(self, rng: Random) -> Merchant:
        """An online merchant, as often as people shop there."""
        total = self._online_cumulative[-1]
        return self.online[bisect_right(self._online_cumulative, rng.random() * total)]


_CASH = Trade("cash machine", "6011", 80, 0.5, 1, False)


def _merchant(rng: Random, seed: int, number: int, trade: Trade, place: Place) -> Merchant:
    return Merchant(
        id=name("mer", seed, number),
        trade=trade,
        place=place,
        lat=round(place.lat + rng.gauss(0, 0.05), 5),
        lon=round(place.lon + rng.gauss(0, 0.07), 5),
        terminal=None if trade.online else name("term", seed, number),
        price_factor=math.exp(rng.gauss(0, 0.25)),
    )


def _weighted(rng: Random, weights: list[int]) -> int:
    return bisect_right(list(accumulate(weights)), rng.random() * sum(weights))
