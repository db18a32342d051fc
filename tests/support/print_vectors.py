"""Print a digest of many vectors, for processes under other processor settings."""

from __future__ import annotations

import hashlib
import random

from features.records import HOLE_RECORD, facts, pack
from features.rollups import Rollup
from features.tails import Tail
from features.vectors import vectors
from risk.domain.event import Payment
from risk.domain.kinds import RECORD_KIND_CODE, entities
from risk.domain.limits import SKEW_MS_MAX
from risk.domain.observation import Arrival
from risk.domain.times import from_ms
from tests.support.dense import dense_case

NOW_MS = 1_790_000_123_456


def payment(rng: random.Random, number: int, time_ms: int) -> Payment:
    return Payment(
        id=f"p-{number}",
        occurred_at=from_ms(time_ms),
        account=f"a-{rng.randrange(3)}",
        card=f"c-{rng.randrange(9)}",
        device=f"d-{rng.randrange(9)}",
        ip=f"i-{rng.randrange(30)}",
        merchant=f"m-{rng.randrange(40)}",
        amount_minor=rng.randrange(100_000),
        currency="EUR",
        country=rng.choice(["DE", "FR", "NL"]),
        lat=rng.uniform(-90, 90),
        lon=rng.uniform(-180, 180),
        channel="ecom",
        mcc="5411",
    )


def item(rng: random.Random, records: int) -> tuple[Arrival, tuple[Tail, ...]]:
    """A payment whose five tails hold ``records`` each, thicker towards the present.

    Two of three truncated ones know what fell off: a rollup, and records behind it.
    """
    of = payment(rng, 0, NOW_MS)
    kinds = ["payment", "payment", *RECORD_KIND_CODE]
    tails = []
    for kind, _ in entities(of):
        near = rng.choice((3, 3, 12))  # windows of hours, too, begin before the tail
        ages = sorted(int(rng.random() ** near * 33 * 86_400_000) for _ in range(3 * records))[::-1]
        ages[rng.randrange(2 * records)] = -SKEW_MS_MAX - 1  # newer than the payment may see
        earlier = [payment(rng, n, NOW_MS - age) for n, age in enumerate(ages)]
        packed = [
            HOLE_RECORD
            if rng.random() < 0.02
            else pack(facts(one, rng.choice(kinds), _base(rng, one)), kind)
            for one in earlier
        ]
        truncated, known = rng.random() < 0.7, rng.random() < 0.7
        rollup = Rollup()
        for first in range(0, records, 7):
            end = min(first + 7, records)
            rollup.fold(first, b"".join(packed[first:end]), end)
        tails.append(
            Tail(
                kind,
                b"".join(packed[2 * records :]),
                truncated,
                b"".join(packed[records : 2 * records]),
                rollup.pack() if known else None,
            )
        )
    return Arrival(of, b"", b"", "stream", NOW_MS, of.amount_minor), tuple(tails)


def _base(rng: random.Random, of: Payment) -> int | None:
    return of.amount_minor if rng.random() < 0.9 else None


def main(items: int = 12, records: int = 40) -> None:
    rng = random.Random(7)
    dense = [dense_case(rng).item for _ in range(5 * items)]
    matrix, inexact = vectors([item(rng, records) for _ in range(items)] + dense)
    print(hashlib.sha256(matrix.tobytes() + repr(inexact).encode()).hexdigest())


if __name__ == "__main__":
    main()
