"""A live rule suspends a card: later payments are blocked until somebody lifts it, and replay."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from risk.bootstrap import shipped_book
from risk.domain.clock import SystemClock
from risk.domain.times import rfc3339
from risk.rules.book import Examples
from risk.rules.holding import Holding
from risk.versions.store import VersionStore
from risk.versions.version import Version
from streams.control import Control
from streams.publish import KafkaPublisher
from streams.topics import Topics
from tests.support.doors import Doors

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]
WORLD = "rule-holds"
HELD_WITHIN_S = 10.0
HOLDS = msgspec.structs.replace(
    next(rule for rule in shipped_book().rules if rule.state == "live"),
    id="hold_dollars", when='currency == "USD"', action="hold", reason="HELD_BY_RULE",
    hold=Holding(entity="card", lasts="24h"),
    examples=Examples(hits=({"currency": "USD"},), misses=({"currency": "EUR"},)),
)  # fmt: skip
BOOK = msgspec.structs.replace(shipped_book(), name="It holds", rules=(HOLDS,))


async def make_live(doors: Doors) -> None:
    topics, store = Topics(WORLD), VersionStore(doors.settings.state / "versions")
    async with KafkaPublisher(doors.kafka, topics) as publisher:
        control = Control(doors.kafka, topics, store, publisher)
        version = Version.of("book", msgspec.json.encode(BOOK, order="sorted"), "ana", 0)
        await control.set_live(version, author="ana", at_ms=0)
        await control.close()


class Shop:
    """Asks for decisions, and counts its payments."""

    def __init__(self, doors: Doors) -> None:
        self._doors, self._headers = doors, doors.key("shop", "decide")
        self.asked: list[str] = []

    def ask(self, card: str, currency: str = "EUR") -> tuple[str, list[str]]:
        """Outcome and reasons of a new payment."""
        self.asked.append(f"pay-{len(self.asked)}")
        body: dict[str, Any] = {
            "type": "payment", "id": self.asked[-1], "account": "acc-1", "card": card,
            "occurred_at": rfc3339(SystemClock().now_ms()), "amount_minor": 1_250,
            "currency": currency, "channel": "ecom",
        }  # fmt: skip
        url = f"{self._doors.api}/v1/decisions"
        answer = httpx.post(url, json=body, headers=self._headers, timeout=20).json()
        return answer["outcome"], [one["code"] for one in answer["reasons"]]

    def until(self, card: str, reason: str, *, there: bool) -> str:
        """Ask until the reason is told, or told no more; the outcome then."""
        ends = time.monotonic() + HELD_WITHIN_S
        while True:
            outcome, reasons = self.ask(card)
            if (reason in reasons) is there:
                return outcome
            assert time.monotonic() < ends, (outcome, reasons)


async def test_a_card_is_held_and_let_go(kafka: str, redis_url: str, tmp_path: Path) -> None:
    doors = Doors(tmp_path, kafka, redis_url, WORLD)
    with doors.open(("alerts", "run")):
        shop = Shop(doors)
        assert "LIST_HELD_CARD" not in shop.ask("tok-1")[1]
        await make_live(doors)
        ends = time.monotonic() + HELD_WITHIN_S
        while shop.ask("tok-1", "USD") != ("block", ["HELD_BY_RULE"]):
            assert time.monotonic() < ends
        by_rule = shop.asked[-1]
        assert shop.until("tok-1", "LIST_HELD_CARD", there=True) == "block"
        by_list = shop.asked[-1]
        assert "LIST_HELD_CARD" not in shop.ask("tok-2")[1]
        code, said, told = doors.weir("lists", "show", "held_card")
        assert code == 0, said
        (entry,) = told["entries"]
        assert (entry["value"], entry["author"], entry["reason"]) == (
            "tok-1", "rule:hold_dollars", f"payment {by_rule}",
        )  # fmt: skip
        code, said, _ = doors.weir(
            "lists", "remove", "held_card", "tok-1", "--as", "ana", "--reason", "called"
        )
        assert code == 0, said
        assert shop.until("tok-1", "LIST_HELD_CARD", there=False) != "block"
    for payment_id in (by_rule, by_list, shop.asked[-1]):
        code, said, found = doors.weir("replay", payment_id)
        assert (code, found.get("verdict")) == (0, "equal"), said
