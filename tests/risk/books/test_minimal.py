"""The fewest rules: against every subset, on random cases, and what is greedy is irreducible."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from risk.books import minimal
from risk.books.minimal import BITS, Case, smallest


def sums_of(rules: tuple[tuple[int, int], ...], fixed: int) -> set[int]:
    found = {fixed}
    for _, bit in rules:
        found |= {one | bit for one in found}
    return found


def random_cases(rng: random.Random, rules: int, count: int) -> list[Case]:
    bit_of = [rng.choice(list(BITS.values())) for _ in range(rules)]
    cases = []
    for _ in range(count):
        hit = sorted(rng.sample(range(rules), rng.randint(1, min(4, rules))))
        own = tuple((rule, bit_of[rule]) for rule in hit)
        fixed = rng.choice((0, 0, 8))
        whole = fixed
        for _, bit in own:
            whole |= bit
        sums = sums_of(own, fixed)
        allowed = frozenset({whole} | {one for one in sums if rng.random() < 0.3})
        cases.append(Case(own, fixed, allowed))
    return cases


def least(cases: list[Case], rules: int) -> int:
    for size in range(rules + 1):
        for kept in combinations(range(rules), size):
            if all(case.holds(set(kept)) for case in cases):
                return size
    raise AssertionError("all rules together hold every case")


@pytest.mark.parametrize("seed", range(60))
def test_it_is_as_small_as_the_smallest_of_all_subsets(seed: int) -> None:
    rng = random.Random(seed)
    rules = rng.randint(1, 9)
    cases = random_cases(rng, rules, rng.randint(1, 12))
    found = smallest(cases, {})
    assert found.exact
    assert all(case.holds(found.kept) for case in cases)
    assert len(found.kept) == least(cases, rules)


@pytest.mark.parametrize("seed", range(20))
def test_without_looking_at_subsets_no_rule_can_be_dropped_alone(seed: int) -> None:
    rng = random.Random(seed)
    rules = minimal.EXACT_RULES_MAX + 12
    chain = [Case(((one, 8), (one + 1, 8)), 0, frozenset({8})) for one in range(rules - 1)]
    cases = chain + random_cases(rng, rules, 30)
    hits = {rule: rng.randint(0, 9) for rule in range(rules)}
    found = smallest(cases, hits)
    assert not found.exact
    assert all(case.holds(found.kept) for case in cases)
    assert 0 < len(found.kept) < rules
    for rule in found.kept:
        assert not all(case.holds(found.kept - {rule}) for case in cases)


def test_of_equals_the_one_that_hits_most_stays_then_the_earliest() -> None:
    either = Case(((0, 4), (1, 4), (2, 4)), 0, frozenset({4}))
    assert smallest([either], {0: 1, 1: 7, 2: 7}).kept == {1}
    assert smallest([], {0: 1}).kept == frozenset()


def test_an_allow_and_what_it_overrules_may_go_together() -> None:
    overruled = Case(((0, 2), (1, 8)), 0, frozenset({0, 2, 10}))
    assert smallest([overruled], {}).kept == frozenset()
    needed = Case(((1, 8),), 0, frozenset({8}))
    assert smallest([overruled, needed], {}).kept == {0, 1}
