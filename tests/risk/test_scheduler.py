"""Periodic work goes on after a failure, and ends with its process."""

from __future__ import annotations

import asyncio

from risk.domain.errors import Unavailable
from risk.scheduler import Scheduler


async def test_work_is_repeated_although_it_fails() -> None:
    turns: list[int] = []
    third = asyncio.Event()

    async def work() -> None:
        turns.append(len(turns))
        if len(turns) == 1:
            raise Unavailable("redis", "it is down")
        if len(turns) == 2:
            raise ZeroDivisionError
        third.set()

    async with Scheduler() as scheduler:
        scheduler.every(0.001, "work", work)
        async with asyncio.timeout(5):
            await third.wait()
    done = len(turns)
    await asyncio.sleep(0.02)
    assert len(turns) == done, "nothing runs after the end"
