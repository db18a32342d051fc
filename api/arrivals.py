"""Bytes of a request to an arrival: decoded, of the caller's tenant, in time, with its amount."""

from __future__ import annotations

from typing import Final

import msgspec

from api.problems import Problem
from api.runtime import Runtime
from risk.domain import limits
from risk.domain.base_amount import amount_in_base
from risk.domain.decoding import Canonical, canonical, decode_event
from risk.domain.errors import InvalidEvent
from risk.domain.event import AnyEvent, Label
from risk.domain.observation import Arrival

LIVE_WORLD: Final = "live"


class _Tenant(msgspec.Struct):
    """Whether the sender named a tenant."""

    tenant: str | msgspec.UnsetType = msgspec.UNSET


_TENANT = msgspec.json.Decoder(_Tenant)


def arrival_of(raw: bytes, tenant: str, world: str, runtime: Runtime) -> Arrival:
    """The arrival in ``raw``, from a caller of ``tenant``.

    Raises InvalidEvent, or a Problem where the event names another tenant.
    """
    now_ms = runtime.clock.now_ms()
    event, body, fingerprint = _of_tenant(decode_event(raw), raw, tenant)
    if world == LIVE_WORLD:
        _check_time(event, now_ms)
    amount_base = amount_in_base(event, runtime.rates)
    return Arrival(
        event=event,
        body=body,
        fingerprint=fingerprint,
        door="http",
        arrived_at_ms=now_ms,
        amount_base=amount_base,
    )


def _of_tenant(decoded: Canonical, raw: bytes, tenant: str) -> Canonical:
    """The tenant comes from the key; an event may leave it out, or must agree."""
    if decoded.event.tenant == tenant:
        return decoded
    if _TENANT.decode(raw).tenant is msgspec.UNSET:
        return canonical(msgspec.structs.replace(decoded.event, tenant=tenant))
    raise Problem("FOREIGN_TENANT", "leave the tenant out, it comes from the key", "/tenant")


def _check_time(event: AnyEvent, now_ms: int) -> None:
    """Live events are at most 24 h old and 5 min ahead; labels come late by nature."""
    if event.occurred_at_ms > now_ms + limits.FUTURE_MS_MAX:
        raise InvalidEvent("INVALID_TIME", "more than 5 minutes in the future", "/occurred_at")
    if isinstance(event, Label):
        if event.known_at_ms > now_ms + limits.FUTURE_MS_MAX:
            raise InvalidEvent("INVALID_TIME", "more than 5 minutes in the future", "/known_at")
    elif event.occurred_at_ms < now_ms - limits.LATENESS_MS_MAX:
        raise InvalidEvent(
            "INVALID_TIME",
            "more than 24 hours old; replay history in a world of its own",
            "/occurred_at",
        )
