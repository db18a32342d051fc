"""/metrics: Prometheus text, for callers on this machine or with the scope admin."""

from __future__ import annotations

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from api.auth import Allow
from api.door import door_of
from api.openapi import described
from risk.observability.metrics import CONTENT_TYPE


def register(app: FastAPI) -> None:
    """Add the route of metrics."""

    @app.get(
        "/metrics",
        dependencies=[Depends(Allow("admin", loopback=True))],
        **described(
            "Metrics",
            "Prometheus text. Callers on the same machine need no key.",
            answers={200: "text/plain"},
            problems=(401, 403, 429),
        ),
    )
    async def metrics(request: Request) -> Response:
        body = door_of(request).runtime.metrics.render()
        return Response(body, headers={"Content-Type": CONTENT_TYPE})
