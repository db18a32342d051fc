"""The OpenAPI text of the HTTP door, made from its routes and the one event definition."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.responses import Response

from api import auth
from api.alert_schemas import alert_schemas
from api.backtest_schemas import backtest_schemas
from api.book_schemas import book_schemas
from api.explanation_schemas import explanation_schemas
from api.list_schemas import list_schemas
from api.performance_schemas import performance_schemas
from risk.contracts import Schema, components

_REF: Final = "#/components/schemas/"
PROBLEM_MEANINGS: Final = {
    400: "The body is not JSON, or not UTF-8.",
    401: "No key, or a key that is not in force.",
    403: "The key lacks a scope, or the event names another tenant.",
    404: "Unknown.",
    408: "The body came too slowly.",
    409: "PAYLOAD_MISMATCH: the id was seen before with other content. Else `code` says what "
    "stands against it.",
    410: "Decided, but the bytes are no longer held; `outcome` is given.",
    413: "The body is larger than 16 KiB, or 4 MiB with a book.",
    415: "The body is not of the type that is wanted.",
    422: "The event is refused; `code` says why and `pointer` where.",
    429: "The key sends faster than it may; see Retry-After.",
    500: "Weir failed; nothing was decided.",
    503: "A part is down or the queue is full; send it again after Retry-After.",
}
_OWN_SCHEMAS: Final[dict[str, Schema]] = {
    "Accepted": {
        "type": "object",
        "description": "The event is remembered and published.",
        "properties": {"id": {"type": "string"}, "type": {"type": "string"}},
        "required": ["id", "type"],
    },
    "Health": {
        "type": "object",
        "properties": {"status": {"const": "alive"}},
        "required": ["status"],
    },
    "Readiness": {
        "type": "object",
        "properties": {
            "ready": {"type": "boolean"},
            "parts": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "part": {"type": "string"},
                        "state": {"enum": ["ready", "degraded", "down"]},
                        "reason": {"type": "string"},
                    },
                    "required": ["part", "state", "reason"],
                },
            },
        },
        "required": ["ready", "parts"],
    },
    "LabelReport": {
        "type": "object",
        "description": "A label; what is left out comes from the two fields beside.",
        "properties": {
            "payment_id": {"type": "string"},
            "label": {
                "enum": [
                    "chargeback",
                    "fraud_report",
                    "dispute_won",
                    "analyst_fraud",
                    "analyst_legit",
                ]
            },
            "known_at": {"type": "string", "format": "date-time"},
            "id": {"type": "string", "description": "Else the payment's."},
            "occurred_at": {
                "type": "string",
                "format": "date-time",
                "description": "Else `known_at`.",
            },
            "type": {"const": "label"},
        },
        "required": ["payment_id", "label", "known_at"],
    },
    "OpenAPI": {"type": "object", "description": "This document."},
    "Problem": {
        "type": "object",
        "description": "RFC 9457. `code` is stable, `pointer` is a JSON pointer into the body.",
        "properties": {
            "type": {"type": "string", "description": "urn:weir:problem: plus the code."},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string"},
            "detail": {"type": "string"},
            "operator": {"type": "string", "description": "What the operator can do."},
            "pointer": {"type": "string", "description": "The field; empty is the whole body."},
            "problems": {"type": "array", "items": {"type": "string"}, "description": "Each one."},
            "outcome": {"enum": ["allow", "review", "block"], "description": "With 410 only."},
        },
        "required": ["type", "title", "status", "code", "detail", "operator"],
    },
}


def described(
    summary: str,
    description: str,
    *,
    answers: dict[int, str],
    body: str | None = None,
    problems: tuple[int, ...] = (),
) -> dict[str, Any]:
    """What a route's decorator takes so that its contract is complete.

    ``answers`` maps a status to a schema's name, or to a media type that is not JSON.
    """
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": _meaning(named), "content": _content(named)}
        for status, named in answers.items()
    }
    for status in problems:
        responses[status] = {
            "description": PROBLEM_MEANINGS[status],
            "content": {"application/problem+json": {"schema": {"$ref": f"{_REF}Problem"}}},
        }
    extra: dict[str, Any] = {}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": _content(body)}
    return {
        "summary": summary,
        "description": description,
        "responses": responses,
        "response_class": Response,
        "openapi_extra": extra,
    }


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of ``app``; the same routes give the same document."""
    made = get_openapi(
        title="Weir",
        version=app.version,
        summary="Real-time payment fraud scoring.",
        description=(
            "Send `Authorization: Bearer KEY`. The tenant comes from the key. Every error is "
            "problem+json with a stable code. Repeating a request is always safe."
        ),
        routes=app.routes,
    )
    for route in app.routes:
        if isinstance(route, APIRoute):
            _complete(made["paths"][route.path_format], auth.access_of(route))
    roots, definitions = components(_REF)
    named = {
        name: {key: part for key, part in schema.items() if key != "title"}
        for name, schema in roots.items()
        if name.endswith("Event")
    }
    made["components"] = {
        "schemas": dict(
            sorted(
                {
                    **definitions,
                    **named,
                    **_OWN_SCHEMAS,
                    **book_schemas(_REF),
                    **backtest_schemas(_REF),
                    **performance_schemas(_REF),
                    **alert_schemas(_REF),
                    **list_schemas(_REF),
                    **explanation_schemas(_REF),
                }.items()
            )
        ),
        "securitySchemes": {
            "key": {
                "type": "http",
                "scheme": "bearer",
                "description": "A key of `weir keys create`, with scopes and one tenant.",
            }
        },
    }
    return made


def _complete(path: dict[str, Any], access: auth.Allow) -> None:
    for operation in path.values():
        operation.pop("operationId", None)
        if access.access != "public":
            operation["security"] = [{"key": [access.access]}]
            if access.loopback:
                operation["security"].append({})
        # FastAPI names a schema of its own for a wrong query; ours is a problem.
        wrong = operation["responses"].get("422", {}).get("content", {})
        wrong.pop("application/json", None)


def _meaning(named: str) -> str:
    return {"Decision": "The decision.", "Accepted": "Remembered."}.get(named, "As described.")


def _content(named: str) -> dict[str, Any]:
    if "/" in named:
        return {named: {"schema": {"type": "string"}}}
    return {"application/json": {"schema": {"$ref": f"{_REF}{named}"}}}
