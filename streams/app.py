"""The Faust app of a worker, put together from its parts; nothing connects before it starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

import faust
from faust.types import TP

from streams.agents import decisions, events, labels
from streams.batch import Batch, Handler
from streams.topics import Topics
from streams.transport import BatchConsumer, BatchSchema, BatchTransport
from streams.watchdog import Watchdog

STOP_WITHIN_S: Final = 9.0
# Faust has a fifth of a buffer left when it stops fetching: one poll must fit into it.
POLL_RECORDS_MAX: Final = 512
BUFFER_BATCHES: Final = 20
_AGENTS: Final[Mapping[str, ModuleType]] = {
    "events": events,
    "labels": labels,
    "decisions": decisions,
}


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Where a worker reads. ``slot`` is its static membership: unique in the group."""

    bootstrap: str
    topics: Topics
    slot: str
    state: Path
    group: str = "weir-worker"

    @property
    def group_id(self) -> str:
        """The consumer group: committed offsets live under this name, so it never changes."""
        world = self.topics.world
        return self.group if world == "live" else f"{self.group}.{world}"


class WorkerApp(faust.App):  # type: ignore[misc]  # Faust is Any
    """A Faust app on the batch transport."""

    urgent_topics: frozenset[str] = frozenset()

    def _new_transport(self) -> BatchTransport:
        urls = self.conf.broker_consumer
        return BatchTransport(urls, self, urgent_topics=self.urgent_topics)

    def _new_producer_transport(self) -> BatchTransport:
        urls = self.conf.broker_producer
        return BatchTransport(urls, self, urgent_topics=self.urgent_topics)


def batch_consumer(app: WorkerApp) -> BatchConsumer:
    """The app's consumer, by its own type."""
    return cast("BatchConsumer", app.consumer)


class _Confirming:
    """A handler inside the watchdog's sight, that confirms a batch when it is done."""

    def __init__(self, app: WorkerApp, handler: Handler, watchdog: Watchdog) -> None:
        self._app = app
        self._handler = handler
        self._watchdog = watchdog

    async def handle(self, batch: Batch) -> None:
        self._watchdog.begin(batch.topic, batch.partition)
        await self._handler.handle(batch)
        await batch_consumer(self._app).confirm(batch)
        self._watchdog.end(batch.topic, batch.partition)


def build_app(
    config: WorkerConfig, handlers: Mapping[str, Handler], watchdog: Watchdog
) -> WorkerApp:
    """The app with an agent for each of ``handlers`` (by the topic's short name).

    At-least-once: no tables, no web server, no leader topic, no codec but raw bytes.
    """
    app = WorkerApp(config.group_id, **_settings(config))
    # Few and small: they must not wait behind a backlog of payments.
    app.urgent_topics = frozenset((config.topics.labels, config.topics.control))
    for name, handler in handlers.items():
        topic = app.topic(getattr(config.topics, name), schema=BatchSchema(), internal=False)
        _AGENTS[name].register(app, topic, _Confirming(app, handler, watchdog))
    return app


def _settings(config: WorkerConfig) -> dict[str, Any]:
    """Faust's settings, each for a failure seen (reliability-security.md, A2)."""
    return {
        "broker": [f"kafka://{address}" for address in config.bootstrap.split(",")],
        "datadir": str(config.state / "faust" / f"{config.topics.world}-{config.slot}"),
        "processing_guarantee": "at_least_once",
        "broker_session_timeout": 10.0,
        "broker_heartbeat_interval": 3.0,
        "broker_rebalance_timeout": 15.0,
        "broker_commit_interval": 0.5,
        "broker_max_poll_records": POLL_RECORDS_MAX,
        "stream_buffer_maxsize": BUFFER_BATCHES,
        "stream_wait_empty": True,
        "stream_publish_on_commit": False,
        "producer_acks": -1,
        "producer_request_timeout": 12.0,
        "producer_linger": 0,
        "producer_threaded": False,
        "consumer_group_instance_id": f"{config.group_id}-{config.slot}",
        "consumer_auto_offset_reset": "earliest",
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "store": "memory://",
        "table_standby_replicas": 0,
        "web_enabled": False,
        "key_serializer": "raw",
        "value_serializer": "raw",
    }


async def run_app(
    app: WorkerApp,
    watchdog: Watchdog,
    stop: asyncio.Event,
    on_ready: Callable[[int], None] = lambda partitions: None,
) -> bool:
    """Run ``app`` until ``stop`` is set; False where it crashed.

    ``on_ready`` is called with the number of partitions each time they were assigned.
    Stopping finishes the batches in flight, commits them, and leaves the group; the
    watchdog ends the process if that takes longer than ``STOP_WITHIN_S``.
    """
    Path(app.conf.datadir).mkdir(parents=True, exist_ok=True)

    async def assigned(*_: Any, **__: Any) -> None:
        on_ready(len(app.consumer.assignment()))

    app.on_rebalance_complete.connect(assigned)
    watchdog.start()
    try:
        await app.start()
        await app.wait(stop.wait())
        crashed = bool(app.crashed)
        watchdog.stopping(STOP_WITHIN_S)
        await app.stop()
    finally:
        watchdog.close()
    return not crashed


def lag(app: WorkerApp) -> int:
    """Records that wait in the assigned partitions; 0 while partitions are moving.

    Read by the watchdog's thread, so it only looks at what others have written.
    """
    if app.rebalancing or not app.started:
        return 0
    committed: Mapping[TP, int | None] = dict(batch_consumer(app)._committed_offset)
    ends: Iterable[tuple[TP, int | None]] = list(app.monitor.tp_end_offsets.items())
    return sum(max(0, (end or 0) - (committed.get(tp) or 0)) for tp, end in ends if tp in committed)


def quiet_faust(level: int = logging.WARNING) -> None:
    """Let only warnings of Faust, mode and aiokafka into the log.

    Faust names the loggers of our subclasses after their modules, here ``streams``.
    """
    for name in ("faust", "mode", "aiokafka", "streams"):
        logging.getLogger(name).setLevel(level)
