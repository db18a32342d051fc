"""Spikes and silence against an oracle that counts everything anew, in any portions."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from risk.alerts.rates import GRACE_MS, SERIES_MAX, RateFinding, RateState, RateWatch
from risk.rules.alerting import DAY_MS, RateRule, Usual

SPAN_MS = 600_000
SLOT_MS = SPAN_MS // 4
START_MS = 20_000 * DAY_MS


def rule(when: str = 'rate(rule, "10m") > 3 * usual', **fields: Any) -> RateRule:
    """A live rate rule with few spans behind it."""
    usual = fields.pop("usual", Usual(last=4, known=3))
    return RateRule(
        id="a_rate", name="n", when=when, sentence="s.", owner="o", state="live",
        usual=usual, at_least=fields.pop("at_least", 3), **fields,
    )  # fmt: skip


def fed(watch: RateWatch, times: Sequence[int], value: str = "one", tenant: str = "main") -> None:
    for at_ms in times:
        watch.see(tenant, at_ms)
        watch.add(tenant, value, at_ms)


def wholes(found: Sequence[RateFinding]) -> set[tuple[str, int, int, float | None]]:
    """The findings of whole slots; those of a running slot depend on when it was looked at."""
    return {
        (one.value, one.slot, one.decisions, one.usual)
        for one in found
        if one.to_ms == (one.slot + 1) * SLOT_MS
    }


def oracle(
    of: RateRule, events: Sequence[tuple[int, str]], last: int
) -> set[tuple[str, int, int, float | None]]:
    """What whole slots up to ``last`` should find, each span counted anew from all events."""
    first = min(at_ms for at_ms, _ in events) // SLOT_MS
    spike = ">" in of.when

    def span(value: str, end: int) -> int:
        inside = range((end - 3) * SLOT_MS, (end + 1) * SLOT_MS)
        return sum(1 for at_ms, one in events if one == value and at_ms in inside)

    found = set[tuple[str, int, int, float | None]]()
    for value in {one for _, one in events}:
        for slot in range(first, last + 1):
            count = span(value, slot)
            step = DAY_MS // SLOT_MS if of.usual.over == "days" else 4
            ends = [slot - step * back for back in range(1, of.usual.last + 1)]
            earlier = [span(value, end) for end in ends if end - 3 > first]
            if len(earlier) < of.usual.known:
                continue
            usual = statistics.median(earlier)
            if (spike and count >= of.at_least and count > 3 * usual) or (
                not spike and usual >= of.at_least and count < 0.5 * usual
            ):
                found.add((value, slot, count, usual))
    return found


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 60 * SLOT_MS).map(lambda ms: START_MS + ms), st.sampled_from(("one", "two"))
    ),
    min_size=1,
    max_size=80,
)
BURSTS = st.lists(
    st.tuples(st.integers(0, 59), st.integers(1, 30), st.sampled_from(("one", "two"))),
    min_size=1,
    max_size=20,
).map(
    lambda bursts: [
        (START_MS + slot * SLOT_MS + number, value)
        for slot, count, value in bursts
        for number in range(count)
    ]
)


@given(
    EVENTS | BURSTS,
    st.sampled_from(['rate(rule, "10m") > 3 * usual', 'rate(rule, "10m") < 0.5 * usual']),
    st.lists(st.integers(1, 9), min_size=1, max_size=12),
    st.booleans(),
)
def test_spikes_and_silence_are_those_of_the_oracle(
    events: list[tuple[int, str]], when: str, steps: list[int], restart: bool
) -> None:
    of = rule(when)
    events = sorted(events)
    watch, found, slot, left = RateWatch(of), list[RateFinding](), START_MS // SLOT_MS, list(events)
    for number in range(200):
        slot += steps[number % len(steps)]
        now_ms = slot * SLOT_MS + GRACE_MS
        while left and left[0][0] < now_ms:
            at_ms, value = left.pop(0)
            fed(watch, [at_ms], value)
        found += watch.advance(now_ms)
        if restart:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(watch.state), type=RateState)
            watch = RateWatch(of, state)
        if slot > START_MS // SLOT_MS + 70:
            break
    assert wholes(found) == oracle(of, events, slot - 1)
    assert all(one.silence == ("<" in when) for one in found)


@given(EVENTS | BURSTS, st.integers(5, 50))
def test_small_numbers_never_cry(events: list[tuple[int, str]], at_least: int) -> None:
    watch = RateWatch(rule(at_least=at_least))
    found = list[RateFinding]()
    for at_ms, value in sorted(events):
        fed(watch, [at_ms], value)
        found += watch.advance(at_ms)
    assert all(one.decisions >= at_least for one in found)
    assert all(one.decisions > 3 * (one.usual or 0) for one in found)


def test_a_spike_is_told_while_it_lasts_and_not_when_it_is_over() -> None:
    watch = RateWatch(rule(at_least=10))
    quiet = [START_MS + number * SLOT_MS for number in range(40)]
    fed(watch, quiet)
    assert watch.advance(quiet[-1]) == []
    burst = [quiet[-1] + SLOT_MS + number * 100 for number in range(30)]
    fed(watch, burst[:6])
    assert watch.advance(burst[5]) == []  # 9 in the span: too few to speak of
    fed(watch, burst[6:])
    (found,) = watch.advance(burst[-1])
    assert (found.value, found.silence, found.decisions, found.usual) == ("one", False, 33, 4.0)
    assert found.earlier == [4, 4, 4, 4]
    assert found.to_ms == burst[-1]
    assert found.from_ms == (found.slot - 3) * SLOT_MS


def test_silence_is_told_only_when_the_span_is_over() -> None:
    watch = RateWatch(rule('rate(rule, "10m") < 0.5 * usual', at_least=20))
    busy = [START_MS + number * 10_000 for number in range(600)]
    fed(watch, busy)
    found = watch.advance(busy[-1])
    assert found == []
    end_ms = (busy[-1] // SLOT_MS + 1) * SLOT_MS
    assert watch.advance(end_ms + 2 * SLOT_MS) == []
    (one,) = watch.advance(end_ms + 3 * SLOT_MS + GRACE_MS)
    assert (one.silence, one.decisions, one.usual) == (True, 15, 60.0)
    # A rule over numbers that are usually small stays silent itself.
    few = RateWatch(rule('rate(rule, "10m") < 0.5 * usual', at_least=61))
    fed(few, busy)
    assert few.advance(busy[-1] + DAY_MS) == []


def test_usual_of_days_is_the_same_time_of_other_days() -> None:
    of = rule('rate(all, "1h") > 2 * usual', usual=Usual(over="days", last=7, known=3), at_least=5)
    watch = RateWatch(of)
    hour = 3_600_000
    for day in range(5):
        for at in range(0, DAY_MS, hour // 4):
            # Evenings are ten times as busy, every day.
            many = 20 if 18 * hour <= at < 22 * hour else 2
            fed(watch, [START_MS + day * DAY_MS + at + step for step in range(many)], "")
        assert watch.advance(START_MS + (day + 1) * DAY_MS) == []
    night = START_MS + 5 * DAY_MS + 3 * hour
    fed(watch, [night + step for step in range(30)], "")
    (found,) = watch.advance(night + 60_000)
    assert (found.decisions, found.usual, found.earlier) == (30, 8.0, [8, 8, 8, 8, 8])


def test_numbers_need_no_history_and_names_are_waited_for() -> None:
    spike = RateWatch(rule('rate(rule, "10m") > 5', at_least=1_000))
    fed(spike, [START_MS + number for number in range(6)])
    (found,) = spike.advance(START_MS + 10)
    assert (found.decisions, found.usual) == (6, None)
    silent = RateWatch(rule('rate(merchant, "10m") < 1', only=("m_1", "m_2")))
    silent.see("main", START_MS)
    fed(silent, [START_MS + 3 * SLOT_MS], "m_1")
    fed(silent, [START_MS + 3 * SLOT_MS], "m_3")  # nobody asked for it
    found_of = silent.advance(START_MS + 6 * SLOT_MS + GRACE_MS)
    assert [(one.value, one.tenant) for one in found_of] == [("m_2", "main")] * len(found_of)
    assert found_of
    assert {one.value for one in silent.advance(START_MS + 20 * SLOT_MS)} == {"m_1", "m_2"}


def test_nothing_is_found_before_the_first_decision() -> None:
    assert RateWatch(rule()).advance(START_MS) == []


def test_tenants_are_counted_apart() -> None:
    watch = RateWatch(rule('rate(rule, "10m") > 5'))
    fed(watch, [START_MS] * 4, tenant="a")
    fed(watch, [START_MS] * 4, tenant="b")
    assert watch.advance(START_MS) == []
    fed(watch, [START_MS] * 2, tenant="b")
    assert [one.tenant for one in watch.advance(START_MS)] == ["b"]


def test_memory_is_bounded() -> None:
    watch = RateWatch(rule('rate(merchant, "10m") > 2', only=()))
    for number in range(SERIES_MAX + 10):
        fed(watch, [START_MS + number], f"m_{number}")
    assert watch.dropped == 10
    assert len(watch.state.series) == SERIES_MAX
    watch.advance(START_MS + DAY_MS)
    assert watch.state.series == []  # all of it is over
    fed(watch, [START_MS], "m_1")  # and what is that late is not counted
    assert watch.state.series == []
    named = RateWatch(rule('rate(merchant, "10m") < 2', only=("m_1",)))
    fed(named, [START_MS], "m_1")
    named.advance(START_MS + DAY_MS)
    assert [key[1] for key in named.state.series] == ["m_1"]


def test_a_long_pause_costs_no_more_than_its_last_slots() -> None:
    watch = RateWatch(rule('rate(merchant, "10m") < 1', only=("m_1",)))
    fed(watch, [START_MS], "m_1")
    found = watch.advance(START_MS + 300 * DAY_MS)
    assert len(found) == 2_000
    assert found[-1].to_ms == START_MS + 300 * DAY_MS - SLOT_MS
    assert watch.advance(START_MS + 300 * DAY_MS) == []
