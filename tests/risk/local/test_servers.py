"""The embedded servers start, answer, and come back after a kill under the same address."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from risk.local.kafka import KafkaServer
from risk.local.redis import RedisServer

pytestmark = pytest.mark.services


async def test_kafka_serves_and_does_not_make_topics_unasked(kafka: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic("servers", 2, 1)])
    producer = AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=0)
    await producer.start()
    sent = await producer.send_and_wait("servers", b"one", partition=1)
    assert (sent.partition, sent.offset) == (1, 0)
    await producer.stop()
    assert "never-made" not in await admin.list_topics()
    await admin.close()


async def test_kafka_keeps_acknowledged_records_over_a_kill(
    kafka_factory: Callable[[], KafkaServer],
) -> None:
    server = await asyncio.to_thread(kafka_factory)
    address = server.url
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all") as producer:
        await producer.send_and_wait("kept", b"one")
    server.kill()
    assert not server.running
    await asyncio.to_thread(server.restart)
    assert server.url == address
    async with AIOKafkaConsumer(bootstrap_servers=address) as consumer:
        partition = TopicPartition("kept", 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        record = await asyncio.wait_for(consumer.getone(), 20)
    assert record.value == b"one"


def test_a_cluster_id_may_begin_with_a_dash(jar_cache: Path, tmp_path: Path) -> None:
    server = KafkaServer(tmp_path, jar_cache)
    server.prepare()
    shutil.rmtree(tmp_path / "log")
    server._format(b"\xf8" * 16)
    assert "cluster.id=-" in (tmp_path / "log" / "meta.properties").read_text()


def test_redis_syncs_every_write_and_never_evicts(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        told = {name: client.config_get(name)[name] for name in ("appendonly", "appendfsync")}
        assert told == {"appendonly": "yes", "appendfsync": "always"}
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("bind")["bind"] == "127.0.0.1"


def test_redis_asks_for_its_password(redis_url: str) -> None:
    host_and_port = redis_url.rpartition("@")[2]
    with (
        redis.Redis.from_url(f"redis://{host_and_port}") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.get("any")


def test_nobody_else_may_read_the_data(redis_factory: Callable[[], RedisServer]) -> None:
    assert redis_factory().data.stat().st_mode & 0o077 == 0


def test_redis_keeps_writes_over_a_kill(redis_factory: Callable[[], RedisServer]) -> None:
    server = redis_factory()
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", b"one")
    address, first_pid = server.url, server.pid
    server.kill()
    server.restart()
    assert server.url == address
    assert server.pid != first_pid
    with redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"one"


def test_mlflow_answers_and_keeps_artifacts_on_its_own_server(mlflow_url: str) -> None:
    with urlopen(f"{mlflow_url}/health") as answer:
        assert answer.read() == b"OK"
