"""The desk of books for commands: the control topic and the SQL store of a world, opened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from risk.books.desk import BookDesk
    from risk.books.library import ControlTopic
    from risk.rules.book import Book
    from risk.settings import Settings

COVERED_DAYS = 30
T = TypeVar("T")


def with_desk(world: str | None, act: Callable[[BookDesk], Awaitable[T]]) -> T:
    """What ``act`` says at the desk of a world."""
    from risk.cli.proofs import parts_of, settings_of
    from risk.storage.sql import open_store

    async def at_the_desk(settings: Settings, engine: Engine) -> T:
        async with _control(settings) as control:
            return await act(desk_over(settings, control, engine))

    with parts_of(settings_of(world), "rules") as settings:
        engine = open_store(settings)
        try:
            return asyncio.run(at_the_desk(settings, engine))
        finally:
            engine.dispose()


def desk_over(settings: Settings, control: ControlTopic, engine: Engine) -> BookDesk:
    """The desk over parts that are open."""
    from features.catalogue import CATALOGUE
    from risk.books.desk import BookDesk, Ground
    from risk.books.library import Library
    from risk.bootstrap import shipped_book
    from risk.domain.clock import SystemClock
    from risk.rules.schema import Schema
    from risk.secret import load_secret
    from risk.storage.book_life import SqlBookLife
    from risk.tables.load import exchange_rates

    rates = exchange_rates(settings.rates, settings.base_currency)
    library = Library(control, shipped_book(), Schema.of(CATALOGUE), rates)
    ground = Ground(SystemClock(), load_secret(settings), _gate(settings))
    return BookDesk(library, SqlBookLife(engine, settings.world), ground)


def _gate(settings: Settings) -> Callable[[Book, Book], None]:
    def require(live: Book, new: Book) -> None:
        """Features that act already are covered: only those that are new to it are looked at."""
        from risk.cli.live_gate import require_covered

        names = sorted(_acting_features(new) - _acting_features(live))
        if names:
            require_covered(settings, names, COVERED_DAYS)

    return require


def _acting_features(book: Book) -> set[str]:
    from features.catalogue import FEATURE_NAMES
    from risk.books.difference import acting
    from risk.rules.compiler import names_of
    from risk.rules.parser import parse

    used: set[str] = set().union(*(names_of(parse(rule.when)) for rule in acting(book)))
    return used & set(FEATURE_NAMES)


@asynccontextmanager
async def _control(settings: Settings) -> AsyncIterator[ControlTopic]:
    from risk.versions.store import VersionStore
    from streams.admin import ensure_topics
    from streams.control import Control
    from streams.publish import KafkaPublisher
    from streams.topics import Topics

    topics = Topics(settings.world)
    await ensure_topics(settings.kafka, topics)
    async with KafkaPublisher(settings.kafka, topics) as publisher:
        store = VersionStore(settings.state / "versions")
        control = Control(settings.kafka, topics, store, publisher)
        try:
            await control.load()
            yield control
        finally:
            await control.close()
