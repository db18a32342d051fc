"""The order in which `weir run` starts, works and stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from risk.cli.run_proof import ArchiveCounts, ParityCounts, Proof, ProofNotes, evidence_bytes
from risk.cli.run_services import ALERTS, ARCHIVE, GUARD, PROVE, Services
from risk.cli.run_view import RunView
from risk.domain.clock import SystemClock
from risk.domain.times import rfc3339
from risk.local import ports, runfile
from risk.local.parts import DEFAULT_PORTS, PARTS, Parts

if TYPE_CHECKING:
    from rich.console import Console

    from risk.settings import Settings
    from streams.watch import Tally, Watcher

DRAIN_S: Final = 120.0
SHOW_EVERY_S: Final = 1.0
INTERRUPTED_DRAIN_S: Final = 2.0  # after Ctrl-C all of it stops within 10 s
LIVE_WORLD: Final = "live"
PROVE_EVERY_S: Final = 10.0
ARCHIVE_EVERY_S: Final = 10.0
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
    evidence_bytes_per_decision: float | None
    parity: ParityCounts
    archive: ArchiveCounts
    problems: list[str]
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
        self._interrupted = False
        self._file: runfile.RunFile | None = None
        self._record: runfile.RunRecord | None = None

    def run(self, report: Path | None) -> bool:
        """Start, work, stop. True where every payment got its decision."""
        if self._order.dataset is not None:
            _check_dataset(self._settings.state, self._order.dataset)
        with _interruptible(), ExitStack() as stack:
            file = stack.enter_context(runfile.hold(self._settings.state))
            parts = stack.enter_context(Parts(self._settings.state))
            try:
                record, services = self._start(parts, stack)
                file.write(record)
                self._file, self._record = file, record
                services.wait_for_doors(record.api)
                ready_s = self._clock.monotonic_s() - self._began_s
                self._say(f"ready after {ready_s:.1f} s")
                found = asyncio.run(self._work(record, services, ready_s))
            except KeyboardInterrupt:
                self._say("interrupted before payments flowed; stopping what was started")
                return True
            if report is not None:
                body = msgspec.json.format(msgspec.json.encode(found), indent=2)
                report.write_bytes(body + b"\n")
            self._say("stopping; state stays in " + str(self._settings.state))
        self._summary(found)
        return not found.problems and (self._interrupted or found.decisions >= found.payments)

    # -- start ---------------------------------------------------------------------------

    def _start(self, parts: Parts, stack: ExitStack) -> tuple[runfile.RunRecord, Services]:
        lacking = [name for name in PARTS if not getattr(self._settings, name)]
        self._say(f"starting {', '.join(lacking) or 'nothing: all addresses are given'}")
        addresses = parts.start(lacking, self._say)
        self._settings = self._settings.model_copy(update=addresses)
        self._first_model()
        port = ports.pick(DEFAULT_PORTS["api"])
        services = Services(
            self._settings, self._order.workers, parts, self._clock, self._say, self._publish_pid
        )
        stack.callback(services.stop)
        services.start_doors(port)
        record = runfile.RunRecord(
            pid=os.getpid(),
            command=runfile.RUN,
            started_at_ms=self._clock.now_ms(),
            kafka=self._settings.kafka,
            redis=self._settings.redis,
            mlflow=self._settings.mlflow,
            api=f"http://127.0.0.1:{port}",
            demo_key=self._demo_key(),
            pids=parts.pids | services.pids,
        )
        return record, services

    def _first_model(self) -> None:
        """Train a champion where the live world has none; other worlds start with that one."""
        from features.catalogue import FEATURE_NAMES, catalogue_digest
        from models.adopt import adopt_champion
        from models.bootstrap_model import ensure_model
        from models.signature import ModelKeys, keys_folder
        from models.source import Catalogue
        from risk.cli.progress import stages
        from risk.tables.load import exchange_rates

        settings = self._settings
        rates = exchange_rates(settings.rates, settings.base_currency)
        keys = ModelKeys(keys_folder(settings.state))
        with stages(self._console) as progress:
            version = ensure_model(settings.mlflow, LIVE_WORLD, rates, progress, keys=keys)
        if version is not None:
            self._say(f"trained and registered the first model, version {version}")
        if settings.world != LIVE_WORLD:
            cache = settings.state / "cache" / "models"
            catalogue = Catalogue(FEATURE_NAMES, catalogue_digest())
            adopted = adopt_champion(settings.mlflow, settings.world, cache, catalogue, keys)
            if adopted is not None:
                self._say(f"world {settings.world} starts with the live champion")

    def _start_keepers(self, services: Services, begin_ms: int) -> ProofNotes:
        """Begin to archive, and to prove what is decided from now on."""
        # Elsewhere event time is the clock, so nothing says what is new: all of it is proven.
        live = self._settings.world == LIVE_WORLD
        since = ["--from", rfc3339(begin_ms)] if live else ["--hours", "9000000"]
        keepers = {
            ARCHIVE: ["archive", "run", "--every", f"{ARCHIVE_EVERY_S:g}"],
            PROVE: ["prove", "--every", f"{PROVE_EVERY_S:g}", *since],
            ALERTS: ["alerts", "run"],
            GUARD: ["rules", "guard"],
        }
        services.start_keepers(keepers)
        return ProofNotes(self._settings, rfc3339(begin_ms))

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

    async def _work(
        self, record: runfile.RunRecord, services: Services, ready_s: float
    ) -> RunReport:
        from streams.topics import Topics
        from streams.watch import Watcher

        topics = Topics(self._settings.world)
        redis_before = await _redis_bytes(record.redis)
        broker = self._settings.state / "kafka"
        evidence_before = evidence_bytes(broker, topics.decisions)
        notes = self._start_keepers(services, self._clock.now_ms())
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
                showing = asyncio.create_task(
                    self._show(view, watcher.tally, began_s, lambda: notes.read(services.given_up))
                )
                interrupted = await self._traffic_until_stopped(record, watcher, services)
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
        if not interrupted:
            self._say("proving and archiving the rest")
            await services.finish_keepers()
        evidence = evidence_bytes(broker, topics.decisions) - evidence_before
        proof = notes.read(services.given_up)
        return self._report(tally, worked_s, ready_s, (used, evidence), proof)

    async def _traffic_until_stopped(
        self, record: runfile.RunRecord, watcher: Watcher, services: Services
    ) -> bool:
        """Send until the time is up, the data set ends, Ctrl-C (then True), or a service dies."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        try:
            work = [
                asyncio.create_task(self._traffic(record, watcher)),
                asyncio.create_task(stop.wait()),
                asyncio.create_task(services.watch()),
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

    def _publish_pid(self, name: str, pid: int) -> None:
        if self._file is not None and self._record is not None:
            pids = self._record.pids | {name: pid}
            self._record = msgspec.structs.replace(self._record, pids=pids)
            self._file.write(self._record)

    async def _show(
        self, view: RunView, tally: Tally, began_s: float, proof: Callable[[], Proof]
    ) -> None:
        before, before_s = 0, began_s
        while True:
            await asyncio.sleep(SHOW_EVERY_S)
            now_s = self._clock.monotonic_s()
            per_s = (tally.decisions - before) / (now_s - before_s)
            before, before_s = tally.decisions, now_s
            view.show(tally, now_s - began_s, per_s, proof())

    # -- end -----------------------------------------------------------------------------

    def _report(
        self, tally: Tally, worked_s: float, ready_s: float, used: tuple[int, int], proof: Proof
    ) -> RunReport:
        """``used`` are bytes in Redis, and of decisions on the broker's disk."""
        embedded = used[1] > 0 and tally.decisions > 0
        return RunReport(
            payments=tally.sent,
            decisions=tally.decisions,
            outcomes={name: tally.outcomes[name] for name in ("allow", "review", "block")},
            per_s=round(tally.decisions / worked_s, 1),
            latency_ms=tally.latency.summary(),
            dead_letters=tally.dead_letters,
            seconds_to_ready=round(ready_s, 2),
            redis_bytes_per_payment=round(used[0] / tally.sent, 1) if tally.sent else None,
            evidence_bytes_per_decision=round(used[1] / tally.decisions, 1) if embedded else None,
            parity=proof.parity,
            archive=proof.archive,
            problems=proof.problems,
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
        parity = found.parity
        self._say(
            f"proven: {parity.checked:,} checked, {parity.equal:,} equal, {parity.unequal}"
            f" unequal, unprovable {parity.unprovable or 0}; {found.archive.rows:,} rows archived"
        )
        for problem in found.problems:
            self._console.print(problem, style="bold red", highlight=False, markup=False)

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)


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
