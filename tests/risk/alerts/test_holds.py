"""Whom rules suspend: once for each payment, for the longest time, liftable, and never lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from risk.alerts.holds import KEPT_AFTER_MS, RuleHolds
from risk.domain.errors import Unavailable
from risk.domain.times import rfc3339
from risk.lists.desk import ENTRIES_AT_ONCE
from risk.lists.errors import BadList
from risk.rules.book import Book
from risk.rules.holding import Holding
from tests.support.alerting import book, decision, hit, rule
from tests.support.list_desk import HOUR_MS, NOW_MS, Desk, open_list_desk

BOOK = book(
    rule("daily", "hold", hold=Holding(entity="card", lasts="24h")),
    rule("hourly", "hold", hold=Holding(entity="card", lasts="1h")),
    rule("device", "hold", hold=Holding(entity="device", lasts="2d")),
    rule("blocks", "block"),
)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with open_list_desk(tmp_path) as opened:
        yield opened


def book_of(digest: str) -> Book | None:
    return BOOK if digest == BOOK.digest() else None


def held(
    payment: str, *rules: str, at_ms: int = NOW_MS, of: str = BOOK.digest(), **paid: str
) -> bytes:
    hits = [hit(one, "hold") for one in rules]
    occurred = {"occurred_at": rfc3339(at_ms)}
    return decision(payment, of, hits, at_ms=at_ms, paid={**occurred, **paid})


def applied(at: Desk, *bodies: bytes) -> int:
    holds = RuleHolds(at.desk, book_of)
    for body in bodies:
        holds.look(body)
    return holds.apply(at.now_ms)


def standing(at: Desk, name: str = "held_card") -> dict[str, tuple[str, str, int | None]]:
    return {
        one.value: (one.author, one.reason, one.expires_at_ms) for one in at.lists.entries(name)
    }


def test_a_hit_suspends_for_a_time_and_says_why(at: Desk) -> None:
    assert applied(at, held("p-1", "daily", card="c1")) == 1
    assert standing(at) == {"c1": ("rule:daily", "payment p-1", NOW_MS + 24 * HOUR_MS)}
    (made,) = at.lists.all()
    assert (made.type, made.effect, made.author) == ("card", "hold", "weir")
    members = at.live().values["held_card"]
    assert members.holds("c1", NOW_MS)
    assert not members.holds("c1", NOW_MS + 24 * HOUR_MS)
    assert at.outlet.set[-1].author == "rule:daily"


def test_the_longest_stands_and_nothing_is_shortened(at: Desk) -> None:
    assert applied(at, held("p-1", "hourly", "daily", card="c1")) == 1
    assert standing(at)["c1"][::2] == ("rule:daily", NOW_MS + 24 * HOUR_MS)
    assert applied(at, held("p-2", "hourly", card="c1")) == 0
    later = held("p-3", "daily", at_ms=NOW_MS + HOUR_MS, card="c1")
    assert applied(at, later, held("p-4", "daily", card="c1")) == 1
    assert standing(at)["c1"] == ("rule:daily", "payment p-3", NOW_MS + 25 * HOUR_MS)


def test_what_somebody_lifted_stays_lifted_until_another_payment_hits(at: Desk) -> None:
    body = held("p-1", "daily", card="c1")
    assert applied(at, body) == 1
    at.desk.remove("held_card", ["c1"], "ana", "the customer called")
    assert applied(at, body) == 0
    assert standing(at) == {}
    assert applied(at, held("p-2", "daily", card="c1")) == 1


def test_what_could_not_be_published_goes_live_with_the_next_try(at: Desk) -> None:
    holds = RuleHolds(at.desk, book_of)
    holds.look(held("p-1", "device", device="d1"))
    at.outlet.down = True
    with pytest.raises(Unavailable):
        holds.apply(NOW_MS)
    assert holds.waiting == 1
    at.outlet.down = False
    holds.apply(NOW_MS)
    assert holds.waiting == 0
    assert at.live().values["held_device"].holds("d1", NOW_MS)
    at.desk.remove("held_device", ["d1"], "ana", "why")
    # Stored by one that died before it was live, and looked at again.
    holds.look(held("p-2", "device", device="d2"))
    at.outlet.down = True
    with pytest.raises(Unavailable):
        holds.apply(NOW_MS)
    at.outlet.down = False
    assert applied(at, held("p-2", "device", device="d2")) == 0
    assert at.live().values["held_device"].holds("d2", NOW_MS)


def test_nobody_is_held_by_other_decisions(at: Desk) -> None:
    other = [
        decision("p-1", BOOK.digest(), [hit("blocks", "block")]),
        decision("p-2", BOOK.digest(), [hit("daily", "hold", error="ValueError")]),
        decision("p-3", BOOK.digest(), [hit("daily", "hold")], authoritative=False),
        held("p-4", "device"),  # without a device
        held("p-5", "daily", of="0" * 64),
        held("p-6", "daily", at_ms=NOW_MS - 25 * HOUR_MS),  # it would have ended
        held("p-7", "daily", card="4111111111111111"),  # refused at every door, so a forged one
    ]
    assert applied(at, *other) == 0
    assert standing(at) == {}


def test_a_list_of_another_kind_is_named_and_the_hold_waits(at: Desk) -> None:
    at.desk.create("held_card", "card", "none", "ana")
    holds = RuleHolds(at.desk, book_of)
    holds.look(held("p-1", "daily", card="c1"))
    with pytest.raises(BadList, match="list held_card does not hold by card"):
        holds.apply(NOW_MS)
    assert holds.waiting == 1
    at.desk.drop("held_card", "ana", "it was in the way")
    assert holds.apply(NOW_MS) == 1
    assert list(standing(at)) == ["c1"]


def test_what_ended_leaves_the_list_and_many_fit(tmp_path: Path) -> None:
    many = [held(f"p-{n}", "hourly", card=f"c{n}") for n in range(ENTRIES_AT_ONCE + 100)]
    with open_list_desk(tmp_path, entries_max=2_000) as at:
        assert applied(at, *many) == len(many)
        at.now_ms = NOW_MS + KEPT_AFTER_MS + 2 * HOUR_MS
        for number, left in ((1, 101), (2, 2)):  # of each call as many as one change may have
            new = held(f"q-{number}", "hourly", at_ms=at.now_ms, card=f"new{number}")
            assert applied(at, new) == 1
            assert at.lists.counts() == {"held_card": left}
        last = at.lists.notes(limit=1)[0]
        assert (last.action, last.actor, last.reason) == ("remove", "weir", "it ended")
