"""Alerts on a real broker: from standing decisions, once, whatever is lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from risk.alerts.alert import Alert, PaymentEvidence, read_alert
from risk.domain.clock import ManualClock
from risk.domain.errors import AlreadyRunning, Unavailable
from risk.lists.desk import ListDesk
from risk.lists.entries import list_versions
from risk.lists.manifest import read_manifest
from risk.observability.metrics import Metrics
from risk.rules.alerting import Alerting, RateRule
from risk.rules.book import Book
from risk.rules.holding import Holding
from risk.settings import Settings
from risk.storage.lists import SqlLists
from risk.storage.sql import open_store
from risk.versions.store import VersionStore
from risk.versions.version import Version
from streams.admin import ensure_topics
from streams.alert_follower import SAVE_EVERY_S, AlertFollower, Parts
from streams.alert_reading import AlertSource
from streams.alert_state import StateFile, alerts_folder, held_state
from streams.control import Control
from streams.list_outlet import list_desk
from streams.publish import KafkaPublisher, Outgoing
from streams.topics import Topics
from tests.support.alerting import FEATURES, NOW_MS, alert, alerts_told, book, decision, hit, rule

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

BOOK = book(rule("velocity"), rule("stops", "block", alert=Alerting(group_by="payment")))
SHIPPED = book(rule("shipped"))


class Losing(KafkaPublisher):
    """Delivers alerts, and then loses the answer as many times as it is told to."""

    lose = 0

    async def deliver(self, outgoing: Sequence[Outgoing]) -> list[int]:
        offsets = await super().deliver(outgoing)
        if self.lose and outgoing[0].topic.endswith("alerts"):
            self.lose -= 1
            raise Unavailable("kafka", "the answer was lost")
        return offsets


class Stand:
    """A world with its topics, and followers of it that come and go."""

    def __init__(self, kafka: str, world: str, folder: Path, publisher: Losing) -> None:
        self.kafka, self.topics, self.folder = kafka, Topics(world), folder
        self.publisher = publisher
        self.clock = ManualClock(NOW_MS)
        self.engine = open_store(Settings(home=folder))
        self.metrics = Metrics()

    def follower(self, back_ms: int = 0) -> AlertFollower:
        self.metrics = Metrics()
        self.folder.mkdir(exist_ok=True)
        control = self.control()
        return AlertFollower(
            Parts(self.kafka, self.topics, control, self.publisher, StateFile(self.folder),
                  FEATURES, SHIPPED, back_ms, self.lists(control)),
            self.clock, self.metrics,
        )  # fmt: skip

    def control(self) -> Control:
        store = VersionStore(self.folder / "versions")
        return Control(self.kafka, self.topics, store, self.publisher)

    async def held(self) -> dict[str, int | None]:
        """The cards that are held, as the control topic tells it, and until when."""
        control = self.control()
        await control.load()
        version = control.store.get("lists", control.live["lists"].digest)
        await control.close()
        assert version is not None
        lists = SqlLists(self.engine, self.topics.world)
        assert read_manifest(version.body) == list_versions(lists.all())
        return {one.value: one.expires_at_ms for one in lists.entries("held_card")}

    def lists(self, control: Control) -> ListDesk:
        lists = SqlLists(self.engine, self.topics.world)
        return list_desk(control, lists, frozenset(), self.clock.now_ms, self.topics.world)

    async def send(self, *bodies: bytes | None, epoch: int = 1, partition: int = 0) -> None:
        headers: tuple[tuple[str, bytes], ...] = (("epoch", str(epoch).encode()),)
        await self.publisher.deliver(
            [
                Outgoing(self.topics.decisions, partition, b"k", one,
                         headers if one is not None else (*headers, ("marker", b"1")))
                for one in bodies
            ]
        )  # fmt: skip

    async def publish(self, live: Book) -> None:
        control = Control(
            self.kafka, self.topics, VersionStore(self.folder / "others"), self.publisher
        )
        version = Version.of("book", msgspec.json.encode(live, order="sorted"), "ana", 0)
        await control.set_live(version, author="ana", at_ms=0)
        await control.close()

    async def alerts(self) -> list[Alert]:
        """What stands on the topic."""
        return await alerts_told(self.kafka, self.topics)

    async def work(self, follower: AlertFollower, save: bool = True) -> None:
        """Until nothing is left, and it has ended."""
        idle = 0
        while idle < 3:
            idle = 0 if await follower.turn() else idle + 1
        if save:
            follower.save()
        await follower.close()


@asynccontextmanager
async def standing(kafka: str, world: str, folder: Path) -> AsyncIterator[Stand]:
    topics = Topics(world)
    await ensure_topics(kafka, topics)
    async with Losing(kafka, topics) as publisher:
        assert isinstance(publisher, Losing)
        stand = Stand(kafka, world, folder / "state", publisher)
        yield stand
        stand.engine.dispose()


def velocity(payment_id: str, account: str) -> bytes:
    return decision(payment_id, BOOK.digest(), [hit("velocity")], paid={"account": account})


def payments(alerts: Sequence[Alert]) -> list[str]:
    return sorted(
        one.evidence.payment_id for one in alerts if isinstance(one.evidence, PaymentEvidence)
    )


async def test_standing_decisions_become_alerts_once(kafka: str, tmp_path: Path) -> None:
    async with standing(kafka, "alerts-once", tmp_path) as stand:
        await stand.publish(BOOK)
        await stand.send(None, velocity("p-1", "a-1"), velocity("p-2", "a-1"))
        await stand.send(velocity("p-3", "a-3"), b"{}", partition=4)
        stops = decision("p-4", BOOK.digest(), [hit("stops", "block")])
        await stand.send(stops, partition=4)
        # Void: an epoch that was over; and one that is not authoritative.
        await stand.send(None, epoch=2, partition=5)
        await stand.send(velocity("p-5", "a-5"), epoch=1, partition=5)
        fallback = decision("p-6", BOOK.digest(), [hit("velocity")], authoritative=False)
        await stand.send(fallback, partition=6)
        await stand.work(stand.follower())
        alerts = await stand.alerts()
        assert payments(alerts) == ["p-1", "p-3", "p-4"]
        assert {one.reason for one in alerts} == {"VELOCITY", "STOPS"}
        value = stand.metrics.value
        assert value("weir_alerts_total", type="rule", severity="medium") == 3
        assert value("weir_alerts_suppressed_total") == 1
        assert value("weir_alerts_unseen_total") == 1
        assert value("weir_alerts_lag") == 0
        # Another process goes on; what stood there is neither read nor raised again.
        await stand.send(velocity("p-7", "a-1"), velocity("p-8", "a-8"))
        await stand.work(stand.follower())
        assert payments(await stand.alerts()) == ["p-1", "p-3", "p-4", "p-8"]
        assert stand.metrics.value("weir_alerts_suppressed_total") == 1


async def test_what_was_not_saved_is_done_again_without_a_double(
    kafka: str, tmp_path: Path
) -> None:
    async with standing(kafka, "alerts-again", tmp_path) as stand:
        await stand.publish(BOOK)
        await stand.send(*(velocity(f"p-{n}", f"a-{n}") for n in range(20)))
        await stand.work(stand.follower(), save=False)  # as if it were killed
        first = await stand.alerts()
        await stand.send(velocity("p-20", "a-20"), velocity("q-1", "a-1"))
        await stand.work(stand.follower(), save=False)
        (stand.folder / "state.msgpack").write_bytes(b"damaged")
        await stand.work(stand.follower())
        alerts = await stand.alerts()
        assert len(alerts) == len({one.id for one in alerts}) == len(first) + 1 == 21


async def test_a_lost_answer_doubles_nothing(kafka: str, tmp_path: Path) -> None:
    async with standing(kafka, "alerts-lost", tmp_path) as stand:
        await stand.publish(BOOK)
        await stand.send(*(velocity(f"p-{n}", f"a-{n}") for n in range(10)))
        follower = stand.follower()
        stand.publisher.lose = 2
        failures = 0
        for _ in range(12):
            try:
                await follower.turn()
            except Unavailable:
                failures += 1
                follower.save()  # nothing is saved while alerts wait
                await stand.send(velocity(f"q-{failures}", f"b-{failures}"))
        await stand.work(follower)
        assert failures == 2
        alerts = await stand.alerts()
        assert len(alerts) == len({one.id for one in alerts}) == 12


async def test_rates_are_told_and_counting_goes_on_after_a_stop(kafka: str, tmp_path: Path) -> None:
    rate = RateRule(
        id="many", name="n", when='rate(all, "10m") > 25', sentence="Many.", owner="o",
        state="live",
    )  # fmt: skip
    rated = book(rule("velocity"), rates=(rate,))
    async with standing(kafka, "alerts-rates", tmp_path) as stand:
        await stand.publish(rated)
        await stand.send(*(decision(f"p-{n}", rated.digest(), at_ms=NOW_MS + n) for n in range(20)))
        await stand.work(stand.follower())
        assert await stand.alerts() == []
        await stand.send(*(decision(f"q-{n}", rated.digest(), at_ms=NOW_MS + n) for n in range(20)))
        await stand.work(stand.follower())
        (alert,) = await stand.alerts()
        assert (alert.type, alert.rule, alert.group) == ("rate", "many", "all decisions")
        assert alert.sentence == "Many. all decisions: 40 in the span."
        # Saving happens by itself as time goes by.
        follower = stand.follower()
        before = (stand.folder / "state.msgpack").stat().st_mtime_ns
        stand.clock.advance(round(SAVE_EVERY_S * 1000) + 1)
        await follower.turn()
        await follower.close()
        assert (stand.folder / "state.msgpack").stat().st_mtime_ns > before


async def test_whom_a_rule_holds_is_on_a_list_once(kafka: str, tmp_path: Path) -> None:
    holding = book(rule("holds", "hold", hold=Holding(entity="card", lasts="24h")))
    async with standing(kafka, "alerts-holds", tmp_path) as stand:
        await stand.publish(holding)
        await stand.send(decision("p-1", holding.digest(), [hit("holds", "hold")]))
        await stand.work(stand.follower(), save=False)  # as if it were killed
        assert await stand.held() == {"c-1": NOW_MS + 24 * 3_600_000}
        assert stand.metrics.value("weir_holds_total") == 1
        control = stand.control()
        await asyncio.to_thread(stand.lists(control).remove, "held_card", ["c-1"], "ana", "lifted")
        await control.close()
        await stand.work(stand.follower())
        assert await stand.held() == {}
        assert await stand.alerts() == []


async def test_the_shipped_book_judges_until_another_is_live(kafka: str, tmp_path: Path) -> None:
    async with standing(kafka, "alerts-shipped", tmp_path) as stand:
        await stand.send(decision("p-1", SHIPPED.digest(), [hit("shipped")]))
        await stand.send(decision("p-2", "0" * 64, [hit("unknown", "block"), hit("told")],
                                  paid={"account": "a-2"}))  # fmt: skip
        await stand.work(stand.follower())
        assert sorted(one.rule for one in await stand.alerts()) == ["shipped", "told"]
        assert stand.metrics.value("weir_alerts_unknown_books_total") == 2


async def test_kafka_that_does_not_answer_is_named(kafka: str, tmp_path: Path) -> None:
    async with standing(kafka, "alerts-away", tmp_path) as stand:
        stand.kafka = "127.0.0.1:9"
        follower = stand.follower()
        with pytest.raises(Unavailable):
            await follower.turn()
        assert follower.lag == 0
        follower.save()
        await follower.close()
        assert not (stand.folder / "state.msgpack").exists()
        source = AlertSource("127.0.0.1:9", stand.topics)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(source.feed(), 5)
        await source.close()


async def test_an_api_process_holds_what_is_published(kafka: str, tmp_path: Path) -> None:
    async with standing(kafka, "alerts-source", tmp_path) as stand:
        await stand.publish(BOOK)
        await stand.send(velocity("p-1", "a-1"))
        follower = stand.follower()
        await follower.turn()
        await follower.turn()
        source = AlertSource(kafka, stand.topics)
        feed = await source.feed()
        assert feed is await source.feed()
        number = feed.number
        assert number == 1
        await stand.publisher.deliver([Outgoing(stand.topics.alerts, 0, b"k", b"no alert")])
        await stand.send(velocity("p-2", "a-2"))
        while feed.number == number:
            await follower.turn()
            await feed.wait(1.0)
        held, gap = feed.newer("main", number)
        assert [one.alert.group for one in held] == ["account a-2"]
        assert gap is False
        await follower.close()
        await source.close()


def test_one_publisher_for_each_state_folder(tmp_path: Path) -> None:
    folder = alerts_folder(tmp_path, "live")
    with held_state(folder) as file:
        assert file.load() is None
        with pytest.raises(AlreadyRunning, match="alerts of live"), held_state(folder):
            pass
    with held_state(folder):
        pass


def test_ids_of_alerts_are_hex() -> None:
    assert read_alert(msgspec.json.encode(alert(7))).id == f"{7:032x}"
