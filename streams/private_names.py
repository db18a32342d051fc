"""The private names of Faust and aiokafka that the batch transport leans on, in one place.

An upgrade that moves one of them must fail a test, never lose a payment. ``missing`` is
also part of the worker's pre-flight.
"""

from __future__ import annotations

import inspect
from typing import Any, Final

FAUST_VERSION: Final = "0.15.3"
AIOKAFKA_VERSION: Final = "0.14.0"
MODE_VERSION: Final = "0.7.1"

# Class -> method -> its positional and keyword parameters without self.
METHODS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "faust.transport.drivers.aiokafka:Consumer": {
        "_drain_messages": ("fetcher",),
        "_wait_next_records": ("timeout",),
        "_getmany": ("active_partitions", "timeout"),
        "_get_active_partitions": (),
        "_new_consumer_thread": (),
        "_add_gap": ("tp", "offset_from", "offset_to"),
        "_new_offset": ("tp",),
        "_commit_offsets": ("offsets", "start_new_transaction"),
        "_seek": ("partition", "offset"),
        "on_buffer_full": ("tp",),
        "on_buffer_drop": ("tp",),
        "resume_partitions": ("tps",),
        "resume_flow": (),
        "perform_seek": (),
        "highwater": ("tp",),
        "commit": ("topics", "start_new_transaction"),
    },
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread": {
        "_create_worker_consumer": ("transport",),
        "_fetch_records": ("consumer", "active_partitions", "timeout", "max_records"),
    },
    "faust.transport.drivers.aiokafka:Producer": {"_settings_extra": ()},
    "faust.app.base:App": {"_new_transport": (), "_new_producer_transport": ()},
    "faust.serializers.schemas:Schema": {
        "loads_key": ("app", "message", "loads", "serializer"),
        "loads_value": ("app", "message", "loads", "serializer"),
    },
    "faust.transport.utils:DefaultSchedulingStrategy": {"iterate": ("records",)},
    "mode.services:Service": {"wait_first": ("coros", "timeout"), "wait": ("coros", "timeout")},
    "aiokafka.producer.sender:Sender": {"close": ()},
    "aiokafka.consumer.fetcher:Fetcher": {
        "fetched_records": ("partitions", "timeout", "max_records"),
    },
}
# Class -> attributes that a new instance has, or that the class itself has.
ATTRIBUTES: Final[dict[str, tuple[str, ...]]] = {
    "faust.transport.drivers.aiokafka:Consumer": (
        "_read_offset", "_committed_offset", "_acked", "_acked_index", "_gap", "_n_acked",
        "_unacked_messages", "_buffered_partitions", "_active_partitions", "_paused_partitions",
        "_commit_every", "flow_active", "suspend_flow", "can_resume_flow",
        "not_waiting_next_records", "consumer_stopped_errors", "callback", "scheduler", "_thread",
    ),
    "faust.transport.drivers.aiokafka:Transport": ("Consumer", "Producer"),
    "faust.app.base:App": ("consumer_generation_id", "rebalancing"),
    "mode.services:Service": ("_stopped", "_crashed", "should_stop"),
    "aiokafka:AIOKafkaProducer": ("_closed", "_sender"),
    "aiokafka:AIOKafkaConsumer": ("_fetch_max_wait_ms", "_fetcher", "_closed"),
}  # fmt: skip
# The first positional arguments of faust.types.tuples.ConsumerMessage.
CONSUMER_MESSAGE: Final = (
    "topic", "partition", "offset", "timestamp", "timestamp_type", "headers", "key", "value",
    "checksum", "serialized_key_size", "serialized_value_size", "tp", "time_in", "time_out",
    "time_total", "generation_id",
)  # fmt: skip


def load(path: str) -> Any:
    """The class that ``module:Name`` names."""
    module, name = path.split(":")
    return getattr(__import__(module, fromlist=[name]), name)


def parameters(function: Any) -> tuple[str, ...]:
    """The parameter names of ``function`` without self."""
    return tuple(name for name in inspect.signature(function).parameters if name != "self")


def missing() -> list[str]:
    """What the installed versions lack, one line each; empty where all is as expected."""
    problems = []
    for path, methods in METHODS.items():
        owner = load(path)
        for name, wanted in methods.items():
            found = getattr(owner, name, None)
            if found is None:
                problems.append(f"{path}.{name} is gone")
            elif parameters(found) != wanted:
                problems.append(f"{path}.{name} takes {parameters(found)}, not {wanted}")
    for path, names in ATTRIBUTES.items():
        owner = load(path)
        source = "".join(inspect.getsource(one) for one in owner.__mro__[:-1])
        problems += [f"{path}.{name} is gone" for name in names if name not in source]
    if parameters(load("faust.types.tuples:ConsumerMessage")) != CONSUMER_MESSAGE:
        problems.append("faust.types.tuples:ConsumerMessage takes other arguments")
    if load("faust.streams:_CStreamIterator") is None:
        problems.append("faust has no compiled streams: install the wheel, unset NO_CYTHON")
    return problems
