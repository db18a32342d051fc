"""/healthz: the process answers. /readyz: it can decide, and how well."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from api.auth import Allow, from_this_machine
from api.door import door_of
from api.openapi import described
from risk.domain.errors import Unavailable
from risk.observability.readiness import PartState

READY_S_MAX: Final = 2.0


def register(app: FastAPI) -> None:
    """Add the routes of health."""

    @app.get(
        "/healthz",
        dependencies=[Depends(Allow("public"))],
        **described("Is the process alive", "Looks at nothing else.", answers={200: "Health"}),
    )
    async def healthz() -> Response:
        return _json({"status": "alive"}, 200)

    @app.get(
        "/readyz",
        dependencies=[Depends(Allow("public"))],
        **described(
            "Can it decide",
            "503 while a part without which nothing is decided is down. A degraded part is named "
            "and does not fail the check. Reasons are told to callers on the same machine only.",
            answers={200: "Readiness", 503: "Readiness"},
        ),
    )
    async def readyz(request: Request) -> Response:
        runtime = door_of(request).runtime
        parts = await _parts(request)
        ready = all(part.state != "down" for part in parts)
        runtime.metrics.set("weir_ready", float(ready))
        # A reason may hold an address, which is nobody's business elsewhere.
        told = from_this_machine(request)
        body = {
            "ready": ready,
            "parts": [
                {
                    "part": part.part,
                    "state": part.state,
                    "reason": part.reason if told else "",
                }
                for part in parts
            ],
        }
        return _json(body, 200 if ready else 503)


async def _parts(request: Request) -> list[PartState]:
    try:
        async with asyncio.timeout(READY_S_MAX):
            return await door_of(request).runtime.parts()
    except TimeoutError:
        return [PartState("api", "down", f"the parts did not answer in {READY_S_MAX:g} s")]
    except Unavailable as error:
        return [PartState(error.part, "down", "does not answer")]


def _json(body: object, status: int) -> Response:
    return Response(json.dumps(body), status, media_type="application/json")
