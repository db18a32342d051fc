"""Runs the inspection of a model in a throw-away process and reads its verdict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from risk.domain.errors import BadModel

_PATIENCE_S: Final = 60.0
# Nothing of the service's environment reaches the inspection, secrets least of all.
_KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


def verify(folder: Path) -> None:
    """Raise BadModel unless the bundle at ``folder`` passes ``models.inspection``.

    Takes about half a second. The caller has checked the bundle's digest already.
    """
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "models.inspection", str(folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BadModel(f"the inspection took more than {_PATIENCE_S:.0f} s") from None
    if done.returncode < 0:
        raise BadModel(f"the inspection was ended by signal {-done.returncode}: hostile or broken")
    lines = done.stdout.decode(errors="replace").splitlines()
    try:
        problem = json.loads(lines[-1])["problem"]
    except (IndexError, KeyError, TypeError, json.JSONDecodeError):
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise BadModel(f"the inspection broke off: {' '.join(tail)[:300]}") from None
    if problem is not None or done.returncode != 0:
        raise BadModel(str(problem))
