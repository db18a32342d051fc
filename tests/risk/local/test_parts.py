"""Parts are those that settings name, else the running ones, else started for the command."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest
import redis

from risk.domain.errors import AlreadyRunning, BadConfiguration, Unavailable
from risk.local import jars, ports, runfile
from risk.local.parts import Parts, jar_cache, make_server, resolve, running
from risk.local.runfile import RunRecord
from risk.settings import Settings


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def settings_of(state: Path, **given: str) -> Settings:
    return Settings(home=state, kafka="", redis="", mlflow="").model_copy(update=given)


def record(**addresses: str) -> RunRecord:
    return RunRecord(pid=1, command="run", started_at_ms=1, **addresses)  # type: ignore[arg-type]


def test_named_parts_are_taken_as_they_are(state: Path) -> None:
    settings = settings_of(state, kafka="k:1", redis="redis://r:1", mlflow="http://m:1")
    with resolve(settings, command="test") as resolved:
        assert resolved == settings
    assert not state.exists()


def test_a_live_run_lends_its_parts(state: Path) -> None:
    settings = settings_of(state, mlflow="http://other:1")
    with runfile.hold(state) as file:
        file.write(record(kafka="k:1", redis="redis://r:1", mlflow="http://m:1", api="http://a:1"))
        live = running(state)
        with resolve(settings, command="test") as resolved:
            assert (resolved.kafka, resolved.redis) == ("k:1", "redis://r:1")
            assert resolved.api == "http://a:1"
            assert resolved.mlflow == "http://other:1"
    assert live is not None
    assert running(state) is None


@pytest.mark.services
def test_a_command_starts_what_it_lacks_and_stops_it(state: Path) -> None:
    said: list[str] = []
    settings = settings_of(state, kafka="k:1")
    with resolve(settings, ["redis", "kafka"], command="test", say=said.append) as resolved:
        assert resolved.kafka == "k:1"
        with redis.Redis.from_url(resolved.redis) as client:
            assert client.ping()
        own = runfile.read_live(state)
        assert own is not None
        assert own.command == "test"
        assert own.redis == resolved.redis
        assert running(state) is None
        with (
            pytest.raises(AlreadyRunning, match="`weir test`"),
            resolve(settings, ["redis"], command="second"),
        ):
            raise AssertionError("two commands share a folder")
    with redis.Redis.from_url(resolved.redis) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    assert [line.partition(" is ready")[0] for line in said] == ["redis"]


@pytest.mark.services
def test_a_taken_default_port_is_replaced(state: Path) -> None:
    with socket.create_server((ports.HOST, 0)) as taken:
        server = make_server("redis", state)
        server._preferred = taken.getsockname()[1]
        server.start()
        assert server.port != taken.getsockname()[1]
        assert server.answers()
    server.stop()


@pytest.mark.services
def test_all_parts_start_side_by_side(state: Path, jar_cache: Path) -> None:
    state.mkdir()
    cache = state / "cache"
    cache.mkdir()
    (cache / "maven").symlink_to(jar_cache.resolve())
    jars.ensure(jar_cache)
    with Parts(state) as parts:
        addresses = parts.start(["kafka", "redis", "mlflow"])
        assert list(parts.pids) == ["mlflow", "redis", "kafka"]
        assert all(parts.server(name).running for name in addresses)
        assert httpx.get(addresses["mlflow"] + "/health").text == "OK"
    assert not any(parts.server(name).running for name in addresses)
    assert {log.name for log in (state / "logs").iterdir()} >= {"kafka.log", "redis.log"}


@pytest.mark.services
def test_one_part_that_fails_stops_the_others(state: Path) -> None:
    small = min(jars.read_lock(), key=lambda jar: len(jar.file))
    for jar in jars.read_lock():
        path = jar.path(jar_cache(state))
        path.parent.mkdir(parents=True)
        path.write_bytes(small.file.encode())
    parts = Parts(state)
    with pytest.raises(BadConfiguration, match=r"differs from kafka\.lock"):
        parts.start(["kafka", "redis"])
    assert not parts.server("redis").running


def test_a_server_that_was_not_started_has_no_pid(state: Path) -> None:
    server = make_server("redis", state)
    server.stop()
    with pytest.raises(Unavailable, match="it was not started"):
        _ = server.pid
