"""``weir keys``: made, listed, revoked."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path


def weir(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "risk.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "WEIR_HOME": str(home), "WEIR_SECRET": "", "COLUMNS": "200"},
    )


def test_a_key_lives_and_dies(tmp_path: Path) -> None:
    report = tmp_path / "key.json"
    made = weir(
        tmp_path, "keys", "create", "--name", "shop", "--scope", "decide", "--scope", "read",
        "--days", "1", "--report", str(report),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    told = json.loads(report.read_text())
    assert made.stdout.strip() == told["key"]
    assert told["scopes"] == ["decide", "read"]
    assert stat.S_IMODE(report.stat().st_mode) == 0o600

    listing = tmp_path / "list.json"
    listed = weir(tmp_path, "keys", "list", "--report", str(listing))
    assert told["key_id"] in listed.stdout
    assert told["key"] not in listed.stdout + listing.read_text()
    (row,) = json.loads(listing.read_text())["keys"]
    assert (row["state"], row["name"], row["last_used_at"]) == ("in force", "shop", None)

    assert weir(tmp_path, "keys", "revoke", told["key_id"]).returncode == 0
    again = weir(tmp_path, "keys", "revoke", told["key_id"])
    assert again.returncode == 1
    assert "weir keys list" in again.stderr
    weir(tmp_path, "keys", "list", "--report", str(listing))
    assert json.loads(listing.read_text())["keys"][0]["state"] == "revoked"


def test_bad_input_exits_two(tmp_path: Path) -> None:
    wrong = weir(tmp_path, "keys", "create", "--name", "shop", "--scope", "root")
    assert wrong.returncode == 2
    assert "decide, read, events, rules, approve, lists, admin" in wrong.stderr
    assert weir(tmp_path, "keys", "create", "--name", "shop").returncode == 2
    exposed = weir(tmp_path, "api", "--host", "0.0.0.0")
    assert exposed.returncode == 2
    assert "--expose" in exposed.stderr
