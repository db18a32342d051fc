"""POST /v1/events: what is remembered but not decided (activity, outcomes, labels)."""

from __future__ import annotations

import json

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from api.auth import Allow, key_of
from api.direct import DirectRoute
from api.door import door_of
from api.limits import read_json_body
from api.openapi import described
from api.problems import Problem
from risk.domain.event import is_scored


def register(app: FastAPI) -> None:
    """Add the route of events."""

    async def remember(request: Request) -> Response:
        key = key_of(request)
        door = door_of(request)
        arrival = door.arrival(await read_json_body(request), key.tenant)
        event = arrival.event
        if is_scored(event):
            raise Problem("SCORED_TYPE", "send it to POST /v1/decisions", "/type")
        answer: dict[str, str | bool] = {"id": event.id, "type": event.kind}
        if not await door.remember(arrival):
            answer["parked"] = True
        return Response(json.dumps(answer), 202, media_type="application/json")

    app.router.add_api_route(
        "/v1/events",
        remember,
        methods=["POST"],
        route_class_override=DirectRoute,
        status_code=202,
        dependencies=[Depends(Allow("events"))],
        **described(
            "Remember an event",
            "Activity, outcomes and labels. 202 is answered when the event is published on the "
            "ledger; sending it again changes nothing. After 503 send it again. A label or an "
            "outcome of a payment that is not known yet is kept until it is; the answer then has "
            "`parked` true.",
            body="RememberedEvent",
            answers={202: "Accepted"},
            problems=(400, 401, 403, 408, 409, 413, 415, 422, 429, 500, 503),
        ),
    )
