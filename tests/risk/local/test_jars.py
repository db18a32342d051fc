"""Jars are those of the lock, byte for byte, and nothing is fetched when they are there."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from risk.domain.errors import BadConfiguration
from risk.local import jars
from risk.local.jars import Jar
from risk.local.kafka import KafkaServer
from risk.local.process import plain_environment

OFFLINE = """
import socket, sys
from pathlib import Path
from risk.local import jars
def refuse(*_args, **_named):
    raise AssertionError("the network was asked")
socket.getaddrinfo = refuse
jars.ensure(Path(sys.argv[1]))
print("requests" in sys.modules, "jgo" in sys.modules)
"""


def linked_cache(source: Path, target: Path) -> Path:
    """A cache of its own whose jars are the same files."""
    for jar in jars.read_lock():
        path = jar.path(target)
        path.parent.mkdir(parents=True)
        path.hardlink_to(jar.path(source)) if same_disk(source, target) else path.write_bytes(
            jar.path(source).read_bytes()
        )
    return target


def same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


@pytest.fixture(scope="module")
def jars_there(jar_cache: Path) -> Path:
    """The real cache, filled."""
    jars.ensure(jar_cache)
    return jar_cache


def test_the_lock_is_of_one_kafka_and_names_no_address() -> None:
    locked = jars.read_lock()
    kafka = {jar.coordinate.rpartition(":")[2] for jar in locked if ".kafka:" in jar.coordinate}
    assert kafka == {jars.ROOTS[0].rpartition(":")[2]}
    assert len({jar.coordinate.rpartition(":")[0] for jar in locked}) == len(locked)
    assert {root in {jar.coordinate for jar in locked} for root in jars.ROOTS} == {True}
    assert "//" not in jars.LOCK.read_text()


def test_a_broken_lock_names_its_line(tmp_path: Path) -> None:
    lock = tmp_path / "kafka.lock"
    lock.write_text("# head\na:b:1 b-1.jar 00\n")
    with pytest.raises(BadConfiguration, match=r"kafka\.lock line 2"):
        jars.read_lock(lock)


def test_a_jar_lies_where_maven_would_put_it(tmp_path: Path) -> None:
    jar = Jar("org.apache.kafka:kafka_2.13:4.1.2", "kafka_2.13-4.1.2.jar", "0" * 64)
    assert jar.path(tmp_path) == tmp_path / "org/apache/kafka/kafka_2.13/4.1.2" / jar.file


@pytest.mark.services
def test_one_flipped_byte_is_refused(jars_there: Path, tmp_path: Path) -> None:
    cache = linked_cache(jars_there, tmp_path / "cache")
    victim = jars.read_lock()[-1].path(cache)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.unlink()
    victim.write_bytes(content)
    with pytest.raises(BadConfiguration, match=f"{victim.name} differs from kafka.lock"):
        jars.ensure(cache)
    server = KafkaServer(tmp_path / "kafka", cache)
    with pytest.raises(BadConfiguration, match="Kafka is not started"):
        server.start()
    assert not server.running


@pytest.mark.services
def test_a_missing_jar_is_fetched_and_an_altered_one_replaced(
    jars_there: Path, tmp_path: Path
) -> None:
    small = min(jars.read_lock(), key=lambda jar: jar.path(jars_there).stat().st_size)
    seen: list[Jar] = []
    (path,) = jars.fetch(tmp_path, [small], seen.append)
    assert path == small.path(tmp_path)
    assert seen == [small]
    path.write_bytes(b"altered")
    assert jars.altered(tmp_path, [small]) == [small]
    jars.fetch(tmp_path, [small])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == small.sha256
    assert not list(tmp_path.glob("fetch-*"))


@pytest.mark.services
def test_other_bytes_from_the_registry_never_reach_the_cache(
    jars_there: Path, tmp_path: Path
) -> None:
    small = min(jars.read_lock(), key=lambda jar: jar.path(jars_there).stat().st_size)
    other = Jar(small.coordinate, small.file, "0" * 64)
    with pytest.raises(BadConfiguration, match="the registry's file differs"):
        jars.fetch(tmp_path, [other])
    assert not other.path(tmp_path).exists()


@pytest.mark.services
def test_a_full_cache_asks_nothing_of_the_network(jars_there: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(jars_there)],
        capture_output=True,
        text=True,
        check=True,
        env=plain_environment(),
    )
    assert done.stdout.split() == ["False", "False"]
    assert socket.getaddrinfo is not None
