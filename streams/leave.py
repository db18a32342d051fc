"""Leaving the process at once, so that what is unfinished is delivered again.

A Faust agent that raises, or hangs while the app stops, loses its event (measured); a
process that is gone does not. The exit codes tell the supervisor and the tests why.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Final, NoReturn

EXIT_UNFINISHED: Final = 70  # a batch could not be finished within its deadline
EXIT_STUCK: Final = 71  # the watchdog saw no progress

_LOG = logging.getLogger("weir.streams")


def leave(code: int, why: str, error: BaseException | None = None) -> NoReturn:
    """Write why, and end the process without running anything else."""
    _LOG.critical("leaving with exit code %d: %s", code, why, exc_info=error)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
