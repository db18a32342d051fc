"""Starts Weir's own processes, worker and API, beside the embedded parts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import httpx

from risk.local.process import Child, Command
from risk.settings import Settings

READY_S = 60.0
STOP_S = 8.0
PART_NAMES = ("kafka", "redis", "mlflow", "database")


def service_environment(settings: Settings) -> dict[str, str]:
    """Our environment with the resolved addresses, for a process of ours."""
    resolved = {f"WEIR_{name.upper()}": getattr(settings, name) for name in PART_NAMES}
    return {
        **os.environ,
        **{name: value for name, value in resolved.items() if value},
        "WEIR_HOME": str(settings.state),
        "WEIR_WORLD": settings.world,
        "PYTHONSAFEPATH": "1",
    }


def start_service(
    name: str, arguments: list[str], settings: Settings, stop_s: float | None = None
) -> Child:
    """Start ``weir ARGUMENTS`` with its log in the state folder; ``stop_s`` is its grace."""
    return Child.start(
        Command(
            name=name,
            argv=(sys.executable, "-m", "risk.cli", *arguments),
            log=log_of(name, settings.state),
            env=service_environment(settings),
            stop_s=STOP_S if stop_s is None else stop_s,
        )
    )


def log_of(name: str, state: Path) -> Path:
    """Where a service of this state folder writes its log."""
    return state / "logs" / f"{name}.log"


def answers_ready(address: str) -> bool:
    """Whether ``address``/readyz says that the service takes work."""
    try:
        return httpx.get(f"{address}/readyz", timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False
