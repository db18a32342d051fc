"""Random payments and the histories that their features look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from features.records import AMOUNT_UNKNOWN, HOLE_RECORD, Facts, facts, pack
from features.tails import Tail
from risk.domain.codes import COUNTRY_INDEX
from risk.domain.event import Payment, TopUp, Transfer, Withdrawal
from risk.domain.ids import hash20
from risk.domain.kinds import RECORD_KIND_CODE, entities, record_kind
from risk.domain.observation import Arrival
from risk.domain.times import from_ms
from tests.support.feature_oracle import WINDOW, Log

NOW_MS = 1_790_000_123_456
ROLES = ("account", "card", "device", "ip", "counterparty")


@dataclass(frozen=True)
class Case:
    """A payment with the logs of its entities, in both the oracle's and the real form."""

    arrival: Arrival
    of: Facts
    logs: dict[str, Log]

    @property
    def payment(self) -> Payment:
        assert isinstance(self.arrival.event, Payment)
        return self.arrival.event

    @property
    def tails(self) -> tuple[Tail, ...]:
        return tuple(
            Tail(
                kind,
                b"".join(HOLE_RECORD if one is None else pack(one, kind) for one in log.entries),
                log.truncated,
            )
            for kind, log in self.logs.items()
        )

    @property
    def item(self) -> tuple[Arrival, tuple[Tail, ...]]:
        return self.arrival, self.tails


_edges = [edge + off for edge in (0, *WINDOW.values()) for off in (-1, 0, 1)]
ages = st.one_of(
    st.sampled_from([*_edges, -4_999, -5_000, -5_001, 3_600_000, 59_999, 60_000]),
    st.integers(-10_000, 32 * 86_400_000),
    st.integers(0, 7_200_000),
)
names = st.integers(1, 3)
amounts = st.one_of(
    st.integers(0, 2_000),
    st.sampled_from([500, 501, 10**8 - 1, 10**8, 10**8 + 1, 2**32 - 2, AMOUNT_UNKNOWN]),
    st.integers(0, 2**32 - 1),
)
places = st.one_of(
    st.just((0, 0)),
    st.tuples(st.integers(1, 65535), st.integers(1, 65535)),
    st.sampled_from([(1, 1), (65535, 65535), (32768, 1), (32768, 65535), (32768, 32768)]),
)


@st.composite
def records(draw: st.DrawFn, now_ms: int) -> Facts:
    """The facts of an earlier event, near the edges of the windows."""
    lat, lon = draw(places)
    hashes = tuple(draw(st.one_of(st.just(0), names.map(_hash(role)))) for role in ROLES)
    return Facts(
        time_ms=now_ms - draw(ages),
        kind=draw(st.sampled_from([1, 1, 1, *RECORD_KIND_CODE.values()])),
        channel=draw(st.integers(0, 8)),
        flags=draw(st.integers(0, 3)),
        currency=draw(st.integers(0, 200)),
        amount_minor=draw(st.integers(0, 10**12 - 1)),
        amount_base=draw(amounts),
        country=draw(st.sampled_from([0, COUNTRY_INDEX["DE"], COUNTRY_INDEX["FR"], 249])),
        mcc=draw(st.integers(0, 9999)),
        lat=lat,
        lon=lon,
        hashes=hashes,  # type: ignore[arg-type]  # five roles
        record_id=draw(st.integers(0, 65535)),
    )


def _hash(role: str) -> Any:
    return lambda number: hash20("main", role, f"{role}-{number}")


@st.composite
def payments(draw: st.DrawFn, now_ms: int) -> Payment:
    """A payment of which almost anything may be missing."""
    located = draw(st.booleans())
    maker = draw(st.sampled_from([Payment, Payment, Transfer, Withdrawal, TopUp]))
    country = st.none() | st.sampled_from(["DE", "FR"])

    def name(of: str) -> str | None:
        return draw(st.none() | names.map(lambda number: f"{of}-{number}"))

    return maker(
        id=draw(st.sampled_from(["p-1", "p-2"])),
        occurred_at=from_ms(now_ms),
        account=f"account-{draw(names)}",
        amount_minor=draw(st.integers(0, 10**12 - 1)),
        currency="EUR",
        card=name("card"),
        device=name("device"),
        ip=name("ip"),
        merchant=name("counterparty"),
        beneficiary=name("counterparty"),
        channel=draw(st.none() | st.sampled_from(["ecom", "pos_chip", "atm", "p2p"])),
        mcc=draw(st.none() | st.sampled_from(["5411", "0001"])),
        country=draw(country),
        card_country=draw(country),
        ip_country=draw(country),
        lat=draw(st.floats(-90, 90)) if located else None,
        lon=draw(st.floats(-180, 180)) if located else None,
        account_opened_at=draw(st.none() | st.integers(-(10**12), NOW_MS + 10**9).map(from_ms)),
        kyc_level=draw(st.none() | st.integers(0, 9)),
    )


@st.composite
def cases(draw: st.DrawFn, longest: int = 12) -> Case:
    """A payment and its histories: late, equal and future times, holes, unknown amounts."""
    now_ms = NOW_MS + draw(st.integers(0, 8 * 86_400_000))
    payment = draw(payments(now_ms))
    base = draw(st.none() | st.sampled_from([0, 1, 499, 10**8, 2**32 - 2]))
    entry = st.one_of(st.just(None), *[records(now_ms)] * 7)
    logs = {
        kind: Log(tuple(draw(st.lists(entry, max_size=longest))), draw(st.booleans()))
        for kind, _ in draw(st.permutations(entities(payment)))
    }
    arrival = Arrival(payment, b"", b"", "stream", now_ms, base)
    return Case(arrival, facts(payment, record_kind(payment), base), logs)
