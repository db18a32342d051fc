"""Distances against the library's trigonometry; the cache; empty input."""

from __future__ import annotations

import hashlib
import math
import os
import random
import subprocess
import sys
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from features import kernel
from features.geodesy import distance_km
from features.records import facts
from tests.support.feature_oracle import haversine_km
from tests.support.print_vectors import payment as a_payment

ROOT = Path(__file__).parents[2]
angles = st.integers(1, 65535)


@settings(deadline=None)
@given(angles, angles, angles, angles)
@example(1, 1, 65535, 1)
@example(1, 1, 65535, 32768)
@example(32768, 1, 32768, 32768)
@example(32768, 1, 32768, 65535)
@example(40000, 20000, 40000, 20001)
def test_distances_are_as_exact_as_the_kernel_says(
    lat: int, lon: int, other_lat: int, other_lon: int
) -> None:
    of = facts(a_payment(random.Random(1), 1, 10**12), "payment", 1)
    theirs = haversine_km(of._replace(lat=lat, lon=lon), of._replace(lat=other_lat, lon=other_lon))
    ours = distance_km(lat, lon, other_lat, other_lon)
    assert math.isclose(ours, theirs, rel_tol=0, abs_tol=1e-6 if theirs < 19_000 else 1e-3)
    assert distance_km(other_lat, other_lon, lat, lon) == ours


def test_the_kernel_names_the_text_that_is_compiled_into_it() -> None:
    # Numba's cache looks at kernel.py alone; another digest there makes it compile again.
    files = ("operations.py", "geodesy.py", "reductions.py", "rollup_kernel.py")
    text = b"".join((ROOT / "features" / name).read_bytes() for name in files)
    assert hashlib.sha256(text).hexdigest()[:16] == kernel.PARTS


def test_the_same_place_is_at_no_distance_and_the_date_line_is_no_wall() -> None:
    assert distance_km(40000, 20000, 40000, 20000) == 0.0
    assert distance_km(40000, 1, 40000, 65535) == 0.0


def test_warming_compiles_what_serving_calls_into_the_cache_that_is_named(tmp_path: Path) -> None:
    program = (
        "from features import kernel; from tests.support.print_vectors import main;"
        "kernel.warm(); main(2, 3); print(len(kernel.evaluate.signatures))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split()[-1] == "1"
    assert list(tmp_path.rglob("kernel.evaluate*.nbi"))
