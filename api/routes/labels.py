"""POST /v1/labels: the truth about a payment, as soon as somebody knows it."""

from __future__ import annotations

import json
from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from api.auth import Allow, key_of
from api.direct import DirectRoute
from api.door import door_of
from api.limits import read_json_body
from api.openapi import described
from risk.domain.errors import InvalidEvent

_DEFAULTS: Final = (("id", "payment_id"), ("occurred_at", "known_at"))


def register(app: FastAPI) -> None:
    """Add the route of labels."""

    async def label(request: Request) -> Response:
        key = key_of(request)
        door = door_of(request)
        arrival = door.arrival(label_body(await read_json_body(request)), key.tenant)
        event = arrival.event
        answer: dict[str, str | bool] = {"id": event.id, "type": event.kind}
        if not await door.remember(arrival):
            answer["parked"] = True
        return Response(json.dumps(answer), 202, media_type="application/json")

    app.router.add_api_route(
        "/v1/labels",
        label,
        methods=["POST"],
        route_class_override=DirectRoute,
        status_code=202,
        dependencies=[Depends(Allow("events"))],
        **described(
            "Report the truth about a payment",
            "`payment_id`, `label` and `known_at` are enough: `id` is else the payment's, "
            "`occurred_at` is else `known_at`. Sending it again changes nothing; a second word "
            "of the same kind about one payment needs an `id` of its own. For the rest see "
            "`POST /v1/events`.",
            body="LabelReport",
            answers={202: "Accepted"},
            problems=(400, 401, 403, 408, 409, 413, 415, 422, 429, 500, 503),
        ),
    )


def label_body(raw: bytes) -> bytes:
    """``raw`` as a whole label event; what is no JSON object stays for the decoder to refuse.

    Raises InvalidEvent where the event is of another type.
    """
    try:
        told: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return raw
    if not isinstance(told, dict):
        return raw
    if told.setdefault("type", "label") != "label":
        raise InvalidEvent("WRONG_TYPE", "send what is no label to POST /v1/events", "/type")
    for name, other in _DEFAULTS:
        if name not in told and other in told:
            told[name] = told[other]
    return json.dumps(told).encode()
