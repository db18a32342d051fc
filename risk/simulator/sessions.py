"""Where somebody sits when they use the account: device, address, and how they log in."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from risk.domain.event import PasswordReset
from risk.domain.times import from_ms
from risk.simulator.numbers import mix, name
from risk.simulator.places import PLACES, Place
from risk.simulator.population import Account
from risk.simulator.script import Script
from risk.simulator.seasons import HOUR_MS, day_of, hour_of

FAILED_LOGINS: Final = 0.06
DEVICE_CHANGES: Final = 0.004  # of logins
MOBILE_NETWORK: Final = 0.25  # of sessions at home: by the address of a mobile network
SHARED_DEVICE: Final = 0.10  # of sessions at home: on the tablet of the household
OFFICE: Final = 0.40  # of sessions of commuters in office hours
HOTEL: Final = 0.55  # of sessions on a trip; the rest roams
ROAMS_HOME: Final = 0.5  # of roaming: the address is one of the network at home
_CARRIER_ADDRESSES: Final = 250  # in a country, each shared by many people


class Session(NamedTuple):
    """Device, IP address, and the country of that address."""

    device: str
    ip: str
    country: str


def session(script: Script, account: Account, at_ms: int) -> Session:
    """Device and address of an errand on the internet: mostly the usual ones."""
    rng = script.rng
    trip = account.journey(at_ms)
    draw = rng.random()
    if trip is not None:
        away = PLACES[trip.where]
        if draw < HOTEL:
            return Session(account.device, _fixed(away.ip_block, trip.key), away.country)
        network = account.place if rng.random() < ROAMS_HOME else away
        return Session(account.device, _carrier(network, account, rng.random()), network.country)
    country = account.place.country
    if draw < MOBILE_NETWORK:
        ip = _carrier(account.place, account, rng.random())
        return Session(account.device, ip, country)
    if draw < MOBILE_NETWORK + SHARED_DEVICE:
        return Session(account.tablet, account.ip, country)
    if draw > 1 - OFFICE and _is_at_work(account, at_ms):
        return Session(account.device, _office(account.place.ip_block, account.number), country)
    return Session(account.device, account.ip, country)


def log_in(script: Script, account: Account, at_ms: int, where: Session) -> tuple[int, Session]:
    """A login with its failed tries, rarely from a new phone; when and where it was done."""
    rng = script.rng
    device, ip, _ = where
    if rng.random() < FAILED_LOGINS:
        for _ in range(1 + int(rng.expovariate(1.2))):
            script.login(account, at_ms, device, ip, ok=False)
            at_ms += 4_000 + int(rng.expovariate(1 / 20_000))
        if rng.random() < 0.12:
            script.agenda.add(
                at_ms,
                PasswordReset(
                    id=script.id("rst"), occurred_at=from_ms(at_ms), account=account.id,
                    device=device, ip=ip,
                ),
            )  # fmt: skip
            at_ms += 60_000 + int(HOUR_MS / 20 * rng.random())
    if rng.random() < DEVICE_CHANGES:
        return at_ms + 3_000, change_device(script, account, at_ms, where)
    script.login(account, at_ms, device, ip)
    return at_ms + 1_000, where


def change_device(script: Script, account: Account, at_ms: int, where: Session) -> Session:
    """The account moves to a new phone, logs in from it, and says so."""
    account.devices_seen += 1
    account.device = name("dev", script.seed, account.number, account.devices_seen)
    script.login(account, at_ms, account.device, where.ip)
    script.device_change(account, at_ms + 1_000, account.device, where.ip)
    return Session(account.device, where.ip, where.country)


def card_of(script: Script, account: Account) -> str:
    """One of the account's cards, mostly the first."""
    cards = account.cards
    return cards[0] if len(cards) == 1 else cards[int(len(cards) * script.rng.random() ** 2)]


def _is_at_work(account: Account, at_ms: int) -> bool:
    if account.persona.title not in ("commuter", "business"):
        return False
    return day_of(at_ms).weekday < 5 and 8 <= hour_of(at_ms) < 17


@lru_cache(maxsize=4096)
def _office(block: int, number: int) -> str:
    """The address of the work place: shared by ten people who are neighbours in number."""
    return _fixed(block, mix(block, number // 10, 23))


def _carrier(place: Place, account: Account, draw: float) -> str:
    """One of the few addresses that the mobile network gives this account."""
    which = (account.number * 7 + int(4 * draw)) % _CARRIER_ADDRESSES
    return f"{place.ip_block}.250.{which}.1"


def _fixed(block: int, key: int) -> str:
    return f"{block}.{key >> 16 & 127}.{key >> 8 & 255}.{key & 255}"
