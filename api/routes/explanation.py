"""GET /v1/decisions/{payment_id}/explanation: why, and what would have changed it."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import Depends, FastAPI, Query, Request
from starlette.responses import Response

from api.auth import Allow, key_of
from api.desks import present
from api.door import door_of
from api.openapi import described
from api.problems import Problem
from risk.domain.errors import BadConfiguration, InvalidEvent
from risk.domain.ids import looks_like_card_number
from risk.domain.limits import IDENTIFIER_CHARS_MAX

INPUTS_MAX: Final = 6


def register(app: FastAPI) -> None:
    """Add the route. It must come before the one that reads decisions: ids may hold a slash."""

    @app.get(
        "/v1/decisions/{payment_id:path}/explanation",
        dependencies=[Depends(Allow("read"))],
        **described(
            "Explain a decision",
            "What `weir explain` says of a payment of the key's tenant: exact shares of each "
            "feature in the score (TreeSHAP, log-odds), and the smallest change of one or two "
            "inputs that gives another outcome, through model and rules. `counterfactual` names "
            "an input to vary, up to six times; else those with the largest shares are tried.",
            answers={200: "Explanation"},
            problems=(401, 403, 404, 422, 429, 500, 503),
        ),
    )
    async def explain(
        request: Request,
        payment_id: str,
        counterfactual: Annotated[list[str] | None, Query()] = None,
    ) -> Response:
        inputs = counterfactual or []
        key, door = key_of(request), door_of(request)
        if looks_like_card_number(payment_id):
            raise InvalidEvent("CARD_NUMBER", "13 to 19 digits could be a card number")
        if len(inputs) > INPUTS_MAX:
            raise Problem("INVALID_QUERY", f"counterfactual: at most {INPUTS_MAX} inputs")
        desk = present(door.desks.explanations, "explanations")
        body = None
        if 0 < len(payment_id) <= IDENTIFIER_CHARS_MAX:
            body = await door.runtime.decision_of(key.tenant, payment_id)
        if not body:
            raise Problem("UNKNOWN_PAYMENT", "no such payment of this key's tenant")
        try:
            told = await desk.explain(body, inputs)
        except BadConfiguration as error:
            raise Problem("INVALID_QUERY", str(error)) from None
        return Response(msgspec.json.encode(told), media_type="application/json")
