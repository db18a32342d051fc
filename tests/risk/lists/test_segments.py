"""Chains of segments and tables say what the plain record of all changes says."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.domain.errors import BadVersion
from risk.domain.ids import digest
from risk.lists.members import LARGE, KeyTable, Tables, members_of
from risk.lists.segments import (
    GONE_MS,
    NEVER_MS,
    Segment,
    SegmentRef,
    extended,
    merged,
    read_segment,
    ref_of,
)

CHANGES = st.lists(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from([GONE_MS, 100, 200, NEVER_MS])),
             min_size=1, max_size=12),
    max_size=12,
)  # fmt: skip


class Shelf:
    """Segments by digest; ``read`` counts."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.read = 0

    def find(self, name: str) -> Segment:
        self.read += 1
        return read_segment(self.bodies[name])

    def put(self, segment: Segment) -> None:
        body = segment.body()
        self.bodies[digest(body)] = body


@given(CHANGES)
def test_the_last_word_on_a_value_stands(changes: list[list[tuple[int, int]]]) -> None:
    shelf = Shelf()
    chain: tuple[SegmentRef, ...] = ()
    told: dict[int, int] = {}
    for change in changes:
        told.update(change)
        segment = Segment.of("card", [(f"c{value}", until) for value, until in change])
        chain, made = extended(chain, segment, shelf.find)
        shelf.put(made)
    members = Tables(shelf.find).members("card", chain)
    for value in range(32):
        until = told.get(value, GONE_MS)
        for at_ms in (0.0, 99.0, 100.0, 200.0, 1e15):
            wanted = until != GONE_MS and at_ms < until
            assert members.holds(f"c{value}", at_ms) is wanted
        assert members.holds(f"c{value}", math.nan) is (until != GONE_MS)
    sizes = [ref.entries for ref in chain]
    assert all(older > 2 * newer for older, newer in pairwise(sizes))


def test_a_long_chain_of_single_changes_stays_short() -> None:
    shelf, written = Shelf(), 0
    chain: tuple[SegmentRef, ...] = ()
    for number in range(500):
        chain, made = extended(chain, Segment.of("card", [(f"c{number}", NEVER_MS)]), shelf.find)
        shelf.put(made)
        written += made.entries
    assert len(chain) <= 9
    assert written < 500 * 9


def test_large_segments_become_one_table_that_is_made_once() -> None:
    shelf = Shelf()
    large = Segment.of("card", [(f"c{number}", 1_000 + number) for number in range(LARGE)])
    small = Segment.of("card", [("c1", GONE_MS), ("new", NEVER_MS)])
    for one in (large, small):
        shelf.put(one)
    chain = (ref_of(large), ref_of(small))
    tables = Tables(shelf.find)
    members = tables.members("card", chain)
    assert [members.holds(name, 1_500.0) for name in ("c0", "c1", "c600", "new", "never")] == [
        False, False, True, True, False,
    ]  # fmt: skip
    assert members.holds("c1", 0.0) is False
    read = shelf.read
    tables.members("card", chain)
    assert shelf.read == read + 1  # the small one only
    tables.keep([chain])
    tables.members("card", chain)
    assert shelf.read == read + 2
    tables.keep([])
    tables.members("card", chain)
    assert shelf.read == read + 4


@given(st.sets(st.integers(0, 10_000), max_size=300))
def test_a_table_finds_exactly_its_keys(numbers: set[int]) -> None:
    segment = Segment.of("card", [(str(number), number) for number in numbers])
    table = KeyTable(segment)
    assert len(table) == len(numbers)
    assert table.size_bytes <= 28 * len(numbers) + 4 * (len(numbers) + 5)
    keys = segment.keys.tobytes()
    for at, until in enumerate(segment.until_ms.tolist()):
        assert table.until_ms(keys[16 * at : 16 * at + 16]) == until
    assert table.until_ms(bytes(16)) == GONE_MS


def test_the_whole_chain_forgets_what_was_removed() -> None:
    one = Segment.of("card", [("a", 5), ("b", 6)])
    two = Segment.of("card", [("a", GONE_MS)])
    assert merged([one, two], whole=True).until_ms.tolist() == [6]
    assert sorted(merged([one, two], whole=False).until_ms.tolist()) == [GONE_MS, 6]


def test_networks_keep_their_lengths_and_bins_match_by_fewer_digits() -> None:
    nets = members_of("ip", ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"])
    asked = ["192.0.2.200", "192.0.3.1", "198.51.100.7", "2001:db8:7::1", "::1", "word"]
    assert [nets.holds(one, 0.0) for one in asked] == [True, False, True, True, False, False]
    assert nets.holds("::ffff:192.0.2.200", 0.0)
    bins = members_of("bin", ["411111", "4222222"])
    asked = ["411111", "41111199", "4222222", "422222", "42222223", "511111"]
    assert [bins.holds(one, 0.0) for one in asked] == [True, True, True, False, True, False]


def test_bytes_come_back_and_damage_is_named() -> None:
    segment = Segment.of("ip", [("192.0.2.0/24", 7), ("2001:db8::1", NEVER_MS)])
    again = read_segment(segment.body())
    assert np.array_equal(again.keys, segment.keys)
    assert np.array_equal(again.until_ms, segment.until_ms)
    assert again.lengths == segment.lengths == (1 << 24, 1 << 128)
    for body in (b"", b"WLE0" + segment.body()[4:], segment.body()[:-1]):
        with pytest.raises(BadVersion, match="entries"):
            read_segment(body)
    assert SegmentRef("d", 1) == SegmentRef("d", 1)
