"""The certificate: rough traffic at both doors, joins, leaves and kills; all of it is proven."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.certificate import problems
from tests.support.bench_home import bench_home, run_bench

pytestmark = [pytest.mark.services, pytest.mark.fault]
CAUSES = {"HOLE", "VOID", "PENDING"}


@pytest.mark.parametrize(
    "payments",
    [
        pytest.param(2_000, marks=pytest.mark.timeout(300)),
        pytest.param(200_000, marks=[pytest.mark.soak, pytest.mark.timeout(7_200)]),
    ],
)
def test_every_decision_is_equal(tmp_path: Path, jar_cache: Path, payments: int) -> None:
    found = _certified(tmp_path, jar_cache, payments)
    assert found["problems"] == []
    parity = found["parity"]
    assert (parity["verdict"], parity["unprovable"]) == ("equal", {})
    assert parity["checked"] == parity["equal"] == found["decisions"]["standing"]
    assert found["decisions"]["payments"] == payments
    assert found["rebuild"]["digest_after"] == found["rebuild"]["digest_before"]
    # It was rough: all of it happened.
    for name in ("late", "held_back", "duplicated", "corrected", "by_http", "by_both"):
        assert found["sent"][name] > 0, name
    assert found["happened"]["rebalances"] == 2
    assert found["happened"]["Redis is killed"] == found["happened"]["a worker is killed"] == 1
    assert found["corrections"]["by_stream"] > 0
    assert len(found["parity"]["digests"]["models"]) == 1


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("forgets", [20_000, 200_000, 2_000_000])
def test_what_redis_forgot_is_unprovable_and_never_equal(
    tmp_path: Path, jar_cache: Path, forgets: int
) -> None:
    found = _certified(tmp_path, jar_cache, 20_000, "--forgets", str(forgets))
    assert found["problems"] == []
    parity = found["parity"]
    assert parity["unequal"] == parity["damaged"] == 0
    assert set(parity["unprovable"]) <= CAUSES
    assert parity["checked"] == parity["equal"] + sum(parity["unprovable"].values())
    assert found["answers"]["differ"] == []


def _certified(tmp_path: Path, jar_cache: Path, payments: int, *options: str) -> dict[str, Any]:
    home = bench_home(tmp_path / "home", jar_cache)
    _, report = run_bench(home, "certificate", "--payments", str(payments), *options)
    return report


def sound() -> dict[str, Any]:
    parity = {
        "verdict": "equal", "checked": 9, "equal": 9, "unequal": 0, "damaged": 0, "missing": [],
        "unprovable": {},
    }  # fmt: skip
    return {
        "forgets": 0,
        "sent": {"problems": []},
        "decisions": {"standing": 9},
        "parity": parity,
        "parity_other_cpu": dict(parity),
        "parity_archive": dict(parity),
        "leaks": {"verdict": "equal"},
        "rebuild": {"digest_before": "a", "digest_after": "a"},
        "lost": [],
        "twice": [],
        "answers": {"differ": []},
        "corrections": {"unseen": 0},
        "archive": {"sound": True},
        "evidence_bytes": {"each": 900.0},
    }


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("parity", "unequal"), 1),
        (("parity", "damaged"), 1),
        (("parity", "checked"), 8),
        (("parity", "equal"), 8),
        (("parity_archive", "missing"), [1]),
        (("parity_other_cpu", "unprovable"), {"HOLE": 1}),
        (("leaks", "verdict"), "different"),
        (("rebuild", "digest_after"), "b"),
        (("lost",), ["p1"]),
        (("twice",), ["p1"]),
        (("answers", "differ"), ["p1"]),
        (("corrections", "unseen"), 1),
        (("archive", "sound"), False),
        (("evidence_bytes", "each"), 2_501),
        (("sent", "problems"), ["p1: 400"]),
    ],
)
def test_whatever_does_not_hold_is_named(place: tuple[str, ...], value: Any) -> None:
    found = sound()
    assert problems(found) == []
    inner = found
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    assert problems(found)
