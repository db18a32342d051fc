"""/openapi.json and /docs: the contract as text and as one page that loads nothing else."""

from __future__ import annotations

import base64
import hashlib

from fastapi import Depends, FastAPI
from starlette.responses import Response

from api.auth import Allow
from api.openapi import described, document
from api.reference_page import STYLE, page
from risk.contracts import render


def register(app: FastAPI) -> None:
    """Add the routes of the reference."""
    style_hash = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style_hash}'; frame-ancestors 'none'"

    @app.get(
        "/openapi.json",
        dependencies=[Depends(Allow("public"))],
        **described("The contract as OpenAPI", "", answers={200: "OpenAPI"}),
    )
    async def openapi() -> Response:
        return Response(render(document(app)), media_type="application/json")

    @app.get(
        "/docs",
        dependencies=[Depends(Allow("public"))],
        **described("The contract as a page", "", answers={200: "text/html"}),
    )
    async def docs() -> Response:
        return Response(
            page(document(app)),
            headers={"Content-Security-Policy": policy},
            media_type="text/html",
        )
