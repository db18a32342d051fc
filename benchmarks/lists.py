"""How long it takes to look a value up, by the size of the list, and what a list weighs."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from benchmarks import common
from risk.collector import settle
from risk.domain.decision import Reason
from risk.domain.event import Payment
from risk.domain.findings import ActingList, ListSnapshot, Members
from risk.domain.times import from_ms
from risk.lists.keys import KEY_BYTES, NO_LENGTHS, text_key
from risk.lists.members import KeyTable, Tables, members_of
from risk.lists.segments import NEVER_MS, Segment, SegmentRef, ref_of, sorted_segment

SIZES: Final = (100, 10_000, 1_000_000, 5_000_000)
ASKED: Final = 20_000  # different values: more than the cache of keys holds
LISTS: Final = 10
NOW_MS: Final = 1_790_000_000_000


def main(
    sizes: Annotated[str, typer.Option(help="Entries, with commas between.")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the best of each counts.")] = 5,
    report: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
) -> None:
    """Measure lists on one core, in CPU time; every value that is asked for is another one.

    Keys: machine, sizes (entries to hit_us, miss_us, bytes_per_entry, build_ms, change_ms),
    grows (miss_us of the largest over that of the smallest), dict_miss_us and
    dict_bytes_per_entry (a dictionary of as many texts as the largest, at most 1,000,000),
    network_us (an address in a list of 10,000 networks of 5 lengths), payment_us (all of a
    payment's fields in 10 lists of 10,000), repeated_us (a value that was asked for before).
    Exit codes: 0, 1 where a look-up is wrong.
    """
    settle()
    wanted = tuple(int(one) for one in sizes.split(",")) if sizes else SIZES
    found: dict[str, Any] = {"machine": common.machine(), "sizes": {}}
    for entries in wanted:
        found["sizes"][str(entries)] = _size(entries, rounds)
        common.say(f"{entries} entries: {found['sizes'][str(entries)]}")
    misses = [one["miss_us"] for one in found["sizes"].values()]
    found["grows"] = round(misses[-1] / misses[0], 2)
    found |= _dictionary(min(max(wanted), 1_000_000), rounds)
    found["network_us"] = _networks(rounds)
    found["payment_us"], found["repeated_us"] = _payment(rounds)
    rows = [
        [f"{entries} entries", one["hit_us"], one["miss_us"], one["bytes_per_entry"]]
        for entries, one in found["sizes"].items()
    ]
    common.show("lists", ("list", "hit us", "miss us", "bytes an entry"), rows)
    common.write_report(report, found)


def _size(entries: int, rounds: int) -> dict[str, float]:
    held = [f"tok-{number}" for number in range(min(entries, ASKED))]
    keys = b"".join(text_key(one) for one in held)
    # The rest are keys of nobody: their values would only cost time to make.
    keys += np.random.default_rng(1).bytes(KEY_BYTES * (entries - len(held)))
    segment = sorted_segment(keys, np.full(entries, NEVER_MS), NO_LENGTHS)
    small = Segment.of("card", [("tok-late", NEVER_MS)])
    refs = (SegmentRef("base", entries), ref_of(small))
    tables = Tables(lambda digest: segment if digest == "base" else small)
    build_ms = _best_s(lambda: KeyTable(segment), 1) * 1e3
    members = tables.members("card", refs)
    change_ms = _best_s(lambda: tables.members("card", refs), rounds) * 1e3
    absent = [f"other-{number}" for number in range(ASKED)]
    _right(members, held, absent)
    table = KeyTable(segment)
    return {
        "hit_us": _lookup_us(members, held, rounds),
        "miss_us": _lookup_us(members, absent, rounds),
        "bytes_per_entry": round(table.size_bytes / entries, 1),
        "build_ms": round(build_ms, 1),
        "change_ms": round(change_ms, 3),
    }


def _right(members: Members, held: Sequence[str], absent: Sequence[str]) -> None:
    wrong = [one for one in held if not members.holds(one, NOW_MS)]
    wrong += [one for one in absent if members.holds(one, NOW_MS)]
    if wrong:
        common.say(f"{wrong[0]} is looked up wrongly")
        raise typer.Exit(1)


def _lookup_us(members: Members, values: Sequence[str], rounds: int) -> float:
    """us for a value that the cache of keys does not know."""
    holds = members.holds

    def ask() -> None:
        text_key.cache_clear()
        for value in values:
            holds(value, NOW_MS)

    return round(_best_s(ask, rounds) / len(values) * 1e6, 3)


def _dictionary(entries: int, rounds: int) -> dict[str, float]:
    """What a dictionary of texts takes, for comparison."""
    held = {f"tok-{number:016x}": NEVER_MS for number in range(entries)}
    weight = sys.getsizeof(held) + sum(sys.getsizeof(one) for one in held)
    absent = [f"other-{number}" for number in range(ASKED)]

    def ask() -> None:
        for value in absent:
            held.get(value)

    return {
        "dict_miss_us": round(_best_s(ask, rounds) / ASKED * 1e6, 3),
        "dict_bytes_per_entry": round(weight / entries, 1),
    }


def _networks(rounds: int) -> float:
    lengths = (8, 16, 20, 24, 32)
    numbers = [number * 419_431 % 2**32 for number in range(10_000)]
    values = sorted({_network(one, lengths[at % 5]) for at, one in enumerate(numbers)})
    members = members_of("ip", values)
    asked = [f"10.{number % 250}.{number // 250}.7" for number in range(ASKED)]
    return _lookup_us(members, asked, rounds)


def _network(number: int, length: int) -> str:
    number = number >> (32 - length) << (32 - length)
    octets = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
    return octets if length == 32 else f"{octets}/{length}"


def _payment(rounds: int) -> tuple[float, float]:
    """us for all lists of a payment: with values that are new, and with known ones."""
    values = [f"tok-{number}" for number in range(10_000)]
    reason = Reason(code="LIST_X", sentence="s", customer="c")
    fields = ("account", "card", "device", "merchant", "beneficiary")
    acting = tuple(
        ActingList(f"list_{at}", "block", ((fields[at % 5], reason),), members_of("card", values))
        for at in range(LISTS)
    )
    lists = ListSnapshot({}, "v", acting)
    payments = [_event(number) for number in range(2_000)]

    def ask() -> None:
        text_key.cache_clear()
        for one in payments:
            lists.hits(one)

    def again() -> None:
        for one in payments:
            lists.hits(one)

    fresh, known = _best_s(ask, rounds), _best_s(again, rounds)
    return round(fresh / len(payments) * 1e6, 2), round(known / len(payments) * 1e6, 2)


def _event(number: int) -> Payment:
    return Payment(
        id=f"p{number}", occurred_at=from_ms(NOW_MS), account=f"a{number}", card=f"c{number}",
        device=f"d{number}", merchant=f"m{number}", beneficiary=f"b{number}", amount_minor=1,
        currency="EUR",
    )  # fmt: skip


def _best_s(work: Callable[[], object], rounds: int) -> float:
    best = math.inf
    for _ in range(rounds):
        began_s = time.process_time()
        work()
        best = min(best, time.process_time() - began_s)
    return best


if __name__ == "__main__":
    common.run(main)
