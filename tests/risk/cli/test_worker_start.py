"""A worker that is asked to stop while it still starts, stops."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from features.keys import Keys
from risk.local.redis import RedisServer

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]
STOP_S = 10


async def test_a_worker_that_waits_for_another_recovery_stops_when_asked(
    tmp_path: Path, kafka: str, redis_factory: Callable[[], RedisServer]
) -> None:
    redis = redis_factory()
    client = Redis.from_url(redis.url)
    # Somebody else recovers, and takes long.
    await client.set(Keys("").lock, "theirs")
    environment = {
        **os.environ,
        "WEIR_HOME": str(tmp_path / "home"),
        "WEIR_KAFKA": kafka,
        "WEIR_REDIS": redis.url,
        "WEIR_MLFLOW": "http://127.0.0.1:9",
    }
    worker = subprocess.Popen([sys.executable, "-m", "risk.cli", "worker"], env=environment)
    try:
        async with asyncio.timeout(60):
            while (await client.info("commandstats")).get("cmdstat_set", {}).get("calls", 0) < 3:
                assert worker.poll() is None
                await asyncio.sleep(0.1)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, STOP_S) == 0
    finally:
        worker.kill()
        worker.wait()
        await client.aclose()
