"""A route that runs its endpoint without FastAPI's solver of dependencies.

The solver, its exit stacks and its wrappers cost more time than decoding a payment. They stay
where a request has a query, and they are what describes the route.
"""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from api.auth import access_of


class DirectRoute(APIRoute):
    """For an endpoint that takes the request, and besides it only what has a default.

    What the endpoint or its access raises is answered by the handlers of the application, as
    for any other route.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._allow = access_of(self)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit the caller, run the endpoint, send its answer."""
        if scope["query_string"] or scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive, send)
        await self._allow(request)
        response = await self.endpoint(request)
        await response(scope, receive, send)
