"""The order in which `weir run` starts, works and stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from risk.cli.run_view import RunView
from risk.domain.clock import Deadline, SystemClock
from risk.domain.errors import Unavailable
from risk.local import ports, runfile
from risk.local.parts import DEFAULT_PORTS, PARTS, Parts
from risk.local.services import answers_ready, start_service

if TYPE_CHECKING:
    from rich.console import Console

    from risk.local.process import Child
    from risk.settings import Settings
    from streams.watch import Tally, Watcher

DRAIN_S: Final = 120.0
READY_MS: Final = 90_000
SHOW_EVERY_S: Final = 1.0
INTERRUPTED_DRAIN_S: Final = 2.0  # after Ctrl-C all of it stops within 10 s
LIVE_WORLD: Final = "live"
BAD_INPUT: Final = 2  # a worker that will not start however often it is tried
RESTART_PAUSE_S: Final = 1.0
RESTARTS_MAX: Final = 60  # within RESTARTS_WITHIN_S; more is a loop, not an outage
RESTARTS_WITHIN_S: Final = 300.0
DEMO_KEY: Final = "demo of weir run"


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asked for."""

    seconds: float | None
    rate: float
    seed: int
    dataset: str | None
    speed: str
    workers: int


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report of a run. Latencies are from produce to decision, in milliseconds."""

    payments: int
    decisions: int
    outcomes: dict[str, int]
    per_s: float
    latency_ms: dict[str, float | None]
    dead_letters: int
    seconds_to_ready: float
    redis_bytes_per_payment: float | None
    seed: int
    world: str


class Job:
    """One run. ``run`` may be called once."""

    def __init__(self, settings: Settings, order: Order, console: Console) -> None:
        world = order.dataset or settings.world
        self._settings = settings.model_copy(update={"home": settings.state, "world": world})
        self._order = order
        self._console = console
        self._clock = SystemClock()
        self._began_s = self._clock.monotonic_s()
        self._services: list[Child] = []
        self._interrupted = False
        self._parts: Parts | None = None
        self._ends_s: list[float] = []
        self._file: runfile.RunFile | None = None
        self._record: runfile.RunRecord | None = None

    def run(self, report: Path | None) -> bool:
        """Start, work, stop. True where every payment got its decision."""
        if self._order.dataset is not None:
            _check_dataset(self._settings.state, self._order.dataset)
        with _interruptible(), ExitStack() as stack:
            file = stack.enter_context(runfile.hold(self._settings.state))
            parts = stack.enter_context(Parts(self._settings.state))
            self._parts = parts
            stack.callback(self._stop_services)
            try:
                record = self._start(parts)
                file.write(record)
                self._file, self._record = file, record
                self._wait_for_services(record.api)
                ready_s = self._clock.monotonic_s() - self._began_s
                self._say(f"ready after {ready_s:.1f} s")
                found = asyncio.run(self._work(record, ready_s))
            except KeyboardInterrupt:
                self._say("interrupted before payments flowed; stopping what was started")
                return True
            if report is not None:
                body = msgspec.json.format(msgspec.json.encode(found), indent=2)
                report.write_bytes(body + b"\n")
            self._say("stopping; state stays in " + str(self._settings.state))
        self._summary(found)
        return self._interrupted or found.decisions >= found.payments

    # -- start ---------------------------------------------------------------------------

    def _start(self, parts: Parts) -> runfile.RunRecord:
        lacking = [name for name in PARTS if not getattr(self._settings, name)]
        self._say(f"starting {', '.join(lacking) or 'nothing: all addresses are given'}")
        addresses = parts.start(lacking, self._say)
        self._settings = self._settings.model_copy(update=addresses)
        self._first_model()
        port = ports.pick(DEFAULT_PORTS["api"])
        self._start_services(port)
        return runfile.RunRecord(
            pid=os.getpid(),
            command=runfile.RUN,
            started_at_ms=self._clock.now_ms(),
            kafka=self._settings.kafka,
            redis=self._settings.redis,
            mlflow=self._settings.mlflow,
            api=f"http://127.0.0.1:{port}",
            demo_key=self._demo_key(),
            pids=parts.pids | {child.command.name: child.pid for child in self._services},
        )

    def _first_model(self) -> None:
        """Train a champion where the live world has none; other worlds start with that one."""
        from features.catalogue import FEATURE_NAMES, catalogue_digest
        from models.adopt import adopt_champion
        from models.bootstrap_model import ensure_model
        from models.source import Catalogue
        from risk.cli.progress import stages
        from risk.tables.load import exchange_rates

        settings = self._settings
        rates = exchange_rates(settings.rates, settings.base_currency)
        with stages(self._console) as progress:
            version = ensure_model(settings.mlflow, LIVE_WORLD, rates, progress)
        if version is not None:
            self._say(f"trained and registered the first model, version {version}")
        if settings.world != LIVE_WORLD:
            cache = settings.state / "cache" / "models"
            catalogue = Catalogue(FEATURE_NAMES, catalogue_digest())
            if adopt_champion(settings.mlflow, settings.world, cache, catalogue) is not None:
                self._say(f"world {settings.world} starts with the live champion")

    def _start_services(self, api_port: int) -> None:
        for slot in range(self._order.workers):
            self._services.append(self._start_worker(slot))
        arguments = ["api", "--host", "127.0.0.1", "--port", str(api_port)]
        self._services.append(start_service("api", arguments, self._settings))

    def _start_worker(self, slot: int) -> Child:
        ready_file(self._settings, f"worker-{slot}").unlink(missing_ok=True)
        return start_service(f"worker-{slot}", ["worker", "--slot", str(slot)], self._settings)

    def _wait_for_services(self, api: str) -> None:
        """Until the API takes payments and every worker has its partitions."""
        deadline = Deadline(self._clock, READY_MS)
        *workers, door = self._services
        door.wait_ready(lambda: answers_ready(api), READY_MS / 1000)
        for worker in workers:
            ready = ready_file(self._settings, worker.command.name)
            worker.wait_ready(ready.exists, max(1.0, deadline.remaining_s()))

    def _demo_key(self) -> str:
        """A key for the user of this machine; the one of the run before is revoked."""
        from risk.keys import make_key
        from risk.secret import load_secret
        from risk.storage.api_keys import SqlKeyStore
        from risk.storage.sql import open_store

        engine = open_store(self._settings)
        try:
            store = SqlKeyStore(engine)
            now_ms = self._clock.now_ms()
            for held in store.all():
                if held.name == DEMO_KEY and held.in_force(now_ms):
                    store.revoke(held.key_id, now_ms)
            key, token = make_key(
                secret=load_secret(self._settings),
                tenant="main",
                name=DEMO_KEY,
                scopes=("decide", "read", "events"),
                now_ms=now_ms,
            )
            store.add(key)
            return token
        finally:
            engine.dispose()

    # -- work ----------------------------------------------------------------------------

    async def _work(self, record: runfile.RunRecord, ready_s: float) -> RunReport:
        from streams.topics import Topics
        from streams.watch import Watcher

        topics = Topics(self._settings.world)
        redis_before = await _redis_bytes(record.redis)
        addresses = [
            ("API", record.api),
            ("API reference", f"{record.api}/docs"),
            ("MLflow", record.mlflow),
            ("Kafka", record.kafka),
            ("run.json (addresses, demo key)", str(self._settings.state / runfile.FILE)),
        ]
        began_s = self._clock.monotonic_s()
        async with Watcher(record.kafka, topics, self._clock) as watcher:
            with RunView(self._console, addresses) as view:
                showing = asyncio.create_task(self._show(view, watcher.tally, began_s))
                interrupted = await self._traffic_until_stopped(record, watcher)
                drain_s = INTERRUPTED_DRAIN_S if interrupted else DRAIN_S
                answered = await watcher.drain(drain_s)
                worked_s = self._clock.monotonic_s() - began_s
                if not interrupted:
                    await asyncio.sleep(SHOW_EVERY_S)
                showing.cancel()
            if not answered:
                self._say(f"{watcher.undecided} payments have no decision after {drain_s:.0f} s")
            tally = watcher.tally
        used = await _redis_bytes(record.redis) - redis_before
        return self._report(tally, worked_s, ready_s, used)

    async def _traffic_until_stopped(self, record: runfile.RunRecord, watcher: Watcher) -> bool:
        """Send until the time is up, the data set ends, Ctrl-C (then True), or a service dies."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        try:
            work = [
                asyncio.create_task(self._traffic(record, watcher)),
                asyncio.create_task(stop.wait()),
                asyncio.create_task(self._watch_services()),
            ]
            done, rest = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            for task in done:
                task.result()
            self._interrupted = stop.is_set()
            return self._interrupted
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def _traffic(self, record: runfile.RunRecord, watcher: Watcher) -> None:
        from streams.importer.dataset import dataset_folder
        from streams.importer.send import send_dataset, speed_of
        from streams.paced import PacedSender
        from streams.topics import Topics

        order = self._order
        if order.dataset is not None:
            folder = dataset_folder(self._settings.state, order.dataset)
            speed = speed_of(order.speed)
            world = self._settings.world
            await send_dataset(
                folder, world, speed, record.kafka, self._clock, on_payment=watcher.sent
            )
            return
        from risk.simulator.traffic import Traffic

        self._say(f"simulated traffic, seed {order.seed}, {order.rate:g} payments/s")
        traffic = Traffic(order.seed, order.rate, self._clock.now_ms())
        async with PacedSender(record.kafka, Topics(self._settings.world), self._clock) as sender:
            await sender.run(traffic, order.seconds, watcher.sent)

    async def _watch_services(self) -> None:
        """Start again what ended: workers (Kafka delivers again) and embedded parts.

        Raises where the API ended, or something ends again and again.
        """
        while True:
            for server in self._parts.ended if self._parts is not None else ():
                self._note_end(server.name, f"it ended; see {server.log}")
                await asyncio.to_thread(server.restart)
                self._publish_pid(server.name, server.pid)
            for place, child in enumerate(self._services):
                if not child.running:
                    await self._again(place, child)
            await asyncio.sleep(0.2)

    async def _again(self, place: int, child: Child) -> None:
        name = child.command.name
        why = f"it ended with code {child.exit_code}; see {child.command.log}"
        if place >= self._order.workers or child.exit_code == BAD_INPUT:
            raise Unavailable(name, why)
        self._note_end(name, why)
        await asyncio.sleep(RESTART_PAUSE_S)
        self._services[place] = await asyncio.to_thread(self._start_worker, place)
        self._publish_pid(name, self._services[place].pid)

    def _note_end(self, name: str, why: str) -> None:
        """Say it; raise where too much has ended lately."""
        now_s = self._clock.monotonic_s()
        self._ends_s = [at_s for at_s in self._ends_s if now_s - at_s < RESTARTS_WITHIN_S]
        self._ends_s.append(now_s)
        if len(self._ends_s) > RESTARTS_MAX:
            raise Unavailable(name, f"{why}; it was started {RESTARTS_MAX} times already")
        self._say(f"{name}: {why}; starting it again")

    def _publish_pid(self, name: str, pid: int) -> None:
        if self._file is not None and self._record is not None:
            pids = self._record.pids | {name: pid}
            self._record = msgspec.structs.replace(self._record, pids=pids)
            self._file.write(self._record)

    async def _show(self, view: RunView, tally: Tally, began_s: float) -> None:
        before, before_s = 0, began_s
        while True:
            await asyncio.sleep(SHOW_EVERY_S)
            now_s = self._clock.monotonic_s()
            per_s = (tally.decisions - before) / (now_s - before_s)
            before, before_s = tally.decisions, now_s
            view.show(tally, now_s - began_s, per_s)

    # -- end -----------------------------------------------------------------------------

    def _stop_services(self) -> None:
        for child in self._services:
            child.ask_to_stop()
        for child in self._services:
            child.stop()

    def _report(self, tally: Tally, worked_s: float, ready_s: float, used: int) -> RunReport:
        return RunReport(
            payments=tally.sent,
            decisions=tally.decisions,
            outcomes={name: tally.outcomes[name] for name in ("allow", "review", "block")},
            per_s=round(tally.decisions / worked_s, 1),
            latency_ms=tally.latency.summary(),
            dead_letters=tally.dead_letters,
            seconds_to_ready=round(ready_s, 2),
            redis_bytes_per_payment=round(used / tally.sent, 1) if tally.sent else None,
            seed=self._order.seed,
            world=self._settings.world,
        )

    def _summary(self, found: RunReport) -> None:
        outcomes = ", ".join(f"{name} {count:,}" for name, count in found.outcomes.items())
        latency = ", ".join(f"{name} {value}" for name, value in found.latency_ms.items())
        self._say(
            f"{found.payments:,} payments, {found.decisions:,} decisions ({outcomes}),"
            f" {found.per_s:,.0f}/s, latency ms {latency}, {found.dead_letters} dead letters"
        )

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)


def ready_file(settings: Settings, worker: str) -> Path:
    """What a worker writes when it has its partitions."""
    return settings.state / "ready" / worker


def _check_dataset(state: Path, name: str) -> None:
    from streams.importer.dataset import dataset_folder
    from streams.importer.send import sendable

    sendable(dataset_folder(state, name))


async def _redis_bytes(address: str) -> int:
    """``used_memory`` of the server."""
    from redis.asyncio import Redis

    client: Any = Redis.from_url(address)
    try:
        return int((await client.info("memory"))["used_memory"])
    finally:
        await client.aclose()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM asks for the same orderly end as Ctrl-C."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    held = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, held)
