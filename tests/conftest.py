"""Real Kafka, Redis and MLflow for the tests, and the gate of the foreign data.

``kafka``, ``redis_url`` and ``mlflow_url`` are shared by the whole session: a test that uses them
takes a world, tenant or topic name of its own. A test that kills servers asks a factory for one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from risk.cli.__main__ import prepare_environment
from risk.local.kafka import KafkaServer
from risk.local.mlflow import MlflowServer
from risk.local.parts import jar_cache as jar_cache_of
from risk.local.redis import RedisServer
from risk.local.server import Server
from risk.settings import Settings

EXTERNAL = "WEIR_EXTERNAL_DATA"
# Run only when the marker is asked for, as `make soak` and `make chaos` do.
LONG = {"soak", "chaos"}


def pytest_configure(config: pytest.Config) -> None:
    prepare_environment()
    # How fast examples are made depends on the machine and its load, not on our code.
    settings.register_profile("weir", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("weir")
    named = os.environ.get(EXTERNAL)
    if named and not (config.rootpath / named).is_dir():
        raise pytest.UsageError(f"{EXTERNAL} names {named}, which is not a folder")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _leave_out_long(config, items)
    if os.environ.get(EXTERNAL):
        return
    not_run = pytest.mark.skip(reason=f"not run: {EXTERNAL} is not given")
    for item in items:
        if item.get_closest_marker("external"):
            item.add_marker(not_run)


def _leave_out_long(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = config.option.markexpr
    long = [
        item
        for item in items
        if any(m.name in LONG and m.name not in asked for m in item.iter_markers())
    ]
    if long:
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)


@pytest.fixture(scope="session")
def external_data(request: pytest.FixtureRequest) -> Path:
    """The folder of the foreign data; only for tests marked ``external``."""
    return (request.config.rootpath / os.environ[EXTERNAL]).resolve()


@pytest.fixture(scope="session")
def jar_cache() -> Path:
    """Where the Kafka jars are kept between runs: the cache of the state folder."""
    return jar_cache_of(Settings().state)


@pytest.fixture(scope="session")
def kafka(jar_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of the session's broker."""
    yield from _running(KafkaServer(tmp_path_factory.mktemp("kafka"), jar_cache))


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``redis://`` address of the session's server: AOF synced on every write, no eviction."""
    yield from _running(RedisServer(tmp_path_factory.mktemp("redis")))


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``http://`` address of the session's tracking server."""
    yield from _running(MlflowServer(tmp_path_factory.mktemp("mlflow")))


@pytest.fixture
def redis_factory(tmp_path: Path) -> Iterator[Callable[[], RedisServer]]:
    """Makes started Redis servers of the test's own, with ``kill``, ``restart`` and ``url``."""
    made: list[Server] = []

    def make() -> RedisServer:
        server = RedisServer(tmp_path / f"redis-{len(made)}")
        made.append(server)
        server.start()
        return server

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def kafka_factory(jar_cache: Path, tmp_path: Path) -> Iterator[Callable[[], KafkaServer]]:
    """Makes started brokers of the test's own, with ``kill``, ``restart`` and ``url``."""
    made: list[Server] = []

    def make() -> KafkaServer:
        server = KafkaServer(tmp_path / f"kafka-{len(made)}", jar_cache)
        made.append(server)
        server.start()
        return server

    yield make
    for server in made:
        server.stop()


def _running(server: Server) -> Iterator[str]:
    server.start()
    yield server.url
    server.stop()
