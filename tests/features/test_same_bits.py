"""The same vectors, bit for bit, on other processors and without the compiler."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _digest(**environment: str) -> str:
    """What ``tests.support.print_vectors`` prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.print_vectors"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def here() -> str:
    return _digest()


def _dispatched() -> list[str]:
    """The processor features that numpy uses here beyond its baseline."""
    umath = importlib.import_module("numpy._core._multiarray_umath")
    return [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]]


@pytest.mark.parametrize("keep", [0, 1])
def test_without_numpys_faster_loops(here: str, keep: int) -> None:
    names = _dispatched()[keep:]
    if not names:
        pytest.skip("not run: numpy uses no processor feature beyond its baseline here")
    assert _digest(NPY_DISABLE_CPU_FEATURES=" ".join(names)) == here


def test_compiled_for_the_oldest_processor(here: str, tmp_path: Path) -> None:
    there = _digest(NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="", NUMBA_CACHE_DIR=str(tmp_path))
    assert there == here


def test_by_the_interpreter_operation_by_operation(here: str) -> None:
    """Nothing that the compiler does (fusing, reordering) reaches the bits."""
    assert _digest(NUMBA_DISABLE_JIT="1") == here
