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
from risk.simulator.households import household
from risk.simulator.merchants import Market, Merchant
from risk.simulator.numbers import mix, name
from risk.simulator.personas import PERSONA_OF, Persona
from risk.simulator.places import PLACES, Place
from risk.simulator.roster import Roster
from risk.simulator.seasons import DAY_MS
from risk.simulator.trips import ON_THE_WAY_MS, Trip, period_of, trip_in

__all__ = ["DAY_MS", "DORMANT_DAYS", "Account", "Population", "address"]

_HOMES = list(accumulate(place.homes for place in PLACES))
_RETURNS: Final = 0.0017  # of the times when a silent account would have acted
_TRIES: Final = 200
DORMANT_DAYS: Final = 60
_NO_TRIP: Final = Trip(0, 0, 0, 0)


@dataclass(slots=True)
class Account:
    """A person; ``device``, ``kyc_level`` and whom they pay change while the world runs.

    ``beneficiaries`` are stored payees outside (a landlord, a bill); ``friends`` are payees of
    people of this world, the family first. ``tablet`` is a device that the household shares, and
    so are ``home`` and ``ip``. ``payee`` is the name under which others pay this account.
    ``payday`` is 0 where nothing comes in. The account is checked at ``checked_ms``; until then
    ``kyc_level`` is 0.
    """

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
    friends: list[str]
    tablet: str
    payee: str
    payday: int
    checked_ms: int = 0
    checked_level: int = 1
    devices_seen: int = 1
    period: int = -1
    trip: Trip = _NO_TRIP

    @property
    def place(self) -> Place:
        return PLACES[self.home]

    def journey(self, at_ms: int) -> Trip | None:
        """The trip on which the account is at ``at_ms``; None at home."""
        period = period_of(at_ms)
        if period != self.period:
            self.period = period
            self.trip = trip_in(self.number, self.persona, self.home, period) or _NO_TRIP
        trip = self.trip
        return trip if trip.start_ms <= at_ms < trip.end_ms else None

    def whereabouts(self, at_ms: int) -> int:
        """The number of the place where the account is at ``at_ms``."""
        trip = self.journey(at_ms)
        return self.home if trip is None else trip.where

    def is_on_the_way(self, at_ms: int) -> bool:
        """True in the hours after setting out and before coming back."""
        trip = self.journey(at_ms)
        return trip is not None and not (
            trip.start_ms + ON_THE_WAY_MS <= at_ms < trip.end_ms - ON_THE_WAY_MS
        )


class Population:
    """``count`` accounts; number ``i`` is the same person for the same seed, whatever came before.

    Numbers go by persona in turns of 100, so that a persona's accounts are found without a table.
    ``now_ms`` is the time of the world: whoever is asked for is in use then.
    """

    def __init__(self, seed: int, count: int, market: Market, start_ms: int) -> None:
        self.count = count
        self.now_ms = start_ms
        self.roster = Roster(seed, count, start_ms)
        self._seed = seed
        self._market = market
        self._start_ms = start_ms
        self._accounts: dict[int, Account] = {}
        self._turns = -(-count // 100)

    def of_persona(self, rng: Random, first: int, per_cent: int) -> Account:
        """One of the accounts with ``first <= number % 100 < first + per_cent``; low turns are
        busier than high ones, as some people pay more often than others. Rarely it is one
        that has been silent."""
        if first >= self.count:
            return self.anyone(rng)
        for _ in range(_TRIES):
            turn = int(self._turns * rng.random() ** 1.6)
            number = turn * 100 + first + int(per_cent * rng.random())
            if number < self.count and self._acts(rng, number):
                return self.account(number)
        return self.account(0)

    def anyone(self, rng: Random) -> Account:
        """An account in use, each as likely as the other: fraud does not care for habits."""
        for _ in range(_TRIES):
            number = int(rng.random() * self.count)
            if self.roster.is_present(number, self.now_ms):
                return self.account(number)
        return self.account(0)

    def dormant(self, rng: Random) -> Account | None:
        """An account that has been silent for two months; None where none is found."""
        silent_ms, since_ms = self.roster.silent_ms, self.now_ms - DORMANT_DAYS * DAY_MS
        for _ in range(10 * _TRIES):
            number = int(rng.random() * self.count)
            if silent_ms[number] <= since_ms:
                return self.account(number)
        return None

    def account(self, number: int) -> Account:
        """Account ``number``, the same object each time."""
        account = self._accounts.get(number)
        if account is None:
            account = self._accounts[number] = self._build(number)
        return account

    def payee(self, number: int) -> str:
        """The name under which account ``number`` is paid."""
        return name("ben", self._seed, number, 99)

    def _acts(self, rng: Random, number: int) -> bool:
        """True for an account in use, rarely for a silent one: somebody comes back."""
        roster, now_ms = self.roster, self.now_ms
        if now_ms < roster.joined_ms[number]:
            return False
        return now_ms < roster.silent_ms[number] or rng.random() < _RETURNS

    def _build(self, number: int) -> Account:
        seed = self._seed
        rng = Random(mix(seed, number, 1))  # noqa: S311
        persona = PERSONA_OF[number % 100]
        members = household(number, self.count)
        shared = Random(mix(seed, members[0], 2))  # noqa: S311
        home = bisect_right(_HOMES, shared.random() * _HOMES[-1])
        local, place = self._market.shops[home], PLACES[home]
        joined_ms = self.roster.joined_ms[number]
        opened_ms = joined_ms or self._start_ms - int((1 + 2500 * rng.random() ** 2) * DAY_MS)
        level = 1 + int(rng.random() * 3)
        checked_ms = opened_ms + int(rng.uniform(1, 30) * DAY_MS)
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
            ip=address(place, shared),
            email_hash=name("em", seed, number),
            opened_at=from_ms(opened_ms),
            kyc_level=level if checked_ms <= self._start_ms else 0,
            shops=tuple(local[int(len(local) * rng.random() ** 1.5)] for _ in range(8)),
            online=tuple(self._market.online_shop(rng) for _ in range(5)),
            beneficiaries=[
                name("ben", seed, number, at) for at in range(1 + int(rng.random() * 3))
            ],
            friends=[self.payee(friend) for friend in self._friends(rng, number, members)],
            tablet=name("dev", seed, members[0], 1),
            payee=self.payee(number),
            payday=self.roster.payday(number),
            checked_ms=checked_ms,
            checked_level=level,
        )

    def _friends(self, rng: Random, number: int, members: tuple[int, ...]) -> list[int]:
        """The rest of the household, then some people nearby."""
        found = [member for member in members if member != number]
        for _ in range(1 + int(rng.random() * 4)):
            friend = (number + 1 + int(rng.expovariate(1 / 60))) % self.count
            if friend != number and friend not in found:
                found.append(friend)
        return found


def address(place: Place, rng: Random) -> str:
    """An IP address that belongs to the country of ``place``."""
    bits = rng.getrandbits(24)
    return f"{place.ip_block}.{bits >> 16}.{bits >> 8 & 255}.{bits & 255}"
