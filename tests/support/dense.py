"""Dense random histories: many records near the edges, so that every feature has many values."""

from __future__ import annotations

import random

from features.records import AMOUNT_UNKNOWN, Facts, facts
from risk.domain.event import Payment, TopUp, Transfer
from risk.domain.ids import hash20
from risk.domain.kinds import RECORD_KIND_CODE, entities, record_kind
from risk.domain.observation import Arrival
from risk.domain.times import from_ms
from tests.support.feature_oracle import WINDOW, Log
from tests.support.histories import NOW_MS, ROLES, Case

_KINDS = [*RECORD_KIND_CODE.values()] + [1, 2, 3] * 10
_REPORTED = (899_999, 900_000, 950_000, 999_999, 1_000_000)  # about the reporting threshold
_CHANNELS = (None, "ecom", "pos_chip", "p2p")


def dense_case(rng: random.Random) -> Case:
    """A payment with up to 60 records in each of its logs, mostly in the order of time."""
    now_ms = NOW_MS + rng.randrange(8 * 86_400_000)
    payment = _payment(rng, now_ms)
    base = rng.choice(
        (None, 0, 499, rng.choice(_REPORTED), rng.randrange(5_000), rng.randrange(2**32 - 1))
    )
    logs = {}
    for kind, _ in entities(payment):
        length = rng.choice((0, 1, 2, rng.randrange(60)))
        entries = sorted((_record(rng, now_ms) for _ in range(length)), key=lambda one: one.time_ms)
        mixed: list[Facts | None] = [*entries]
        for _ in range(length // 8):
            one, other = rng.randrange(length), rng.randrange(length)
            mixed[one], mixed[other] = mixed[other], mixed[one]
            if rng.random() < 0.5:
                mixed[one] = None
        logs[kind] = Log(tuple(mixed), rng.random() < 0.5)
    arrival = Arrival(payment, b"", b"", "stream", now_ms, base)
    return Case(arrival, facts(payment, record_kind(payment), base), logs)


def _payment(rng: random.Random, now_ms: int) -> Payment:
    located = rng.random() < 0.7

    def name(of: str) -> str | None:
        return f"{of}-{rng.randrange(6)}" if rng.random() < 0.8 else None

    return rng.choice((Payment, Payment, Transfer, TopUp))(
        id="p-1",
        occurred_at=from_ms(now_ms),
        account=f"account-{rng.randrange(6)}",
        amount_minor=rng.choice((0, 1000 * rng.randrange(1_000), rng.randrange(10**12))),
        currency="EUR",
        card=name("card"),
        device=name("device"),
        ip=name("ip"),
        merchant=name("counterparty"),
        beneficiary=name("counterparty"),
        channel=rng.choice(_CHANNELS),  # type: ignore[arg-type]  # known channels
        mcc=rng.choice((None, "5411", "0001")),
        country=rng.choice((None, "DE", "FR", "NL")),
        card_country=rng.choice((None, "DE", "FR")),
        ip_country=rng.choice((None, "DE", "FR")),
        lat=rng.uniform(-90, 90) if located else None,
        lon=rng.uniform(-180, 180) if located else None,
        account_opened_at=rng.choice((None, from_ms(now_ms - rng.randrange(-(10**9), 10**12)))),
        kyc_level=rng.choice((None, rng.randrange(10))),
    )


def _record(rng: random.Random, now_ms: int) -> Facts:
    edge = rng.choice((0, *WINDOW.values()))
    age = rng.choice(
        (
            edge + rng.choice((-1, 0, 1)),
            rng.randrange(edge + 1),
            rng.randrange(-6_000, 4_000_000),
            rng.choice((-5_001, -5_000, 60_000)),
        )
    )
    located = rng.random() < 0.6
    amounts = (
        AMOUNT_UNKNOWN,
        rng.choice(_REPORTED),
        rng.randrange(1_000),
        rng.randrange(10**6),
        rng.randrange(2**32),
    )
    payment = _payment(rng, now_ms)
    return facts(payment, "payment", 0)._replace(
        time_ms=now_ms - age,
        kind=rng.choice(_KINDS),
        amount_base=rng.choice(amounts),
        lat=rng.randrange(1, 65536) if located else 0,
        lon=rng.randrange(1, 65536) if located else 0,
        hashes=tuple(  # type: ignore[arg-type]  # five roles
            hash20("main", role, f"{role}-{rng.randrange(6)}") if rng.random() < 0.8 else 0
            for role in ROLES
        ),
    )
