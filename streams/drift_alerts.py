"""An alert on the alerts topic: values have drifted from a model's training."""

from __future__ import annotations

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from risk.alerts.alert import DriftAlert
from risk.domain.errors import Unavailable
from streams.topics import Topics


async def tell(bootstrap: str, world: str, alert: DriftAlert) -> None:
    """Publish ``alert`` and wait until it is taken; Unavailable where Kafka does not take it."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    try:
        await producer.start()
        await producer.send_and_wait(
            Topics(world).alerts, msgspec.json.encode(alert), key=f"{alert.tenant}:drift".encode()
        )
    except (KafkaError, OSError) as error:
        raise Unavailable("kafka", f"{type(error).__name__}: {error}") from error
    finally:
        await producer.stop()
