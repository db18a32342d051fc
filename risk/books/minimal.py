"""The fewest rules with the same outcomes: exact where few rules depend on each other.

A case is what one payment asks of the rules that hit it. Rules without a common case do not
depend on each other, so each cluster is solved by itself: up to ``EXACT_RULES_MAX`` rules by
looking at every subset, more by dropping one rule after the other, the one with the fewest hits
first, until none can be dropped alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from risk.policy import PRECEDENCE

EXACT_RULES_MAX: Final = 18
# Actions that decide, as bits.
BITS: Final = {action: 1 << place for place, step in enumerate(PRECEDENCE) for action in step}


class Case(NamedTuple):
    """What a payment asks: the rules that hit it and may be dropped, as (rule, bit of its action).

    ``fixed`` are the bits of the rules that stay. ``allowed`` are the sums of bits under which
    its outcome is what it is with all of them.
    """

    rules: tuple[tuple[int, int], ...]
    fixed: int
    allowed: frozenset[int]

    def holds(self, kept: set[int] | frozenset[int]) -> bool:
        """Whether the outcome stays where only ``kept`` are left."""
        found = self.fixed
        for rule, bit in self.rules:
            if rule in kept:
                found |= bit
        return found in self.allowed


class Solution(NamedTuple):
    """The rules that are needed. ``exact``: no smaller set has the same outcomes."""

    kept: frozenset[int]
    exact: bool


def smallest(cases: Iterable[Case], hits: Mapping[int, int]) -> Solution:
    """The fewest rules that hold every case; ``hits`` says which to drop first.

    >>> both = Case(((0, 8), (1, 8)), 0, frozenset({8}))
    >>> sorted(smallest([both], {0: 5, 1: 3}).kept)
    [0]
    """
    binding = sorted({case for case in cases if _picky(case)}, key=_order)
    kept: set[int] = set()
    exact = True
    for rules, own in _clusters(binding):
        if len(rules) <= EXACT_RULES_MAX:
            kept |= _exact(rules, own, hits)
        else:
            kept |= _greedy(rules, own, hits)
            exact = False
    return Solution(frozenset(kept), exact)


def _picky(case: Case) -> bool:
    """Whether some choice of its rules would change the outcome."""
    bits = {bit for _, bit in case.rules}
    sums = {case.fixed}
    for bit in bits:
        sums |= {one | bit for one in sums}
    return not sums <= case.allowed


def _order(case: Case) -> tuple[tuple[tuple[int, int], ...], int, list[int]]:
    return case.rules, case.fixed, sorted(case.allowed)


def _clusters(cases: Sequence[Case]) -> list[tuple[list[int], list[Case]]]:
    """Rules that cases bind together, and these cases."""
    leader: dict[int, int] = {}

    def lead(rule: int) -> int:
        while leader.setdefault(rule, rule) != rule:
            rule = leader[rule]
        return rule

    for case in cases:
        first = lead(case.rules[0][0])
        for rule, _bit in case.rules:
            leader[lead(rule)] = first
    found: dict[int, tuple[list[int], list[Case]]] = {}
    for rule in sorted(leader):
        found.setdefault(lead(rule), ([], []))[0].append(rule)
    for case in cases:
        found[lead(case.rules[0][0])][1].append(case)
    return list(found.values())


def _exact(rules: Sequence[int], cases: Sequence[Case], hits: Mapping[int, int]) -> set[int]:
    """The smallest subset; among equals the one whose rules hit the most, then the earliest."""
    place = {rule: at for at, rule in enumerate(rules)}
    subsets: NDArray[np.int64] = np.arange(1 << len(rules), dtype=np.int64)
    # Cases that few rules can hold leave the fewest subsets to look at.
    for case in sorted(cases, key=lambda one: len(one.rules)):
        found = np.full(len(subsets), case.fixed, np.int64)
        for bit in {bit for _, bit in case.rules}:
            members = sum(1 << place[rule] for rule, own in case.rules if own == bit)
            found |= np.where(subsets & members, bit, 0)
        table = np.zeros(16, np.bool_)
        table[list(case.allowed)] = True
        subsets = subsets[table[found]]
    sizes = np.bitwise_count(subsets)
    best = subsets[sizes == sizes.min()].tolist()

    def worth(subset: int) -> tuple[int, int]:
        members = [rule for rule in rules if subset >> place[rule] & 1]
        return sum(hits.get(rule, 0) for rule in members), -subset

    chosen = max(best, key=worth)
    return {rule for rule in rules if chosen >> place[rule] & 1}


def _greedy(rules: Sequence[int], cases: Sequence[Case], hits: Mapping[int, int]) -> set[int]:
    """No rule that is left can be dropped alone."""
    kept = set(rules)
    of: dict[int, list[Case]] = {rule: [] for rule in rules}
    for case in cases:
        for rule, _bit in case.rules:
            of[rule].append(case)
    dropped = True
    while dropped:
        dropped = False
        for rule in sorted(kept, key=lambda one: (hits.get(one, 0), -one)):
            fewer = kept - {rule}
            if all(case.holds(fewer) for case in of[rule]):
                kept, dropped = fewer, True
    return kept
