"""`weir import` and `weir send` as a person meets them: words, reports and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.import_files import HEADER, line, write_mapping, write_rows

ROOT = Path(__file__).parents[3]


def weir(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "risk.cli", *words],
        env={**os.environ, "WEIR_HOME": str(home), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_import_payments_and_again(tmp_path: Path) -> None:
    file, mapping = write_rows(tmp_path / "f.csv", 500), write_mapping(tmp_path)
    report = tmp_path / "report.json"
    words = ("import", "payments", str(file), "--mapping", str(mapping), "--dataset", "small")
    done = weir(tmp_path, *words, "--report", str(report))
    assert done.returncode == 0, done.stderr
    assert "small: 513 rows" in done.stdout
    assert "10 rejected, 13 duplicates" in done.stdout
    assert "amount_minor (column 'sum') is not a number" in done.stdout
    found = json.loads(report.read_text())
    assert (found["rows"], found["rejected"], found["duplicates"]) == (513, 10, 13)
    assert (tmp_path / "datasets" / "small" / "manifest.json").is_file()
    again = weir(tmp_path, *words)
    assert again.returncode == 0
    assert "was complete" in again.stdout


def test_check_shows_events_and_refusals(tmp_path: Path) -> None:
    file, mapping = tmp_path / "f.csv", write_mapping(tmp_path)
    file.write_text(HEADER + line(1))
    done = weir(tmp_path, "import", "check", str(file), "--mapping", str(mapping))
    assert done.returncode == 0, done.stderr
    assert [json.loads(text)["type"] for text in done.stdout.splitlines()] == ["payment", "outcome"]
    file.write_text(HEADER + line(1, amount="x"))
    report = tmp_path / "report.json"
    done = weir(
        tmp_path, "import", "check", str(file), "--mapping", str(mapping), "--report", str(report)
    )
    assert done.returncode == 2
    assert "line 2: amount_minor (column 'sum') is not a number" in done.stderr
    assert json.loads(report.read_text())["rejected"][0]["line"] == 2


def test_wrong_input_has_exit_code_2(tmp_path: Path) -> None:
    file, mapping = write_rows(tmp_path / "f.csv", 10), write_mapping(tmp_path)
    wrong_kind = weir(
        tmp_path, "import", "labels", str(file), "--mapping", str(mapping), "--dataset", "x"
    )
    assert wrong_kind.returncode == 2
    assert "run `weir import payments`" in wrong_kind.stderr
    for words, said in (
        (("--dataset", "none", "--world", "w"), "there is no data set"),
        (("--dataset", "none", "--world", "w", "--speed", "fast"), "--speed"),
        (("--dataset", "../x", "--world", "w"), "--dataset"),
        (("--dataset", "none", "--world", "W"), "WEIR_WORLD"),
    ):
        done = weir(tmp_path, "send", *words)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr


@pytest.mark.services
def test_send(kafka: str, tmp_path: Path) -> None:
    file, mapping = write_rows(tmp_path / "f.csv", 200), write_mapping(tmp_path)
    weir(tmp_path, "import", "payments", str(file), "--mapping", str(mapping), "--dataset", "small")
    report = tmp_path / "report.json"
    done = weir(
        tmp_path, "send", "--dataset", "small", "--world", "cli-send", "--report", str(report),
        WEIR_KAFKA=kafka,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    assert found["rejected"] == 0
    assert found["events"] > 300
    assert set(found) == {
        "dataset", "world", "events", "rejected", "seconds", "per_s", "first_ms", "last_ms",
    }  # fmt: skip
