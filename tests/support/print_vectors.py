"""Print a digest of many vectors, for processes under other processor settings."""

from __future__ import annotations

import hashlib
import random

from features.records import facts, pack
from features.tails import Tail
from features.vectors import vectors
from risk.domain.event import Payment
from risk.domain.kinds import RECORD_KIND_CODE, entities
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
    """A payment whose five tails hold ``records`` each, thicker towards the present."""
    of = payment(rng, 0, NOW_MS)
    kinds = ["payment", "payment", *RECORD_KIND_CODE]
    tails = []
    for kind, _ in entities(of):
        ages = sorted(int(rng.random() ** 3 * 31 * 86_400_000) for _ in range(records))[::-1]
        earlier = [payment(rng, n, NOW_MS - age) for n, age in enumerate(ages)]
        body = b"".join(
            pack(facts(one, rng.choice(kinds), one.amount_minor), kind) for one in earlier
        )
        tails.append(Tail(kind, body, rng.random() < 0.5))
    return Arrival(of, b"", b"", "stream", NOW_MS, of.amount_minor), tuple(tails)


def main(items: int = 12, records: int = 40) -> None:
    rng = random.Random(7)
    dense = [dense_case(rng).item for _ in range(5 * items)]
    matrix, inexact = vectors([item(rng, records) for _ in range(items)] + dense)
    print(hashlib.sha256(matrix.tobytes() + repr(inexact).encode()).hexdigest())


if __name__ == "__main__":
    main()
