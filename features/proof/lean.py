"""Decodes events whose bytes a fingerprint proves: types and ranges, no patterns of text."""

from __future__ import annotations

import functools
import operator
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import fields

from risk.domain.codes import CURRENCY_INDEX
from risk.domain.event import (
    AnyEvent,
    BeneficiaryAdded,
    Decided,
    DeviceChange,
    Label,
    Login,
    OutcomeReport,
    PasswordReset,
    Payment,
    Refund,
    TopUp,
    Transfer,
    Withdrawal,
)
from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN

_EVENTS: Final = (
    Payment, Transfer, Withdrawal, TopUp, Login, DeviceChange, BeneficiaryAdded, PasswordReset,
    Refund, OutcomeReport, Decided, Label,
)  # fmt: skip


def lean(of: type[Any]) -> type[Any]:
    """A subclass of the event ``of`` that is read five times faster.

    Patterns and lengths of text are not looked at again: a door did that before it wrote the
    fingerprint. Ranges of numbers are, as records give them so many bits.
    """
    hints = get_type_hints(of, include_extras=True)
    own = []
    for field in fields(of):
        hint = _without_patterns(hints[field.name])
        own.append((field.name, hint) if field.required else (field.name, hint, field.default))
    config = of.__struct_config__
    return msgspec.defstruct(
        f"Lean{of.__name__}",
        own,
        bases=(of,),
        module=__name__,
        frozen=True,
        kw_only=True,
        omit_defaults=True,
        forbid_unknown_fields=True,
        tag_field=config.tag_field,
        tag=config.tag,
    )


def _without_patterns(hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        bare, *notes = get_args(hint)
        return hint if any(_is_range(note) for note in notes) else bare
    parts = get_args(hint)
    if type(None) in parts:
        return functools.reduce(operator.or_, [_without_patterns(part) for part in parts])
    return hint


def _is_range(note: Any) -> bool:
    return any(getattr(note, name, None) is not None for name in ("ge", "le", "tz"))


_MCC_DIGITS: Final = 4
_UNION: Any = functools.reduce(operator.or_, [lean(of) for of in _EVENTS])
EVENTS: Final[msgspec.json.Decoder[AnyEvent]] = msgspec.json.Decoder(_UNION)


def check(event: AnyEvent) -> None:
    """Raises ValueError where ``event`` has what no record can hold, and so no door let in."""
    time_ms = event.known_at_ms if isinstance(event, Label) else event.occurred_at_ms
    if not TIME_MS_MIN <= time_ms < TIME_MS_MAX:
        raise ValueError(f"the time of the event {event.id} is impossible")
    if isinstance(event, Payment | Refund) and event.currency not in CURRENCY_INDEX:
        raise ValueError(f"the currency {event.currency!r} of the event {event.id} is not known")
    mcc = event.mcc if isinstance(event, Payment) else None
    if mcc is not None and not (len(mcc) == _MCC_DIGITS and mcc.isdecimal()):
        raise ValueError(f"the mcc {mcc!r} of the event {event.id} is impossible")
