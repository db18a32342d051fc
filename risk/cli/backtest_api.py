"""The back-tests that an API runs: where they keep their files, and how each is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from risk.cli.child import command_of, environment_of

if TYPE_CHECKING:
    from risk.backtest.jobs import BacktestJobs
    from risk.domain.clock import Clock
    from risk.settings import Settings


def backtest_jobs(settings: Settings, clock: Clock) -> BacktestJobs:
    """Jobs over the same parts and the same world as ``settings``."""
    from risk.backtest.jobs import BacktestJobs

    return BacktestJobs(
        settings.state / "backtests",
        command_of("rules", "backtest"),
        environment_of(settings),
        clock.now_ms,
    )
