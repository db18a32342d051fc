"""The worker's own port: what it says, and that it listens on loopback only."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from risk.observability.metrics import Metrics
from streams.metrics import metrics_port


async def test_metrics_and_health() -> None:
    metrics = Metrics()
    metrics.count("weir_late_total", 3)
    problems: list[str | None] = [None, "a batch is stuck"]
    async with (
        metrics_port(metrics, 0, lambda: problems.pop(0)) as address,
        httpx.AsyncClient(base_url=address) as client,
    ):
        assert address.startswith("http://127.0.0.1:")
        well = await client.get("/healthz")
        ill = await client.get("/healthz")
        problems[:] = [None] * 4
        found = await client.get("/metrics")
        assert (well.status_code, ill.status_code) == (200, 503)
        assert ill.text == "a batch is stuck\n"
        assert "weir_late_total 3.0" in found.text
        assert (await client.get("/other")).status_code == 404
        assert (await client.post("/metrics")).status_code == 405


@pytest.mark.parametrize("sent", [b"\r\n\r\n", b"GET\r\n\r\n", b"x" * 100_000, b""])
async def test_odd_requests_do_no_harm(sent: bytes) -> None:
    async with metrics_port(Metrics(), 0, lambda: None) as address:
        host, port = address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        writer.close()
        async with httpx.AsyncClient(base_url=address) as client:
            assert (await client.get("/healthz")).status_code == 200
