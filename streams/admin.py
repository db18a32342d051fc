"""Creates the topics of a world, and checks that they are what the workers expect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from risk.domain.errors import BadConfiguration, Unavailable
from streams.topics import RETENTION_BYTES_PER_PARTITION, RETENTION_MS, Topic, Topics

REQUEST_TIMEOUT_MS = 15_000
VISIBLE_TRIES = 50
VISIBLE_PAUSE_S = 0.1
_EXISTS = TopicAlreadyExistsError.errno


async def ensure_topics(bootstrap: str, topics: Topics, *, replicas: int = 1) -> list[str]:
    """Create the topics that are missing; returns their names. Safe to call again.

    Raises Unavailable where Kafka does not answer, BadConfiguration as ``check_topics``.
    """
    async with _admin(bootstrap) as admin:
        wanted = [_new_topic(topic, topics, replicas) for topic in topics.all()]
        answer = await admin.create_topics(wanted, timeout_ms=REQUEST_TIMEOUT_MS)
        created = []
        for name, code, *detail in answer.topic_errors:
            if code == 0:
                created.append(name)
            elif code != _EXISTS:
                raise Unavailable("kafka", f"topic {name}: {for_code(code).__name__} {detail}")
        await _check(admin, topics, VISIBLE_TRIES)
    return created


async def check_topics(bootstrap: str, topics: Topics) -> None:
    """Raise BadConfiguration where a topic is missing or has other partitions than it should.

    Partitions are part of the contract: keys would move, and with them the order of an
    account's events and the place of a payment's decisions.
    """
    async with _admin(bootstrap) as admin:
        await _check(admin, topics)


async def _check(admin: AIOKafkaAdminClient, topics: Topics, tries: int = 1) -> None:
    """A new topic is known to the controller before it is known to every broker: try again."""
    missing: list[str] = []
    for left in reversed(range(tries)):
        described = await admin.describe_topics()
        found = {one["topic"]: len(one["partitions"]) for one in described}
        for topic in topics.all():
            partitions = found.get(topic.name, topic.partitions)
            if partitions != topic.partitions:
                raise BadConfiguration(
                    f"topic {topic.name} has {partitions} partitions, not {topic.partitions}; "
                    "use a new world, or move its records to a topic that is made right"
                )
        missing = [topic.name for topic in topics.all() if topic.name not in found]
        if not missing:
            return
        await asyncio.sleep(VISIBLE_PAUSE_S if left else 0)
    raise BadConfiguration(f"topics {', '.join(missing)} are missing; `weir worker` creates them")


def _new_topic(topic: Topic, topics: Topics, replicas: int) -> NewTopic:
    config = {"cleanup.policy": "compact" if topic.compacted else "delete"}
    if not topic.compacted:
        config["retention.ms"] = str(RETENTION_MS)
        config["retention.bytes"] = str(RETENTION_BYTES_PER_PARTITION)
    if topic.name in (topics.events, topics.labels):
        # The broker's time of arrival: a producer cannot forge it, a retry does not change it.
        config["message.timestamp.type"] = "LogAppendTime"
    return NewTopic(topic.name, topic.partitions, replicas, topic_configs=config)


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        yield admin
    except (KafkaError, OSError) as error:
        raise Unavailable("kafka", f"{type(error).__name__}: {error}") from error
    finally:
        await admin.close()
