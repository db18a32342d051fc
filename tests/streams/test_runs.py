"""Handing events over in fewer calls leaves every log as one by one would."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from risk.domain.decoding import decode_event
from risk.domain.event import is_scored
from risk.domain.kinds import entities, event_key
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


@given(st.lists(bodies(), max_size=100))
def test_every_log_keeps_its_order(made: list[bytes]) -> None:
    items = [item(offset, body) for offset, body in enumerate(made)]
    handed = list(runs(items))
    before: dict[tuple[str, str], list[int]] = defaultdict(list)
    after: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in items:
        for log in [*entities(one.arrival.event), ("", event_key(one.arrival.event))]:
            before[log].append(one.record.offset)
    for run in handed:
        assert 0 < len(run) <= BATCH_PAYMENTS_MAX
        assert len({is_scored(one.arrival.event) for one in run}) == 1
        assert max(Counter(event_key(one.arrival.event) for one in run).values()) == 1
        for one in run:
            for log in [*entities(one.arrival.event), ("", event_key(one.arrival.event))]:
                after[log].append(one.record.offset)
    assert after == before


def test_events_that_share_nothing_make_full_calls() -> None:
    made = []
    for number in range(40):
        made.append(payment(f"p-{number}", account=f"a-{number}", card=f"c-{number}"))
        made.append(event("login", f"l-{number}", account=f"b-{number}"))
    assert [len(run) for run in runs([item(*pair) for pair in enumerate(made)])] == [40, 40]
