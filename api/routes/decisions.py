"""POST /v1/decisions: a payment in, its decision out. GET: the published decision again."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request
from starlette.responses import Response

from api.answers import decision_response
from api.auth import Allow, key_of
from api.direct import DirectRoute
from api.door import door_of
from api.limits import read_json_body
from api.openapi import described
from api.problems import Problem
from risk.domain.errors import InvalidEvent
from risk.domain.event import SCORED_TYPES, is_scored
from risk.domain.ids import looks_like_card_number
from risk.domain.limits import IDENTIFIER_CHARS_MAX
from risk.keys import ApiKey


def register(app: FastAPI) -> None:
    """Add the routes of decisions."""

    async def decide(request: Request, evidence: Annotated[bool, Query()] = False) -> Response:
        key = _may_see(request, evidence)
        door = door_of(request)
        arrival = door.arrival(await read_json_body(request), key.tenant)
        if not is_scored(arrival.event):
            raise Problem("NOT_SCORED", f"only {', '.join(SCORED_TYPES)} get a decision", "/type")
        verdict = await door.decide(arrival)
        if not verdict.body:
            raise Problem(
                "DECISION_GONE",
                "this payment was decided long ago",
                members={"outcome": verdict.outcome.value},
            )
        return decision_response(verdict.body, evidence=evidence)

    app.router.add_api_route(
        "/v1/decisions",
        decide,
        methods=["POST"],
        route_class_override=DirectRoute,
        dependencies=[Depends(Allow("decide"))],
        **described(
            "Decide a payment",
            "The decision is published before it is answered. The same payment again gets the "
            "same bytes; the same id with other content gets 409. When the time is spent or a "
            "part is down the configured fallback is answered, with `authoritative: false`; "
            "send the payment again to get its decision.",
            body="ScoredEvent",
            answers={200: "Decision"},
            problems=(400, 401, 403, 408, 409, 410, 413, 415, 422, 429, 500, 503),
        ),
    )

    @app.get(
        "/v1/decisions/{payment_id:path}",
        dependencies=[Depends(Allow("read"))],
        **described(
            "Read a decision",
            "The published decision of a payment of the key's tenant.",
            answers={200: "Decision"},
            problems=(401, 403, 404, 422, 429, 500, 503),
        ),
    )
    async def find(
        request: Request, payment_id: str, evidence: Annotated[bool, Query()] = False
    ) -> Response:
        key = _may_see(request, evidence)
        if looks_like_card_number(payment_id):
            raise InvalidEvent("CARD_NUMBER", "13 to 19 digits could be a card number")
        body = None
        if 0 < len(payment_id) <= IDENTIFIER_CHARS_MAX:
            body = await door_of(request).runtime.decision_of(key.tenant, payment_id)
        if not body:
            raise Problem("UNKNOWN_PAYMENT", "no such payment of this key's tenant")
        return decision_response(body, evidence=evidence)


def _may_see(request: Request, evidence: bool) -> ApiKey:
    """The key; evidence holds features and rule internals, so it asks for the scope read."""
    key = key_of(request)
    if evidence and "read" not in key.scopes:
        raise Problem("FORBIDDEN", "the key lacks the scope read, which evidence needs")
    return key
