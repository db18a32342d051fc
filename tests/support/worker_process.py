"""A real worker process that a test ends and starts again under the same slot."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from streams.topics import LIVE_WORLD

READY_S = 60.0


class WorkerProcess:
    """``weir worker --slot SLOT`` on given parts, with its state and log in ``home``.

    Without an address of MLflow decisions are made without a model, and say so.
    """

    def __init__(
        self,
        home: Path,
        slot: str,
        kafka: str,
        redis: str,
        *,
        mlflow: str = "http://127.0.0.1:9",
        world: str = LIVE_WORLD,
    ) -> None:
        self._command = [sys.executable, "-m", "risk.cli", "worker", "--slot", slot]
        self._environment = {
            **os.environ,
            "WEIR_HOME": str(home),
            "WEIR_KAFKA": kafka,
            "WEIR_REDIS": redis,
            "WEIR_MLFLOW": mlflow,
            "WEIR_WORLD": world,
        }
        self._ready = home / "ready" / f"worker-{slot}"
        self._log = home / f"worker-{slot}.log"
        self.slot = slot
        self.start()

    def start(self) -> None:
        """Start it; the last life must be over."""
        self._ready.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log
            )

    @property
    def ready(self) -> bool:
        """Whether it lives and has been given partitions."""
        return self.ended is None and self._ready.exists()

    @property
    def ended(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    async def until_ready(self) -> bool:
        """Wait until it works; False where it has left instead."""
        async with asyncio.timeout(READY_S):
            while not self.ready:
                if self.ended is not None:
                    return False
                await asyncio.sleep(0.05)
        return True

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait; the exit code."""
        if self.ended is None:
            self._process.send_signal(number)
        return await asyncio.to_thread(self._process.wait, 30)

    def kill(self) -> None:
        """Make sure that nothing is left of it."""
        self._process.kill()
        self._process.wait()

    def said(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-4000:]
