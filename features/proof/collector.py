"""Python's garbage collector during a proof."""

from __future__ import annotations

import gc
from typing import Final

# A chunk of history is some hundred thousand objects without a cycle among them; at the usual
# threshold of 700 half of the time goes into looking for cycles.
NEW_OBJECTS: Final = 500_000


def quiet_collector() -> None:
    """Look for cycles rarely, and never again in what is loaded now. For a process of its own."""
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 50, 50)
