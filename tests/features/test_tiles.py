"""What tiles add to windows that begin before the tail, against the rule read aloud."""

from __future__ import annotations

import random

import pytest

from features.catalogue import FEATURE_NAMES
from features.records import AMOUNT_UNKNOWN, facts, pack
from features.tails import Tail
from features.vectors import vectors
from risk.domain.limits import HOUR_TILES_MS, TAIL_CAP
from tests.support.memory import START_MS, payment

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
WINDOWS = {"24h": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS}


@pytest.mark.parametrize("seed", range(8))
def test_counts_sums_and_maxima_go_on_in_tiles(seed: int) -> None:
    rng = random.Random(seed)
    of = facts(payment(1).event, "payment", 1)
    step_ms = rng.choice((20_000, 300_000, 3_000_000))
    past = [
        of._replace(
            time_ms=START_MS
            - (1500 - number) * step_ms
            - rng.choice((0, 0, rng.randrange(HOUR_MS))),
            amount_base=rng.choice((AMOUNT_UNKNOWN, rng.randrange(10**6))),
        )
        for number in range(1500)
    ]
    cut = len(past) - TAIL_CAP
    newest = max(one.time_ms for one in past[:cut])
    coarse = (newest - HOUR_TILES_MS) // DAY_MS * DAY_MS

    def counts(number: int, window_ms: int) -> bool:
        one, edge = past[number], START_MS - window_ms
        if number >= cut or past[cut].time_ms <= edge:
            return number >= cut and one.time_ms > edge
        width = DAY_MS if one.time_ms < coarse else HOUR_MS
        return one.time_ms // width * width + width // 2 > edge

    tails = tuple(
        Tail(
            kind,
            b"".join(pack(one, kind) for one in past[cut:]),
            True,
            b"".join(pack(one, kind) for one in past[:cut]),
            b"",
        )
        for kind in ("account", "card")
    )
    matrix, (inexact,) = vectors([(payment(1), tails)])
    value = dict(zip(FEATURE_NAMES, matrix[0].tolist(), strict=True))
    for window, window_ms in WINDOWS.items():
        inside = [one for number, one in enumerate(past) if counts(number, window_ms)]
        amounts = [one.amount_base for one in inside if one.amount_base != AMOUNT_UNKNOWN]
        assert value[f"card_payments_{window}"] == len(inside)
        assert value[f"account_amount_sum_{window}"] == sum(amounts)
        assert f"card_payments_{window}" not in inexact
    assert value["account_amount_max_30d"] == max(amounts)
    assert value["account_amount_mean_30d"] == sum(amounts) / len(amounts)
