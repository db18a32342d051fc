"""The protocol holds in every interleaving, and each of its guards is needed."""

from __future__ import annotations

from collections import deque
from dataclasses import fields, replace

import pytest

from tests.simulation.protocol_model import HOLE, Body, Budget, Guards, Model, State, start

STATES_MAX = 2_000_000


def violation(model: Model, state: State) -> str | None:
    """What is wrong with ``state`` at any time, None where nothing is."""
    valid = model.valid(state)
    bodies: dict[str, Body] = {}
    for record in valid:
        if record.body is None:
            continue
        first = bodies.setdefault(record.payment, record.body)
        if first != record.body:
            return f"two decisions of {record.payment}: {first} and {record.body}"
    for payment, answer in state.answers:
        if bodies.get(payment) != answer:
            return f"answered {answer}, published {bodies.get(payment)}"
    places: dict[int, str] = {}
    for record in valid:
        if places.setdefault(record.sequence, record.payment) != record.payment:
            return f"two records at sequence {record.sequence}"
    for body in bodies.values():
        for sequence, seen in enumerate(body.vector):
            rebuilt = places.get(sequence)
            if rebuilt is not None and rebuilt != seen:
                return f"{body} saw {seen} at {sequence}, the topics say {rebuilt}"
    return None


def unfinished(model: Model, state: State) -> str | None:
    """What is wrong with a state in which nothing more can happen."""
    valid = model.valid(state)
    bodies = {record.payment: record.body for record in valid if record.body is not None}
    acknowledged = any(actor.payment == "X" and actor.step == "done" for actor in state.actors)
    if acknowledged and "X" not in bodies:
        return "X was acknowledged and has no decision"
    if not state.lost:
        places = {record.sequence: record.payment for record in valid}
        for body in bodies.values():
            for sequence, seen in enumerate(body.vector):
                if seen != HOLE and places.get(sequence) != seen:
                    return f"{body} is unprovable at {sequence} although Redis forgot nothing"
    return None


def explore(guards: Guards, budget: Budget) -> tuple[int, list[str]]:
    """(states seen, the shortest path to a violation); the path is empty where there is none."""
    model = Model(guards)
    first = start(budget)
    came: dict[State, tuple[State, str] | None] = {first: None}
    queue = deque([first])
    while queue:
        state = queue.popleft()
        following = list(model.successors(state))
        wrong = violation(model, state)
        if wrong is None and not [step for step, _ in following if "dies" not in step]:
            wrong = unfinished(model, state)
        if wrong is not None:
            path = [wrong]
            at = came[state]
            while at is not None:
                path.append(at[1])
                at = came[at[0]]
            return len(came), path[::-1]
        for step, after in following:
            if after not in came:
                came[after] = (state, step)
                queue.append(after)
        assert len(came) < STATES_MAX, "the model grew beyond what a test may explore"
    return len(came), []


BUDGETS = (Budget(restarts=1), Budget(crashes=2, early_sweeps=1))
# 1.3 million states, 45 s on two cores: behind `make soak`.
LARGE = Budget(crashes=1, restarts=1)


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_no_interleaving_breaks_the_protocol(budget: Budget) -> None:
    states, path = explore(Guards(), budget)
    assert path == []
    assert states > 1_000, "the exploration is trivial"


@pytest.mark.soak
def test_no_interleaving_with_a_crash_and_a_restart_breaks_the_protocol() -> None:
    _, path = explore(Guards(), LARGE)
    assert path == []


@pytest.mark.parametrize("guard", [field.name for field in fields(Guards)])
def test_every_guard_is_needed(guard: str) -> None:
    weak = replace(Guards(), **{guard: False})
    assert any(explore(weak, budget)[1] for budget in (*BUDGETS, LARGE)), (
        f"without {guard} nothing breaks: the guard or the model is pointless"
    )
