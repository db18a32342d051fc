"""The reports of rule performance that an API gives: how each is made."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from risk.books.performance_desk import PerformanceDesk
    from risk.bootstrap import Runtime
    from risk.settings import Settings


def performance_desk(settings: Settings, runtime: Runtime) -> PerformanceDesk:
    """Reports over the same parts and the same world as ``settings``."""
    from risk.books.performance_desk import PerformanceDesk

    environment = {
        **os.environ,
        "WEIR_HOME": str(settings.state),
        "WEIR_WORLD": settings.world,
        "WEIR_KAFKA": settings.kafka,
        "WEIR_MLFLOW": settings.mlflow,
    }
    command = (sys.executable, "-P", "-m", "risk.cli.__main__", "rules", "performance")
    return PerformanceDesk(command, environment, runtime.clock.now_ms, runtime.metrics)
