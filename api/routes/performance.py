"""GET /v1/rules/performance: what each rule did, from a report that is made beside the payments."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import Depends, FastAPI, Query, Request
from starlette.responses import Response

from api.auth import Allow
from api.desks import present
from api.door import door_of
from api.openapi import described
from api.performance_schemas import PerformanceAnswer
from api.problems import query_time_ms
from api.routes.books import as_json
from risk.books.performance_desk import Asked

RETRY_S: Final = 5

_From = Annotated[str | None, Query(alias="from", max_length=40, description="RFC 3339.")]
_To = Annotated[str | None, Query(max_length=40, description="RFC 3339; before that.")]
_Delay = Annotated[float, Query(ge=0.0, le=3650.0, description="Younger payments are immature.")]
_Archive = Annotated[bool, Query(description="Read the archive, not the topics.")]


def register(app: FastAPI) -> None:
    """Add the route."""

    @app.get("/v1/rules/performance", dependencies=[Depends(Allow("rules"))], **described(
        "Read how rules perform",
        "Hits, precision and recall by mature labels, money, overlap and cost of each rule and "
        "version, and which rules are idle. A process of its own makes the report, at low "
        "priority: 202 while there is none yet, see Retry-After. One that is older than a minute "
        "is answered, and made anew meanwhile.",
        answers={200: "RulePerformance", 202: "RulePerformance"},
        problems=(401, 403, 422, 429, 500, 503),
    ))  # fmt: skip
    async def performance(
        request: Request,
        begin: _From = None,
        to: _To = None,
        label_delay_days: _Delay = 10.0,
        archive: _Archive = False,
    ) -> Response:
        desk = present(door_of(request).desks.performance, "performance")
        query_time_ms("from", begin)
        query_time_ms("to", to)
        told = desk.ask(Asked(begin, to, label_delay_days, archive))
        answer = PerformanceAnswer(
            state=told.state,
            computed_at_ms=told.computed_at_ms,
            refreshing=told.refreshing,
            error=told.error,
            report=msgspec.UNSET if told.report is None else msgspec.Raw(told.report),
        )
        if told.state != "computing":
            return as_json(answer)
        response = as_json(answer, status=202)
        response.headers["Retry-After"] = str(RETRY_S)
        return response
