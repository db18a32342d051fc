"""The command line as a process of its own: how an API starts a command over its own parts."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from risk.settings import Settings


def command_of(*words: str) -> tuple[str, ...]:
    """The command that runs ``weir WORDS`` with this interpreter."""
    return (sys.executable, "-P", "-m", "risk.cli.__main__", *words)


def environment_of(settings: Settings) -> dict[str, str]:
    """This process's environment, with the parts and the world of ``settings``."""
    return {
        **os.environ,
        "WEIR_HOME": str(settings.state),
        "WEIR_WORLD": settings.world,
        "WEIR_KAFKA": settings.kafka,
        "WEIR_DATABASE": settings.database,
        "WEIR_MLFLOW": settings.mlflow,
    }
