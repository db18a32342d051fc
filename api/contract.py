"""The OpenAPI text without a running Weir: the same routes over nothing."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.types import Lifespan

from api.openapi import document
from api.routes import (
    alerts,
    backtests,
    books,
    books_life,
    decisions,
    events,
    explanation,
    health,
    labels,
    lists,
    metrics,
    performance,
    reference,
)

ROUTES = (
    explanation,  # before decisions: the ids of payments may hold a slash
    decisions, events, health, labels, metrics, reference, books, books_life, lists, alerts,
    backtests, performance,
)  # fmt: skip


def bare_app(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """The application's name and routes, without a door behind them."""
    app = FastAPI(
        title="Weir",
        version=version("weir"),
        openapi_url=None,  # the routes of api.routes.reference serve both, without other hosts
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Weir counts by itself. Nothing that the environment sets may send requests elsewhere.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        lifespan=lifespan,
    )
    for routes in ROUTES:
        routes.register(app)
    return app


def openapi() -> dict[str, Any]:
    """The OpenAPI document of this version."""
    return document(bare_app())
