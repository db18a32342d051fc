"""The collector is calmed in a process of its own: it is the whole process's."""

from __future__ import annotations

import subprocess
import sys

ASK = """
import gc
from risk import collector
collector.settle()
assert gc.get_freeze_count() > 1_000
print(*gc.get_threshold())
"""


def test_what_is_loaded_is_not_looked_at_again() -> None:
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["50000", "20", "50"]
