"""Garbage collection of a process that serves: seldom, and never through what stays for ever."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# A batch of 64 payments makes about 15,000 objects that the collector follows, nearly all
# freed by their reference counts. The default looks at them after every 700.
YOUNG_OBJECTS: Final = 50_000
GENERATIONS: Final = (20, 50)


def settle() -> None:
    """Call once when a process has loaded what it serves with.

    What is there now is never looked at again; new objects are looked at in larger steps.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *GENERATIONS)


@contextmanager
def collecting_later() -> Iterator[None]:
    """No collection inside: for a stretch of work that makes many objects and no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
