"""How the events of a batch are split into calls of the engine."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from risk.domain.decoding import decode_event
from risk.domain.kinds import event_key
from risk.domain.limits import BATCH_PAYMENTS_MAX
from streams.door import Item, runs
from streams.intake import Intake
from tests.support.stream_records import NOW_MS, Raw, event, payment

INTAKE = Intake(lambda event: None, live=True)


def item(offset: int, body: bytes) -> Item:
    return Item(Raw(offset, body), INTAKE.arrival(decode_event(body), NOW_MS))


def name(prefix: str, numbers: int) -> st.SearchStrategy[str]:
    return st.integers(1, numbers).map(lambda number: f"{prefix}-{number}")


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    identifier, account = draw(name("e", 30)), draw(name("a", 4))
    if draw(st.booleans()):
        return payment(identifier, account=account, card=draw(name("c", 3)), merchant="m-1")
    if draw(st.booleans()):
        return event("login", identifier, account=account, device=draw(name("d", 2)))
    return event("outcome", identifier, payment_id="p", result="declined", merchant="m-1")


@given(st.lists(bodies(), max_size=200))
def test_calls_keep_the_order_and_never_hold_an_event_twice(made: list[bytes]) -> None:
    items = [item(offset, body) for offset, body in enumerate(made)]
    handed = list(runs(items))
    assert [one for run in handed for one in run] == items
    for run in handed:
        assert 0 < len(run) <= BATCH_PAYMENTS_MAX
        assert max(Counter(event_key(one.arrival.event) for one in run).values()) == 1


def test_mixed_traffic_makes_full_calls() -> None:
    made = []
    for number in range(48):
        made.append(payment(f"p-{number}"))
        made.append(event("login", f"l-{number}", account="a-1"))
    assert [len(run) for run in runs([item(*pair) for pair in enumerate(made)])] == [64, 32]
