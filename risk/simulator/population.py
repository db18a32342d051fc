"""Accounts and what belongs to them, built on first use from the seed and their number."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from random import Random
from typing import Final

from risk.domain.times import from_ms
from risk.simulator.merchants import Market, Merchant
from risk.simulator.numbers import mix, name
from risk.simulator.personas import PERSONAS, Persona
from risk.simulator.places import PLACES, Place

DAY_MS: Final = 86_400_000
_WEEK_MS = 7 * DAY_MS
_HOMES = list(accumulate(place.homes for place in PLACES))
_PERSONA_OF = [persona for persona in PERSONAS for _ in range(persona.per_cent)]


@dataclass(slots=True)
class Account:
    """A person; ``device`` and ``beneficiaries`` change while the world runs."""

    number: int
    id: str
    persona: Persona
    home: int
    purse: float
    cards: tuple[str, ...]
    bin: str
    device: str
    ip: str
    email_hash: str
    opened_at: datetime
    kyc_level: int
    shops: tuple[Merchant, ...]
    online: tuple[Merchant, ...]
    beneficiaries: list[str]
    devices_seen: int = 1

    @property
    def place(self) -> Place:
        return PLACES[self.home]

    def whereabouts(self, at_ms: int) -> int:
        """The number of the place where the account is at ``at_ms``; some weeks are spent away."""
        draw = mix(self.number, at_ms // _WEEK_MS)
        if draw % 1000 >= self.persona.travel_permille:
            return self.home
        return (draw >> 20) % len(PLACES)


class Population:
    """``count`` accounts; number ``i`` is the same person for the same seed, whatever came before.

    Numbers go by persona in turns of 100, so that a persona's accounts are found without a table.
    """

    def __init__(self, seed: int, count: int, market: Market, opened_before_ms: int) -> None:
        self.count = count
        self._seed = seed
        self._market = market
        self._opened_before_ms = opened_before_ms
        self._accounts: dict[int, Account] = {}
        self._turns = -(-count // 100)

    def of_persona(self, rng: Random, first: int, per_cent: int) -> Account:
        """One of the accounts with ``first <= number % 100 < first + per_cent``; low turns are
        busier than high ones, as some people pay more often than others."""
        while True:
            turn = int(self._turns * rng.random() ** 1.6)
            number = turn * 100 + first + int(per_cent * rng.random())
            if number < self.count:
                return self.account(number)
            if first >= self.count:
                return self.account(int(rng.random() * self.count))

    def anyone(self, rng: Random) -> Account:
        """An account, each as likely as the other: fraud does not care for habits."""
        return self.account(int(rng.random() * self.count))

    def account(self, number: int) -> Account:
        """Account ``number``, the same object each time."""
        account = self._accounts.get(number)
        if account is None:
            account = self._accounts[number] = self._build(number)
        return account

    def _build(self, number: int) -> Account:
        seed = self._seed
        rng = Random(mix(seed, number, 1))  # noqa: S311
        persona = _PERSONA_OF[number % 100]
        home = bisect_right(_HOMES, rng.random() * _HOMES[-1])
        local, place = self._market.shops[home], PLACES[home]
        age_days = 20 + 2500 * rng.random() ** 2
        return Account(
            number=number,
            id=name("acc", seed, number),
            persona=persona,
            home=home,
            purse=persona.purse * math.exp(rng.gauss(0, 0.3)),
            cards=tuple(
                name("card", seed, number, card) for card in range(1 + int(rng.random() * 2.2))
            ),
            bin=f"4{home:02d}{number % 7:03d}",
            device=name("dev", seed, number, 0),
            ip=address(place, rng),
            email_hash=name("em", seed, number),
            opened_at=from_ms(self._opened_before_ms - int(age_days * DAY_MS)),
            kyc_level=1 + int(rng.random() * 3),
            shops=tuple(local[int(len(local) * rng.random() ** 1.5)] for _ in range(8)),
            online=tuple(self._market.online_shop(rng) for _ in range(5)),
            beneficiaries=[
                name("ben", seed, number, at) for at in range(1 + int(rng.random() * 4))
            ],
        )


def address(place: Place, rng: Random) -> str:
    """An IP address that belongs to the country of ``place``."""
    bits = rng.getrandbits(24)
    return f"{place.ip_block}.{bits >> 16}.{bits >> 8 & 255}.{bits & 255}"
