"""A state folder in which benchmarks start at once: the jars are there, and a small model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from features.catalogue import catalogue_digest
from tests.support.small_model import small_bundle

ROOT = Path(__file__).parents[2]


def bench_home(home: Path, jar_cache: Path) -> Path:
    """``home`` with what a benchmark would fetch and train first."""
    cache = home / "cache"
    cache.mkdir(parents=True)
    (cache / "maven").symlink_to(jar_cache, target_is_directory=True)
    small_bundle().write(cache / "bench" / f"{catalogue_digest()[:16]}-300-quick")
    return home


def run_bench(home: Path, name: str, *options: str) -> tuple[int, dict[str, Any]]:
    """`weir bench NAME --quick` in ``home``: its exit code and its report."""
    report = home / f"{name}.json"
    command = ("bench", name, "--quick", "--report", str(report), *options)
    done = subprocess.run(
        [sys.executable, "-m", "risk.cli", *command],
        env={**os.environ, "WEIR_HOME": str(home)},
        cwd=ROOT,
        check=False,
    )
    return done.returncode, msgspec.json.decode(report.read_bytes())
