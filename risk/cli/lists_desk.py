"""What the commands of lists share: the desk on real parts, and reading without Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from risk.domain.findings import ListSnapshot
    from risk.lists.desk import ListDesk
    from risk.settings import Settings
    from risk.storage.lists import SqlLists

T = TypeVar("T")
V = TypeVar("V")


def at_the_desk(world: str | None, act: Callable[[ListDesk], T]) -> T:
    """What ``act`` gives at the desk of a world, with Kafka and the SQL store open.

    It runs in the caller's thread, so that Ctrl-C ends it at once, and its transaction with it.
    """
    from risk.cli.proofs import parts_of, settings_of
    from risk.storage.sql import open_store

    with parts_of(settings_of(world), "lists") as settings:
        engine = open_store(settings)
        try:
            with beside(_opened(settings, engine)) as desk:
                return act(desk)
        finally:
            engine.dispose()


@contextmanager
def stored_lists(world: str | None) -> Iterator[SqlLists]:
    """The lists of a world as the SQL store has them; needs no Kafka."""
    from risk.cli.proofs import settings_of
    from risk.storage.lists import SqlLists
    from risk.storage.sql import open_store

    settings = settings_of(world)
    engine = open_store(settings)
    try:
        yield SqlLists(engine, settings.world)
    finally:
        engine.dispose()


def lists_at_hand(settings: Settings) -> tuple[dict[str, str], ListSnapshot]:
    """The types of the stored lists by name, and who stands on them; nothing is made for it.

    Raises BadVersion where this machine lacks the entries: `weir lists publish` fetches them.
    """
    from risk.domain.findings import NO_LISTS
    from risk.lists.entries import list_versions
    from risk.lists.manifest import list_types, snapshot_of
    from risk.lists.members import Tables
    from risk.storage.lists import SqlLists
    from risk.storage.sql import SQLITE_FILE, open_store
    from risk.versions.serving import segments_in
    from risk.versions.store import VersionStore

    if not settings.database and not (settings.state / SQLITE_FILE).exists():
        return {}, NO_LISTS
    engine = open_store(settings)
    try:
        lists = list_versions(SqlLists(engine, settings.world).all())
    finally:
        engine.dispose()
    members = Tables(segments_in(VersionStore(settings.state / "versions")))
    return list_types(lists), snapshot_of(lists, members)


@contextmanager
def beside(part: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """What ``part`` gives, open on an event loop in a thread of its own, and closed in any case."""
    import asyncio
    from threading import Thread

    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="weir-beside")

    def run(work: Coroutine[object, object, V]) -> V:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    async def end() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    thread.start()
    stack = AsyncExitStack()
    try:
        yield run(stack.enter_async_context(part))
    finally:
        run(stack.aclose())
        run(end())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@asynccontextmanager
async def _opened(settings: Settings, engine: Engine) -> AsyncIterator[ListDesk]:
    from features.catalogue import CATALOGUE
    from risk.domain.clock import SystemClock
    from risk.rules.schema import Schema
    from risk.rules.words import reserved_names
    from risk.storage.lists import SqlLists
    from risk.versions.store import VersionStore
    from streams.admin import ensure_topics
    from streams.control import Control
    from streams.list_outlet import open_list_desk
    from streams.publish import KafkaPublisher
    from streams.topics import Topics

    topics = Topics(settings.world)
    await ensure_topics(settings.kafka, topics)
    async with KafkaPublisher(settings.kafka, topics) as publisher:
        store = VersionStore(settings.state / "versions")
        control = Control(settings.kafka, topics, store, publisher)
        lists, names = SqlLists(engine, settings.world), reserved_names(Schema.of(CATALOGUE))
        opened = open_list_desk(control, lists, names, SystemClock().now_ms, settings.world)
        async with opened as desk:
            yield desk
