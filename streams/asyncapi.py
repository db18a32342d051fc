"""The AsyncAPI text of the Kafka door, made from the table of topics and the one definition."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from risk.alerts.alert import Alert, DriftAlert
from risk.contracts import components
from streams.dead_letters import DeadLetter
from streams.parking import ParkedEvent
from streams.topics import (
    LIVE_WORLD,
    RETENTION_BYTES_PER_PARTITION,
    RETENTION_MS,
    Topic,
    Topics,
)

_REF: Final = "#/components/schemas/"
_EPOCH_HEADER: Final = {
    "type": "object",
    "properties": {
        "epoch": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "The publisher's epoch. A record whose epoch is not that of the last "
            "marker before it in its partition is void.",
        }
    },
    "required": ["epoch"],
}
# message -> (schema, key, meaning)
_MESSAGES: Final[dict[str, tuple[str, str, str]]] = {
    "event": (
        "Event", "tenant:account",
        "A payment, an activity or an outcome. One topic, so that the events of an account keep "
        "their order.",
    ),
    "label": ("Label", "tenant:payment", "The truth about a payment, known later."),
    "decision": (
        "Decision", "tenant:payment",
        "The answer to a payment. The first record that is not void and has authoritative true "
        "counts; repeats have the same bytes.",
    ),
    "ledger_record": (
        "LedgerRecord", "tenant:account",
        "A remembered event, or a claim without a decision, with its places in the logs.",
    ),
    "dead_letter": (
        "DeadLetter", "topic:partition:offset",
        "What is said about a record that was refused: its place and digest, never its content.",
    ),
    "parked_event": (
        "ParkedEvent", "tenant:event key:digest",
        "A label or an outcome whose payment is not known yet. Without a value: it waits no more.",
    ),
    "alert": (
        "Alert", "tenant:account, or tenant:group",
        "A hit of a rule that raises alerts, or a spike or silence that a rate rule found. The "
        "first record of an id counts.",
    ),
    "drift_alert": (
        "DriftAlert", "tenant:drift", "Payments differ from what a model was trained on.",
    ),
    "late_event": (
        "Event", "tenant:account", "An event that came more than 24 h after it happened.",
    ),
}  # fmt: skip
# channel -> (messages, what Weir does there, meaning)
_CHANNELS: Final[dict[str, tuple[tuple[str, ...], str, str]]] = {
    "events": (("event",), "receive", "What the payment flow reports."),
    "labels": (("label",), "receive", "What is known later."),
    "decisions": (("decision",), "send", "What Weir decided, through either door."),
    "ledger": (("ledger_record",), "send", "What Weir remembered."),
    "dead_letters": (("dead_letter",), "send", "What Weir refused."),
    "late": (("late_event",), "send", "What came too late."),
    "parked": (("parked_event",), "send", "What waits for its payment."),
    "shadow": ((), "send", "What a challenger scored after the answer, for weir models compare."),
    "alerts": (("alert", "drift_alert"), "send", "What people are told of."),
    "control": ((), "receive", "Immutable versions by address; kept for books, lists and tables."),
}
_WITH_EPOCH: Final = frozenset(("decision", "ledger_record"))


def document(version: str) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of the live world; other worlds have the world in each name."""
    roots, definitions = components(_REF)
    _, letters = msgspec.json.schema_components(
        [DeadLetter, ParkedEvent, Alert, DriftAlert], ref_template=f"{_REF}{{name}}"
    )
    schemas = {**definitions, **letters, "Event": roots["Event"]}
    topics = Topics(LIVE_WORLD)
    made = {topic.name: topic for topic in topics.all()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Weir",
            "version": version,
            "description": "Events in, decisions out. A world NAME other than the live one has "
            "the same topics, named weir.NAME.TOPIC. Producers must not use transactions.",
        },
        "defaultContentType": "application/json",
        "channels": {
            name: _channel(made[getattr(topics, name)], *parts) for name, parts in _CHANNELS.items()
        },
        "operations": {
            f"{action}_{name}": _operation(name, action, messages)
            for name, (messages, action, _) in _CHANNELS.items()
            if messages
        },
        "components": {
            "messages": {name: _message(name, *parts) for name, parts in _MESSAGES.items()},
            "schemas": json.loads(json.dumps(dict(sorted(schemas.items())))),
        },
    }


def _channel(topic: Topic, messages: tuple[str, ...], _action: str, meaning: str) -> dict[str, Any]:
    configuration: dict[str, Any] = {"cleanup.policy": ["compact" if topic.compacted else "delete"]}
    if not topic.compacted:
        configuration["retention.ms"] = RETENTION_MS
        configuration["retention.bytes"] = RETENTION_BYTES_PER_PARTITION
    return {
        "address": topic.name,
        "description": meaning,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {"partitions": topic.partitions, "topicConfiguration": configuration}
        },
    }


def _operation(channel: str, action: str, messages: tuple[str, ...]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _message(name: str, schema: str, key: str, meaning: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": name,
        "summary": meaning,
        "payload": {"$ref": f"{_REF}{schema}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": f"{key}, in UTF-8"}}},
    }
    if name in _WITH_EPOCH:
        made["headers"] = _EPOCH_HEADER
    return made
