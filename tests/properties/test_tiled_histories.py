"""Every feature of long histories against the oracle, where windows begin before the tails.

Two writers send events in batches of any size; some come late, twice or at the same time, and
every now and then the memory is packed and unpacked, as a restart does. The oracle keeps the
facts of each log in a list and reads the tile rule aloud.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from features.catalogue import CATALOGUE, FEATURE_NAMES
from features.local_memory import LocalMemory
from features.logs import fold_at, tail_from, unpack_log
from features.records import Facts
from features.vectors import facts_of, vectors
from risk.domain.event import Payment, is_scored
from risk.domain.kinds import entities, event_key
from risk.domain.observation import Arrival, Claimed, Lost
from risk.domain.times import rfc3339
from tests.support.feature_oracle import Answer, Log, expected
from tests.support.memory import START_MS, arrival

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
# The oracle computes these in another way, so they agree to rounding, not to the bit.
TOLERANT = {"_spread_": 1e-9, "_zscore_": 1e-6, "_distance": 1e-3, "_speed": 1e-1}
KINDS = ("payment",) * 6 + (
    "transfer",
    "withdrawal",
    "top_up",
    "login",
    "refund",
    "outcome",
    "label",
)
Name = tuple[str, str]


def event(rng: random.Random, number: int, at_ms: int) -> Arrival:
    """One account, card and merchant have most of the events, so that their logs are long."""
    kind = rng.choice(KINDS)

    def some(of: str, rare: int) -> str:
        return f"{of}{0 if rng.random() < 0.9 else rng.randrange(1, rare)}"

    fields: dict[str, Any] = {"id": f"e{number}", "account": some("a", 3), "device": some("d", 4)}
    if kind != "login":
        fields |= {"card": some("c", 3), "merchant": some("m", 3)}
    if kind == "outcome":
        fields |= {"payment_id": "p", "result": rng.choice(("authorised", "declined"))}
    elif kind == "label":
        label = rng.choice(("chargeback", "fraud_report", "analyst_legit"))
        fields |= {"payment_id": "p", "label": label, "known_at": rfc3339(at_ms)}
    elif kind != "login":
        amount = rng.choice((0, 1000, 950_000, rng.randrange(10**6), 2**32 - 2))
        fields |= {"amount_minor": amount, "currency": rng.choice(("EUR", "EUR", "USD"))}
    if kind in ("payment", "transfer", "withdrawal", "top_up"):
        fields |= {"ip": some("i", 3), "beneficiary": rng.choice((None, "b0"))}
        fields |= {"country": rng.choice((None, "DE", "FR")), "lat": 52.5, "lon": rng.uniform(0, 9)}
    return arrival(kind, at_ms, **fields)


def stream(rng: random.Random, count: int, step_ms: int, late_ms: int) -> list[Arrival]:
    """Events in the order in which they come: late ones, equal times, and some twice."""
    made: list[Arrival] = []
    at_ms = START_MS
    for number in range(count):
        at_ms += rng.choice((0, step_ms, 2 * step_ms))
        if made and rng.random() < 0.03:
            made.append(made[-rng.randrange(1, min(len(made), 400) + 1)])
        off = rng.choice((0, 0, 0, 0, -3_000, rng.randrange(late_ms)))
        made.append(event(rng, number, at_ms - off))
    return made


def interleaved(rng: random.Random, of: list[Arrival], largest: int) -> Iterator[list[Arrival]]:
    """What two writers hand in, each in its own order, in batches of up to ``largest``."""
    queues: tuple[list[Arrival], list[Arrival]] = ([], [])
    for one in of:
        queues[rng.random() < 0.5].append(one)
    while queues[0] or queues[1]:
        queue = rng.choice([queue for queue in queues if queue])
        size = rng.randint(1, largest)
        yield queue[:size]
        del queue[:size]


class Oracle:
    """Logs as lists of facts, and where each event stands in them."""

    def __init__(self) -> None:
        self.logs: dict[Name, list[Facts]] = defaultdict(list)
        self.places: dict[str, dict[Name, int]] = {}

    def claim(self, of: Arrival) -> dict[Name, int]:
        """The sequences of an event, which do not change when it comes again."""
        key = event_key(of.event)
        if key not in self.places:
            places = {name: len(self.logs[name]) for name in entities(of.event)}
            for name in places:
                self.logs[name].append(facts_of(of))
            self.places[key] = places
        return self.places[key]

    def lost(self, places: dict[Name, int]) -> bool:
        """Whether a log has been folded up to what the event may see, or further."""
        return any(
            place > 0 and tail_from(place) < fold_at(len(self.logs[name]))
            for name, place in places.items()
        )

    def answers(self, of: Arrival, places: dict[Name, int]) -> dict[str, Answer]:
        """Every feature, from its sentence."""
        assert isinstance(of.event, Payment)
        logs = {}
        for (kind, identifier), place in places.items():
            held, begin = self.logs[kind, identifier], tail_from(place)
            logs[kind] = Log(tuple(held[begin:place]), begin > 0, tuple(held[:begin]))
        return expected(of.event, facts_of(of), logs)


def restarted(memory: LocalMemory) -> None:
    """Every log becomes its bytes, and a log again."""
    memory._logs = {name: unpack_log(log.pack()) for name, log in memory._logs.items()}


def agree(name: str, ours: float, theirs: float) -> bool:
    if math.isnan(ours) or math.isnan(theirs):
        return math.isnan(ours) and math.isnan(theirs)
    for part, tolerance in TOLERANT.items():
        if part in name:
            return math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=tolerance)
    return ours == theirs


def run(seed: int, count: int, step_ms: int, late_ms: int, largest: int) -> Counter[str]:
    """Compare a history; how many values each feature had that tiles made, exact ones only."""
    rng = random.Random(seed)
    memory, oracle, by_tiles = LocalMemory(vectors), Oracle(), Counter[str]()
    batches = list(interleaved(rng, stream(rng, count, step_ms, late_ms), largest))
    checked = set(rng.sample(range(len(batches) // 2, len(batches)), min(6, len(batches) // 2)))
    for number, batch in enumerate(batches):
        if rng.random() < 0.05:
            restarted(memory)
        places = [oracle.claim(one) for one in batch]
        for of, seen, where in zip(batch, memory.observe_now(batch), places, strict=True):
            if isinstance(seen, Lost):
                assert oracle.lost(where)
                continue
            assert isinstance(seen, Claimed)
            assert [one.sequence for one in seen.positions] == list(where.values())
            if number not in checked or not is_scored(of.event):
                continue
            checked.discard(number)  # one payment of a batch is enough
            compare(seen, oracle.answers(of, where), by_tiles)
    return by_tiles


def compare(seen: Claimed, wanted: dict[str, Answer], by_tiles: Counter[str]) -> None:
    """Every value and flag of one vector."""
    assert seen.vector is not None
    assert set(wanted) == set(FEATURE_NAMES)
    truncated = {one.kind for one in seen.positions if one.tail_from > 0}
    for name, value, spec in zip(FEATURE_NAMES, seen.vector.tolist(), CATALOGUE, strict=True):
        theirs, doubt = wanted[name]
        assert agree(name, value, theirs), (name, value, theirs)
        assert (name in seen.inexact) == doubt, (name, value, theirs)
        if spec.exactness == "tiles" and spec.entity in truncated and not doubt:
            by_tiles[name] += 1


@settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking these would take minutes
    suppress_health_check=list(HealthCheck),
)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(300, 1100),
    step_ms=st.sampled_from([0, 2_000, 200_000, 2_400_000]),
    late_ms=st.sampled_from([1_000, HOUR_MS, DAY_MS, 40 * DAY_MS]),
    largest=st.sampled_from([1, 7, 64, 500]),
)
def test_every_feature_equals_its_sentence_past_the_caps(
    seed: int, count: int, step_ms: int, late_ms: int, largest: int
) -> None:
    run(seed, count, step_ms, late_ms, largest)


@pytest.mark.parametrize("step_ms", [100_000, 2_400_000])
def test_tiles_make_values_that_tails_cannot(step_ms: int) -> None:
    by_tiles = run(1, 1200, step_ms, HOUR_MS, 64)
    assert {"account_payments_30d", "account_amount_sum_30d", "card_amount_max_30d"} <= set(
        by_tiles
    )
