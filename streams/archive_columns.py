"""What analysts read without parsing JSON: typed columns of each archived topic.

They repeat what the raw bytes say and prove nothing: a row whose bytes cannot be read has
nulls and says so in ``problem``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from risk.domain.decision import decode_decision, decode_ledger
from risk.domain.decoding import decode_event, decode_stored
from risk.domain.errors import InvalidEvent
from risk.domain.event import AnyEvent
from risk.domain.times import parse_rfc3339

_CODE: Final = pa.dictionary(pa.int32(), pa.string())  # few distinct values
_TEXT: Final = pa.string()
_MS: Final = pa.int64()
_TEXTS: Final = pa.list_(pa.string())

_EVENT: Final = (
    ("event_type", _CODE), ("occurred_at_ms", _MS), ("account", _TEXT), ("card", _TEXT),
    ("merchant", _TEXT), ("device", _TEXT), ("amount_minor", pa.int64()), ("currency", _CODE),
)  # fmt: skip
_DECISION: Final = (
    ("tenant", _CODE), ("payment_id", _TEXT), ("outcome", _CODE), ("score", pa.float64()),
    ("authoritative", pa.bool_()), ("degraded", _TEXTS), ("reasons", _TEXTS),
    ("rules", _TEXTS), ("decided_at_ms", _MS), ("door", _CODE), ("arrived_at_ms", _MS),
    ("model_digest", _CODE), ("calibration_digest", _CODE), ("catalogue_digest", _CODE),
    ("book_digest", _CODE), ("lists_digest", _CODE), ("policy_digest", _CODE),
    ("rates_digest", _CODE), ("engine", _CODE), *_EVENT,
)  # fmt: skip
_LEDGER: Final = (
    ("tenant", _CODE), ("event_id", _TEXT), ("record", _CODE), ("pending", pa.bool_()),
    ("payment_id", _TEXT), ("arrived_at_ms", _MS), *_EVENT,
)  # fmt: skip
_LABEL: Final = (
    ("tenant", _CODE), ("event_id", _TEXT), ("payment_id", _TEXT), ("label", _CODE),
    ("known_at_ms", _MS), *_EVENT,
)  # fmt: skip
_ANY: Final = (("tenant", _CODE), ("event_id", _TEXT), ("payment_id", _TEXT), *_EVENT)

Values = tuple[Any, ...]


class Typed(NamedTuple):
    """The typed columns of a topic, and how they are read from a record's bytes.

    ``read`` raises InvalidEvent, msgspec.MsgspecError or ValueError.
    """

    fields: tuple[tuple[str, Any], ...]
    read: Callable[[bytes], Values]


def columns_of(typed: Typed, value: bytes | None) -> tuple[Values, str | None]:
    """The typed values of a record, and why there are none (the kind of mistake only)."""
    nothing = (None,) * len(typed.fields)
    if value is None:
        return nothing, None
    try:
        return typed.read(value), None
    except InvalidEvent as error:
        return nothing, error.code
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return nothing, type(error).__name__


def _decision(value: bytes) -> Values:
    one = decode_decision(value)
    of = one.evidence
    head = (
        one.tenant,
        one.payment_id,
        str(one.outcome.value),
        one.score,
        one.authoritative,
        list(one.degraded),
        [reason.code for reason in one.reasons],
        [hit.rule for hit in one.rule_hits],
        parse_rfc3339(one.decided_at),
    )
    if of is None:
        return (*head, *(None,) * (len(_DECISION) - len(head)))
    digests = of.digests
    return (
        *head,
        of.door,
        parse_rfc3339(of.arrived_at),
        digests.model,
        digests.calibration,
        digests.catalogue,
        digests.book,
        digests.lists,
        digests.policy,
        digests.rates,
        of.engine,
        *_event(decode_stored(bytes(of.event)).event),
    )


def _ledger(value: bytes) -> Values:
    one = decode_ledger(value)
    event = decode_stored(bytes(one.event)).event
    return (
        one.tenant,
        one.event_id,
        one.record,
        one.pending,
        getattr(event, "payment_id", None),
        parse_rfc3339(one.arrived_at),
        *_event(event),
    )


def _label(value: bytes) -> Values:
    event = decode_event(value).event
    return (
        event.tenant,
        event.id,
        getattr(event, "payment_id", None),
        getattr(event, "label", None),
        getattr(event, "known_at_ms", None),
        *_event(event),
    )


def _any(value: bytes) -> Values:
    event = decode_event(value).event
    return (event.tenant, event.id, getattr(event, "payment_id", None), *_event(event))


def _event(event: AnyEvent) -> Values:
    return (
        event.kind,
        event.occurred_at_ms,
        event.account,
        event.card,
        event.merchant,
        event.device,
        getattr(event, "amount_minor", None),
        getattr(event, "currency", None),
    )


TYPED: Final[dict[str, Typed]] = {
    "decisions": Typed(_DECISION, _decision),
    "ledger": Typed(_LEDGER, _ledger),
    "labels": Typed(_LABEL, _label),
    "events": Typed(_ANY, _any),
}
