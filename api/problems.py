"""Errors as problem+json (RFC 9457), and the boundary that nothing passes unexplained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from risk.domain.errors import (
    EVENT_ERRORS,
    DeadlineExceeded,
    InvalidEvent,
    PayloadMismatch,
    Unavailable,
    WeirError,
)
from risk.domain.times import parse_rfc3339
from risk.observability.metrics import Metrics

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:weir:problem:"
RETRY_S: Final = 1

# code -> (HTTP status, title, what the operator can do)
PROBLEMS: Final[dict[str, tuple[int, str, str]]] = {
    "INVALID_QUERY": (422, "A query parameter is wrong.", "The caller must correct it."),
    "UNAUTHENTICATED": (
        401, "A key is needed.", "Send `Authorization: Bearer KEY`; `weir keys create` makes one.",
    ),
    "FORBIDDEN": (
        403, "This key may not do that.", "Make a key with the scope that the detail names.",
    ),
    "FOREIGN_TENANT": (
        403, "The event names another tenant than the key.", "Use a key of that tenant.",
    ),
    "NOT_FOUND": (404, "There is nothing here.", "Look up the path in /docs."),
    "UNKNOWN_PAYMENT": (
        404, "No decision of this payment is published.",
        "Send the payment to /v1/decisions, or wait for the stream to reach it.",
    ),
    "METHOD_NOT_ALLOWED": (405, "The path has no such method.", "See the header Allow."),
    "BODY_TIMEOUT": (408, "The body did not arrive in time.", "Look at the caller's network."),
    "DECISION_GONE": (
        410, "The decision was made, and its bytes are no longer held.",
        "The outcome in this answer stands; the archive has the whole decision.",
    ),
    "UNSUPPORTED_MEDIA_TYPE": (
        415, "The body is not of the type that is wanted.",
        "Send the Content-Type that the detail names, unpacked.",
    ),
    "NOT_SCORED": (
        422, "This type of event gets no decision.", "Send it to /v1/events.",
    ),
    "SCORED_TYPE": (
        422, "This type of event needs a decision.", "Send it to /v1/decisions.",
    ),
    "RATE_LIMITED": (
        429, "The key sends faster than it may.", "Slow down, or make a key with a higher rate.",
    ),
    "TOO_MANY_STREAMS": (
        429, "Too many streams are open.", "Close one, or follow the alerts topic itself.",
    ),
    "INTERNAL": (
        500, "Weir failed; nothing was decided.", "Read the log line that carries this code.",
    ),
    "OVERLOADED": (503, "Too many requests are waiting.", "Add API processes or slow down."),
    "HTTP_ERROR": (400, "The request cannot be read.", "The caller must correct the request."),
}  # fmt: skip
_CODE_OF_STATUS: Final = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

# As they stand in a message of ASGI.
_SAFE_HEADERS: Final = tuple(
    (name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()
)

_log = structlog.get_logger("api")


class Problem(WeirError):
    """A refusal of the HTTP door itself; ``code`` is one of ``PROBLEMS``.

    ``field`` is a JSON pointer into the body, or None. ``members`` are added to the answer.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.http_status, self.title, self.operator = PROBLEMS[code]
        self.field = field
        self.headers = dict(headers or {})
        self.members = dict(members or {})


def respond(error: WeirError) -> Response:
    """The problem+json answer to ``error``."""
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + error.code,
        "title": _title(error),
        "status": error.http_status,
        "code": error.code,
        "detail": error.reason if isinstance(error, InvalidEvent) else str(error),
        "operator": error.operator,
    }
    pointer = "/id" if isinstance(error, PayloadMismatch) else getattr(error, "field", None)
    if pointer is not None:
        body["pointer"] = pointer
    problems = getattr(error, "problems", None)
    if problems:
        body["problems"] = problems
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable | DeadlineExceeded):
        # Which host does not answer is for the log, not for the caller.
        body["detail"] = f"{getattr(error, 'part', 'a part')} does not answer in time"
        headers["Retry-After"] = str(RETRY_S)
    if isinstance(error, Problem):
        body |= error.members
        headers |= error.headers
    if error.http_status in (408, 413):
        headers["Connection"] = "close"  # the rest of the body is not read
    # ASCII, because a refused text may hold what UTF-8 cannot.
    return Response(json.dumps(body), error.http_status, headers, MEDIA_TYPE)


def install(app: FastAPI, metrics: Metrics) -> None:
    """Answer every error of ``app`` with a problem, and every answer with safe headers."""
    app.add_exception_handler(WeirError, _weir_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _query_error)
    app.add_middleware(Boundary, metrics=metrics)


class Boundary:
    """The outermost layer: headers, the count of answers, and the last resort for errors."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = message["headers"]
                held = {name for name, _ in headers}
                headers += [pair for pair in _SAFE_HEADERS if pair[0] not in held]
                status = f"{message['status'] // 100}xx"
                self._metrics.count("weir_http_responses_total", status=status)
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        except Exception as error:
            # One of the four doors: a defect must answer 500 and leave the process serving.
            _log.error("request failed", error=type(error).__name__, code="INTERNAL")
            if started:
                raise
            await respond(Problem("INTERNAL", "see the log"))(scope, receive, guarded)


def query_time_ms(name: str, text: str | None) -> int | None:
    """The time of a query parameter, in ms; raises a Problem that names the parameter."""
    try:
        return None if text is None else parse_rfc3339(text)
    except ValueError as error:
        raise Problem("INVALID_QUERY", f"query/{name}: {error}") from None


async def _weir_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, WeirError)
    if error.http_status >= 500:
        _log.warning("request refused", code=error.code, reason=str(error))
    return respond(error)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODE_OF_STATUS.get(error.status_code, "HTTP_ERROR")
    return respond(Problem(code, str(error.detail), headers=error.headers))


async def _query_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = "/".join(str(step) for step in first["loc"])
    return respond(Problem("INVALID_QUERY", f"{place}: {first['msg']}"))


def _title(error: WeirError) -> str:
    if isinstance(error, Problem):
        return error.title
    if error.code in EVENT_ERRORS:
        return EVENT_ERRORS[error.code][1]
    first = (type(error).__doc__ or error.code).splitlines()[0].partition(". ")[0]
    return first.replace("``", "").rstrip(".") + "."
