"""The reports of rule performance that an API gives: how each is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from risk.cli.child import command_of, environment_of

if TYPE_CHECKING:
    from risk.books.performance_desk import PerformanceDesk
    from risk.bootstrap import Runtime
    from risk.settings import Settings


def performance_desk(settings: Settings, runtime: Runtime) -> PerformanceDesk:
    """Reports over the same parts and the same world as ``settings``."""
    from risk.books.performance_desk import PerformanceDesk

    return PerformanceDesk(
        command_of("rules", "performance"),
        environment_of(settings),
        runtime.clock.now_ms,
        runtime.metrics,
    )
