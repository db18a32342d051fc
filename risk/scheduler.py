"""Periodic work of a process: one task each, whose failures are logged and tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from risk.domain.errors import WeirError

Work = Callable[[], Awaitable[object]]


class Scheduler:
    """Runs each piece of work every so many seconds until it is closed."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("weir.scheduler")
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Scheduler:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def every(self, seconds: float, name: str, work: Work) -> None:
        """Start ``work`` now and again ``seconds`` after each end."""
        self._tasks.append(asyncio.create_task(self._repeat(seconds, name, work), name=name))

    async def _repeat(self, seconds: float, name: str, work: Work) -> None:
        while True:
            try:
                await work()
            except WeirError as error:
                self._log.warning("scheduled work failed", part=name, code=error.code)
            except Exception as error:  # noqa: BLE001  # the scheduler door: the next turn goes on
                self._log.error("scheduled work failed", part=name, error=type(error).__name__)
            await asyncio.sleep(seconds)
