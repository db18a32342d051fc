"""Payments of a made-up population, and the past that its entities remember.

Payments to come and payments of the past are drawn by one law, so that what is measured looks
like what was remembered. Every payment has all five entities: account, card, device, ip and
merchant. People keep to their card, device, network and shops, mostly; so most are allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from features.records import (
    CHANNEL_INDEX,
    FLAG_CARD_ABSENT,
    FLAG_FOREIGN,
    RECORD_WORDS,
    ROLE_OF_KIND,
)
from risk.domain.codes import COUNTRY_INDEX, CURRENCY_INDEX
from risk.domain.event import Payment
from risk.domain.ids import hash20
from risk.domain.kinds import RECORD_KIND_CODE
from risk.domain.money import ExchangeRates
from risk.domain.times import from_ms

Ints = NDArray[np.int64]

DAY_MS: Final = 86_400_000
PAST_DAYS: Final = 29.0
KINDS: Final = ("account", "card", "device", "ip", "merchant")
CHANNELS: Final[tuple[Literal["ecom", "app", "pos_contactless", "pos_chip"], ...]] = (
    "ecom",
    "app",
    "pos_contactless",
    "pos_chip",
)
COUNTRIES: Final = ("DE", "FR", "NL", "ES", "IT", "PL")
CURRENCIES: Final = ("EUR", "GBP", "PLN", "SEK")
MCCS: Final = ("5411", "5812", "5541", "5732", "5651", "4111", "5912", "7832")
# Kinds of record in the past: mostly payments, some of their outcomes.
PAST_KINDS: Final = (("payment", 0.88), ("authorised", 0.1), ("declined", 0.02))


@dataclass(frozen=True, slots=True)
class Draw:
    """Payments as columns of equal length; entities are numbers, kind by kind."""

    time_ms: Ints
    entity: dict[str, Ints]
    amount_minor: Ints
    currency: Ints
    channel: Ints
    country: Ints

    def __len__(self) -> int:
        return len(self.time_ms)


class Population:
    """``accounts`` people and what they use; the same for the same seed."""

    def __init__(self, seed: int, accounts: int) -> None:
        rng = np.random.default_rng(seed)
        self.accounts = accounts
        self.merchants = max(20, accounts // 10)
        self._busy = _shares(rng.gamma(2.0, size=accounts))
        self._popular = _shares(1.0 / np.arange(3.0, 3.0 + self.merchants) ** 0.8)
        self._home = rng.integers(0, len(COUNTRIES), accounts)
        self._ticket = rng.lognormal(7.6, 0.7, self.merchants)  # the usual amount at a merchant
        self._mcc = rng.integers(0, len(MCCS), self.merchants)
        self._opened_days = rng.integers(60, 3_000, accounts)
        self._lat = np.round(rng.uniform(40.0, 55.0, accounts), 5)
        self._lon = np.round(rng.uniform(-5.0, 20.0, accounts), 5)

    def draw(self, rng: np.random.Generator, time_ms: Ints) -> Draw:
        """One payment at each time."""
        count, people = len(time_ms), self.accounts
        account = np.searchsorted(self._busy, rng.random(count))
        luck = rng.random((4, count))
        # A second card; a second device, seldom a stranger's; the office, seldom a café.
        card = account * 2 + (luck[0] < 0.12)
        device = np.where(luck[1] < 0.1, account + people, account)
        device = np.where(luck[1] < 0.01, rng.integers(0, people, count), device)
        ip = np.where(luck[2] < 0.2, people + account // 8, account)
        ip = np.where(luck[2] < 0.03, people * 2 + rng.integers(0, people // 4 + 1, count), ip)
        merchant = np.searchsorted(self._popular, rng.random(count))
        home = self._home[account]
        abroad = rng.integers(0, len(COUNTRIES), count)
        return Draw(
            time_ms=time_ms,
            entity={
                "account": account,
                "card": card.astype(np.int64),
                "device": device,
                "ip": ip,
                "merchant": merchant,
            },
            amount_minor=(self._ticket[merchant] * rng.lognormal(0.0, 0.4, count)).astype(np.int64)
            + 50,
            currency=np.where(luck[3] < 0.15, rng.integers(0, len(CURRENCIES), count), 0),
            channel=rng.integers(0, len(CHANNELS), count),
            country=np.where(rng.random(count) < 0.03, abroad, home),
        )

    def past(self, seed: int, per_account: float, now_ms: int) -> Draw:
        """The payments of the last 29 days, ``per_account`` on average, in order of time."""
        rng = np.random.default_rng((seed, 2))
        count = max(1, int(self.accounts * per_account))
        ages = rng.integers(60_000, int(PAST_DAYS * DAY_MS), count)
        return self.draw(rng, np.sort(now_ms - ages))

    def payment(self, draw: Draw, place: int, identity: str) -> Payment:
        """The payment at ``place`` of ``draw`` as an event."""
        account = int(draw.entity["account"][place])
        time_ms = int(draw.time_ms[place])
        merchant = int(draw.entity["merchant"][place])
        home = COUNTRIES[int(self._home[account])]
        return Payment(
            id=identity,
            occurred_at=from_ms(time_ms),
            account=name("account", int(draw.entity["account"][place])),
            card=name("card", int(draw.entity["card"][place])),
            device=name("device", int(draw.entity["device"][place])),
            ip=name("ip", int(draw.entity["ip"][place])),
            merchant=name("merchant", int(draw.entity["merchant"][place])),
            amount_minor=int(draw.amount_minor[place]),
            currency=CURRENCIES[int(draw.currency[place])],
            mcc=MCCS[int(self._mcc[merchant])],
            channel=CHANNELS[int(draw.channel[place])],
            country=COUNTRIES[int(draw.country[place])],
            card_country=home,
            ip_country=home,
            bin=f"{400_000 + account % 50}",
            lat=float(self._lat[account]),
            lon=float(self._lon[account]),
            account_opened_at=from_ms(time_ms - int(self._opened_days[account]) * DAY_MS),
            kyc_level=account % 3,
        )

    def heads(self, draw: Draw, kinds: Ints, rates: ExchangeRates) -> NDArray[np.uint32]:
        """Words 0 to 5 of the records of ``draw`` (``features.records``), (n, 6)."""
        account, merchant = draw.entity["account"], draw.entity["merchant"]
        paid = kinds == RECORD_KIND_CODE["payment"]
        currency = _codes(CURRENCIES, CURRENCY_INDEX)[draw.currency]
        country = _codes(COUNTRIES, COUNTRY_INDEX)[draw.country]
        channel = _codes(CHANNELS, CHANNEL_INDEX)[draw.channel]
        mcc = np.array([int(code) for code in MCCS])[self._mcc[merchant]]
        absent = np.isin(draw.channel, [CHANNELS.index("ecom"), CHANNELS.index("app")])
        flags = FLAG_FOREIGN * (draw.country != self._home[account]) + FLAG_CARD_ABSENT * absent
        lat = 1 + ((self._lat[account] + 90.0) * 65534.0 / 180.0).astype(np.int64)
        lon = 1 + ((self._lon[account] + 180.0) * 65534.0 / 360.0).astype(np.int64)
        words = (
            draw.time_ms & 0xFFFFFFFF,
            draw.time_ms >> 32
            | kinds << 10
            | np.where(paid, channel << 15 | flags << 19 | currency << 24, 0),
            np.where(paid, draw.amount_minor, 0),
            np.where(paid, country << 8 | mcc << 16, 0),
            np.where(paid, _in_base(draw, rates), 0),
            np.where(paid, lat | lon << 16, 0),
        )
        return np.stack(words, axis=1).astype(np.uint32)


def name(kind: str, number: int) -> str:
    """The identifier of an entity, as long as the simulator's."""
    return f"{kind[:4]}_{number * 2_654_435_761 % 2**48:012x}"


