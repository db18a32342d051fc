"""The main job on payments that this project did not invent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from risk.settings import Settings

pytestmark = [pytest.mark.services, pytest.mark.external, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
PAYMENTS = 19_313  # rows that are neither refunds nor rejected


def weir(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "risk.cli", *arguments],
        env={**os.environ, "WEIR_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        cwd=ROOT,
    )


def test_a_foreign_file_is_imported_and_decided(external_data: Path, tmp_path: Path) -> None:
    shutil.copytree(Settings().state / "cache", tmp_path / "cache")
    mapping = "docs/guide/mappings/tabformer.toml"
    file = str(external_data / "tabformer_user0.csv.gz")
    done = weir(tmp_path, "import", "payments", file, "--mapping", mapping, "--dataset", "cards")
    assert done.returncode == 0, done.stderr
    report = tmp_path / "report.json"
    done = weir(tmp_path, "run", "--dataset", "cards", "--report", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert (found["payments"], found["decisions"]) == (PAYMENTS, PAYMENTS)
    assert found["world"] == "cards"
    assert found["dead_letters"] == 0
    assert found["outcomes"]["allow"] > found["outcomes"]["review"] > 0
