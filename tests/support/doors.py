"""A world's processes for a test: worker, API and what else it names, on parts that run already."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from risk.domain.clock import SystemClock
from risk.local import ports
from risk.settings import Settings
from risk.storage.api_keys import create_key

WEIR = (sys.executable, "-m", "risk.cli")
READY_S = 90.0


class Doors:
    """A state folder of its own, the address of the API, and commands on both."""

    def __init__(self, home: Path, kafka: str, redis_url: str, world: str) -> None:
        self.home, self.kafka, self.world = home, kafka, world
        self.settings = Settings(home=home, world=world)
        self.api = f"http://127.0.0.1:{ports.pick(None)}"
        self.environment = {
            **os.environ, "WEIR_HOME": str(home), "WEIR_WORLD": world, "WEIR_KAFKA": kafka,
            "WEIR_REDIS": redis_url, "WEIR_MLFLOW": "http://127.0.0.1:9",
        }  # fmt: skip

    def key(self, name: str, *scopes: str) -> dict[str, str]:
        """The header of a new key."""
        now_ms = SystemClock().now_ms()
        _, token = create_key(self.settings, name=name, scopes=scopes, now_ms=now_ms)
        return {"Authorization": f"Bearer {token}"}

    @contextmanager
    def open(self, *others: Sequence[str]) -> Iterator[None]:
        """Worker and API, and other commands beside them; every one ends after the block."""
        port = self.api.rpartition(":")[2]
        commands = (("worker", "--slot", "0"), ("api", "--port", port), *others)
        started = [subprocess.Popen([*WEIR, *one], env=self.environment) for one in commands]
        try:
            ends = time.monotonic() + READY_S
            while not ((self.home / "ready" / "worker-0").exists() and self._answers()):
                assert all(process.poll() is None for process in started), "one has ended"
                assert time.monotonic() < ends, f"the doors were not ready in {READY_S} s"
                time.sleep(0.1)
            yield
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                process.wait(30)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.api}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def weir(self, *arguments: str) -> tuple[int, str, dict[str, Any]]:
        """Exit code, output and report of a command."""
        report = self.home / "report.json"
        report.unlink(missing_ok=True)
        done = subprocess.run(
            [*WEIR, *arguments, "--report", str(report)], env=self.environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = json.loads(report.read_bytes()) if report.exists() else {}
        return done.returncode, done.stdout + done.stderr, found
