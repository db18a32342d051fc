"""The door of the command line: fast help, one line per error, fixed exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from risk.cli.__main__ import build_app, explain
from risk.domain.errors import (
    AlreadyRunning,
    BadBook,
    BadConfiguration,
    BadModel,
    InvalidEvent,
    Unavailable,
    WeirError,
)

HEAVY = ("aiokafka", "faust", "fastapi", "lightgbm", "mlflow", "numba", "numpy", "pyarrow", "redis")
HELP = f"""
import sys
from typer.testing import CliRunner
from risk.cli.__main__ import build_app
assert CliRunner().invoke(build_app(), ["--help"]).exit_code == 0
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_help_breaks_lines_where_the_terminal_ends() -> None:
    told = CliRunner().invoke(build_app(), ["lists", "add", "--help"], env={"COLUMNS": "80"})
    assert "does not answer, 2 refused." in told.output


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (AlreadyRunning("`weir run` already runs"), 3),
        (BadConfiguration("WEIR_X is wrong"), 2),
        (InvalidEvent("TOO_LARGE", "too large"), 2),
        (BadBook(["rule 1: unknown name"]), 2),
        (BadModel("the fingerprint differs"), 1),
        (Unavailable("kafka", "refused"), 1),
    ],
)
def test_an_error_is_its_code_its_text_and_what_to_do(problem: WeirError, code: int) -> None:
    explained = explain(problem)
    assert explained is not None
    assert explained[0] == f"{problem.code}: {problem}\n{problem.operator}"
    assert explained[1] == code


def test_a_full_disk_is_a_failure_in_one_line() -> None:
    assert explain(OSError(28, "No space left on device", "x")) == (
        "OS_ERROR: [Errno 28] No space left on device: 'x'",
        1,
    )


def test_a_defect_of_ours_is_not_explained_away() -> None:
    assert explain(KeyError("defect")) is None
