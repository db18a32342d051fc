"""The endpoint that Weir's HTTP door is measured against: it validates a payment and answers.

FastAPI as most people write it: a pydantic model for the body, a dictionary for the answer. It
is served by the same code as Weir's API, so uvicorn, its loop and its settings are the same.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal

import typer
import uvloop
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from api.server import bind, serve

Identifier = Annotated[str, Field(min_length=1, max_length=128)]
Country = Annotated[str, Field(pattern="^[A-Z]{2}$")]


class Payment(BaseModel):
    """The payment of Weir's contract."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["payment", "transfer", "withdrawal", "top_up"]
    id: Identifier
    occurred_at: datetime
    schema_version: Literal[1] = 1
    account: Identifier
    amount_minor: Annotated[int, Field(ge=0, lt=10**12)]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    card: Identifier | None = None
    merchant: Identifier | None = None
    beneficiary: Identifier | None = None
    device: Identifier | None = None
    ip: Identifier | None = None
    mcc: Annotated[str, Field(pattern="^[0-9]{4}$")] | None = None
    channel: (
        Literal["ecom", "pos_chip", "pos_swipe", "pos_contactless", "atm", "moto", "app", "p2p"]
        | None
    ) = None
    country: Country | None = None
    card_country: Country | None = None
    ip_country: Country | None = None
    bin: Annotated[str, Field(pattern="^[0-9]{6,8}$")] | None = None
    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None
    account_opened_at: datetime | None = None
    kyc_level: Annotated[int, Field(ge=0, le=9)] | None = None


def empty_app() -> FastAPI:
    """The application: one route."""
    app = FastAPI(title="Empty")

    @app.post("/v1/decisions")
    async def decide(payment: Payment) -> dict[str, Any]:
        return {
            "payment_id": payment.id,
            "outcome": "allow",
            "score": 0.01,
            "reasons": [],
            "authoritative": True,
        }

    @app.get("/readyz")
    async def readyz() -> dict[str, bool]:
        return {"ready": True}

    return app


def main(port: int) -> None:
    """Serve on loopback until SIGTERM."""
    sock = bind("127.0.0.1", port, exposed=False)
    with sock, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(empty_app(), sock))


if __name__ == "__main__":
    typer.run(main)
