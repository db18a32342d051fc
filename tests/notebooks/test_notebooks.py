"""The lessons run from top to bottom, show plots, and are kept without their outputs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.name for path in NOTEBOOKS]


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_the_five_lessons_are_there() -> None:
    assert [name[:2] for name in NAMES] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_no_output_and_no_machine_is_kept(path: Path) -> None:
    cells = content(path)["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
    text = "\n".join("".join(cell["source"]) for cell in cells)
    assert not re.search(r"(?<![\w/])/(?:home|root|tmp|work|Users)/", text)
    assert "pip install" not in text
    assert cells[0]["cell_type"] == "markdown"
    assert sum(cell["cell_type"] == "markdown" for cell in cells) >= 4


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_lesson_runs_in_this_interpreter(path: Path, tmp_path: Path) -> None:
    own = {name: str(tmp_path / name.lower()) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR",
           "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.run_notebook", str(path)],
        env={**os.environ, **own},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) >= 2, "a lesson shows plots"
