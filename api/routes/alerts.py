"""GET /v1/alerts: pages of the newest alerts. GET /v1/alerts/stream: alerts as they come."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import Depends, FastAPI, Query, Request
from starlette.responses import Response

from api.auth import Allow, key_of
from api.door import door_of
from api.event_stream import AlertStream
from api.openapi import described
from api.problems import Problem, query_time_ms
from risk.alerts.feed import Wanted, read_position
from risk.rules.alerting import Severity

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
LAST_EVENT_ID: Final = "last-event-id"

_Severity = Annotated[Severity | None, Query(description="At least this grave.")]
_Type = Annotated[Literal["rule", "rate", "drift"] | None, Query(alias="type")]
_Rule = Annotated[str | None, Query(max_length=64, description="Of this rule or rate rule.")]
_Group = Annotated[str | None, Query(max_length=200, description="Of exactly this group.")]
_Since = Annotated[str | None, Query(max_length=40, description="RFC 3339; `at` or later.")]
_Until = Annotated[str | None, Query(max_length=40, description="RFC 3339; before that.")]
_Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
_Cursor = Annotated[str | None, Query(max_length=100, description="`next` of the page before.")]


def register(app: FastAPI) -> None:
    """Add the routes of alerts."""
    app.get(
        "/v1/alerts",
        dependencies=[Depends(Allow("read"))],
        **described(
            "Read alerts",
            "The alerts of the key's tenant, newest first. `next` is the cursor of the next page, "
            "null on the last; it is not moved by alerts that come meanwhile. A process holds the "
            "newest alerts in memory: `complete` is false where older ones stand on the topic "
            "only.",
            answers={200: "Alerts"},
            problems=(401, 403, 422, 429, 500, 503),
        ),
    )(_page)
    app.get(
        "/v1/alerts/stream",
        dependencies=[Depends(Allow("read"))],
        **described(
            "Follow alerts",
            "Server-sent events: `alert` with an alert as data, and `gap` (`from`, `to`) where "
            "alerts in between are held no more. Send the last id as `Last-Event-ID` and none is "
            "missed or repeated; without it the stream begins now. A stream ends after 15 "
            "minutes, when its key is no longer in force, and when the server stops: connect "
            "again. A comment is sent every 15 seconds.",
            answers={200: "text/event-stream"},
            problems=(401, 403, 422, 429, 500, 503),
        ),
    )(_stream)


async def _page(  # noqa: PLR0913, PLR0917  # one argument for each query parameter
    request: Request,
    severity: _Severity = None,
    of_type: _Type = None,
    rule: _Rule = None,
    group: _Group = None,
    since: _Since = None,
    until: _Until = None,
    limit: _Limit = LIMIT_DEFAULT,
    cursor: _Cursor = None,
) -> Response:
    wanted = Wanted(
        severity, of_type, rule, group, query_time_ms("since", since), query_time_ms("until", until)
    )
    feed = await door_of(request).runtime.alerts.feed()
    try:
        page = feed.page(key_of(request).tenant, wanted, cursor, limit)
    except ValueError as error:
        raise Problem("INVALID_QUERY", f"query/cursor: {error}") from None
    following = "null" if page.following is None else f'"{page.following}"'
    complete = "true" if page.complete else "false"
    body = b'{"alerts":[' + b",".join(page.alerts) + b"]"
    body += f',"next":{following},"complete":{complete}}}'.encode()
    return Response(body, media_type="application/json")


async def _stream(
    request: Request,
    severity: _Severity = None,
    of_type: _Type = None,
    rule: _Rule = None,
    group: _Group = None,
) -> Response:
    last = request.headers.get(LAST_EVENT_ID)
    try:
        position = None if not last else read_position(last)
    except ValueError as error:
        raise Problem("INVALID_QUERY", f"header/Last-Event-ID: {error}") from None
    door = door_of(request)
    feed = await door.runtime.alerts.feed()
    return AlertStream(request, door, feed, Wanted(severity, of_type, rule, group), position)
