"""Reads Weir's decisions back: a benchmark of decisions that were not whole counts nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.stream_scene import Scene
from risk.domain.decision import Decision, decode_decision
from risk.domain.errors import BadConfiguration

SAMPLE: Final = 4_000
SHARE_WHOLE: Final = 0.999


@dataclass(frozen=True, slots=True)
class Answers:
    """What a sample of decisions says. ``tail_records`` is the mean over all their logs."""

    tail_records: float = 0.0
    entities: float = 0.0
    outcomes: Mapping[str, float] = field(default_factory=dict)  # shares


async def read_answers(scene: Scene, partitions: int) -> Answers:
    """Look at decisions around the middle of each partition.

    Raises BadConfiguration where they were made without the model, features or rules.
    """
    topic = scene.topics.decisions
    places = [TopicPartition(topic, number) for number in range(partitions)]
    found: list[Decision] = []
    consumer = AIOKafkaConsumer(
        bootstrap_servers=scene.settings.kafka, enable_auto_commit=False, max_poll_records=500
    )
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, ends[place] // 2)
        wanted = min(SAMPLE, sum(end - end // 2 for end in ends.values()))
        while len(found) < wanted:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                found += [decode_decision(record.value) for record in records if record.value]
    finally:
        await consumer.stop()
    return _answers(found)


def _answers(found: list[Decision]) -> Answers:
    whole = [one for one in found if one.authoritative and not one.degraded and one.evidence]
    if len(whole) < SHARE_WHOLE * len(found):
        why = Counter(step for one in found for step in one.degraded)
        raise BadConfiguration(f"{len(found) - len(whole)} of {len(found)} decisions lack {why}")
    tails = [
        place.sequence - place.tail_from
        for one in whole
        if one.evidence is not None
        for place in one.evidence.positions
    ]
    outcomes = Counter(one.outcome.value for one in whole)
    return Answers(
        tail_records=round(sum(tails) / len(tails), 1),
        entities=round(len(tails) / len(whole), 2),
        outcomes={name: round(count / len(whole), 4) for name, count in outcomes.items()},
    )
