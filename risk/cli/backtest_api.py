"""The back-tests that an API runs: where they keep their files, and how each is started."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from risk.backtest.jobs import BacktestJobs
    from risk.domain.clock import Clock
    from risk.settings import Settings


def backtest_jobs(settings: Settings, clock: Clock) -> BacktestJobs:
    """Jobs over the same parts and the same world as ``settings``."""
    from risk.backtest.jobs import BacktestJobs

    environment = {
        **os.environ,
        "WEIR_HOME": str(settings.state),
        "WEIR_WORLD": settings.world,
        "WEIR_KAFKA": settings.kafka,
        "WEIR_DATABASE": settings.database,
        "WEIR_MLFLOW": settings.mlflow,
    }
    command = (sys.executable, "-P", "-m", "risk.cli.__main__", "rules", "backtest")
    return BacktestJobs(settings.state / "backtests", command, environment, clock.now_ms)
