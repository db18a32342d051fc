"""Health and readiness say what is the matter."""

from __future__ import annotations

from pathlib import Path

import pytest

from risk.observability.readiness import PartState
from tests.support.http import Site, open_site


async def test_alive_whatever_the_parts_do(site: Site) -> None:
    site.runtime.states = [PartState("redis", "down", "gate closed")]
    answer = await site.client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


@pytest.mark.parametrize(("state", "status"), [("ready", 200), ("degraded", 200), ("down", 503)])
async def test_ready_unless_a_part_is_down(site: Site, state: str, status: int) -> None:
    site.runtime.states = [
        PartState("redis", "ready"),
        PartState("model", state, "why"),  # type: ignore[arg-type]
    ]
    answer = await site.client.get("/readyz")
    assert answer.status_code == status
    assert answer.json()["ready"] is (status == 200)
    assert answer.json()["parts"][1] == {"part": "model", "state": state, "reason": "why"}
    assert site.runtime.metrics.value("weir_ready") == float(status == 200)


async def test_parts_that_hang_are_not_ready(site: Site) -> None:
    site.engine.delay_s = 30.0
    answer = await site.client.get("/readyz")
    assert answer.status_code == 503
    assert "2 s" in answer.json()["parts"][0]["reason"]


async def test_reasons_stay_on_this_machine(tmp_path: Path) -> None:
    async with open_site(tmp_path, client_host="10.0.0.9") as site:
        site.runtime.states = [PartState("redis", "down", "redis://10.1.2.3 refused")]
        answer = await site.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["parts"] == [{"part": "redis", "state": "down", "reason": ""}]
