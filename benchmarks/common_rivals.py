"""The rivals' own environment: built once from their hashed lock, then used offline."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.common import ROOT, say
from risk.domain.errors import Unavailable
from risk.settings import Settings

LOCK: Final = ROOT / "benchmarks" / "rivals" / "requirements.lock"
INSTALL_S: Final = 900.0


def rivals_python(*, build: bool = True) -> Path | None:
    """The Python of the rivals' environment; None where it does not stand and is not built.

    Raises Unavailable where it cannot be built: the packages come from the index that pip is
    set up with.
    """
    folder = Settings().state / "rivals" / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    python = folder / "bin" / "python"
    if python.exists():
        return python
    if not build:
        return None
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        _build(fresh)
        # Its scripts name the folder it was built in; only its Python is used.
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return python


def _build(folder: Path) -> None:
    say("building the rivals' environment, once (Quix Streams and what it needs)")
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--require-hashes"]
    _run([*pip, "--quiet", "--disable-pip-version-check", "-r", str(LOCK)])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unavailable("rivals", f"not installed in {INSTALL_S:.0f} s") from None
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        raise Unavailable("rivals", " ".join(last) or f"pip ended with {done.returncode}")