def past_kinds(seed: int, count: int) -> Ints:
    """Kinds of record for ``count`` entries of the past."""
    codes = np.array([RECORD_KIND_CODE[kind] for kind, _ in PAST_KINDS])
    shares = [share for _, share in PAST_KINDS]
    return np.random.default_rng((seed, 3)).choice(codes, count, p=shares)


def pack_records(
    heads: NDArray[np.uint32], hashes: dict[str, Ints], kind: str, ids: Ints
) -> NDArray[np.uint32]:
    """Records as they stand in logs of ``kind``, (n, 9); ``hashes`` are by kind of entity.

    The same bits as ``features.records.pack``, for many at once.
    """
    own = ROLE_OF_KIND[kind]
    by_role = [hashes[other] for other in KINDS]
    first, second, third, fourth = by_role[:own] + by_role[own + 1 :]
    words = np.empty((len(heads), RECORD_WORDS), dtype=np.uint32)
    words[:, :6] = heads
    words[:, 6] = first | (second & 0xFFF) << 20
    words[:, 7] = second >> 12 | third << 8 | (ids & 0xF) << 28
    words[:, 8] = fourth | (ids >> 4) << 20
    return words


def short_hashes(kind: str, numbers: Ints) -> Ints:
    """The 20-bit hash of each entity, as records hold it."""
    role = "counterparty" if kind == "merchant" else kind
    whole, places = np.unique(numbers, return_inverse=True)
    found = [hash20("main", role, name(kind, int(number))) for number in whole]
    return np.array(found, dtype=np.int64)[places]


def _codes(names: tuple[str, ...], index: dict[str, int]) -> Ints:
    return np.array([index[name] for name in names], dtype=np.int64)


def _in_base(draw: Draw, rates: ExchangeRates) -> Ints:
    base = draw.amount_minor.copy()
    for number, currency in enumerate(CURRENCIES):
        places = np.flatnonzero(draw.currency == number)
        if currency != rates.base:
            amounts = draw.amount_minor[places].tolist()
            base[places] = [rates.to_base(amount, currency) or 0 for amount in amounts]
    return base


def _shares(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.cumsum(weights)
    return np.asarray(total / total[-1])
