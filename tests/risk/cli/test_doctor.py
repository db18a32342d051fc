"""``weir doctor`` names what is missing and what to do about it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from risk.local import jars, ports
from risk.local.checkup import Check, check_all, locked_versions
from risk.settings import Settings


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def settings_of(home: Path, **given: str) -> Settings:
    none = dict.fromkeys(("kafka", "redis", "mlflow", "database"), "")
    return Settings(home=home).model_copy(update=none | given)


def weir(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "risk.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "WEIR_HOME": str(home), "COLUMNS": "200", **environment},
    )


def test_a_fresh_state_folder_lacks_the_jars(tmp_path: Path) -> None:
    found = by_name(check_all(settings_of(tmp_path / "state")))
    assert found["Kafka jars"].state == "missing"
    assert "jars are not fetched" in found["Kafka jars"].found
    assert "weir setup" in found["Kafka jars"].fix
    assert all(found[name].state == "ok" for name in ("Python", "State folder", "Java", "Redis"))


@pytest.mark.services
def test_an_altered_jar_is_named(tmp_path: Path, jar_cache: Path) -> None:
    jars.ensure(jar_cache)
    cache = tmp_path / "cache" / "maven"
    for jar in jars.read_lock():
        jar.path(cache).parent.mkdir(parents=True)
        jar.path(cache).symlink_to(jar.path(jar_cache).resolve())
    assert by_name(check_all(settings_of(tmp_path)))["Kafka jars"].state == "ok"
    victim = jars.read_lock()[3]
    victim.path(cache).unlink()
    victim.path(cache).write_bytes(b"other")
    check = by_name(check_all(settings_of(tmp_path)))["Kafka jars"]
    assert check.state == "missing"
    assert victim.file in check.found


def test_a_state_folder_that_is_a_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    check = by_name(check_all(settings_of(tmp_path / "state")))["State folder"]
    assert check.state == "missing"
    assert "WEIR_HOME" in check.fix


def test_addresses_are_tried_and_no_password_is_shown(tmp_path: Path) -> None:
    closed = ports.pick()
    with socket.create_server((ports.HOST, 0)) as server:
        settings = settings_of(
            tmp_path,
            kafka=f"{ports.HOST}:{server.getsockname()[1]},other:1",
            redis=f"redis://:hidden@{ports.HOST}:{closed}/0",
            mlflow="http://host:port",
            database="sqlite:///weir.db",
        )
        found = by_name(check_all(settings))
    assert found["WEIR_KAFKA"].state == "ok"
    assert found["WEIR_REDIS"].state == "missing"
    assert found["WEIR_MLFLOW"].state == "missing"
    assert found["WEIR_DATABASE"].state == "ok"
    assert "hidden" not in str(found)
    assert not {"Java", "Kafka jars", "Redis"} & set(found)


def test_a_taken_port_is_said_to_be_replaced(tmp_path: Path) -> None:
    found = by_name(check_all(settings_of(tmp_path)))
    for port in (9092, 6379, 5000, 8080):
        expected = "free" if ports.is_free(port) else "taken"
        assert found[f"Port {port}"].found.startswith(expected)


def test_locked_versions_obey_markers(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "one==1.0 \\\n    --hash=sha256:aa\n# comment\n"
        "two==2.0 ; sys_platform == 'none' \\\n    --hash=sha256:bb\n"
    )
    assert list(locked_versions(lock)) == [("one", "1.0")]


def test_the_command_exits_1_and_reports(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = weir(tmp_path / "state", "doctor", "--report", str(report))
    assert done.returncode == 1
    assert "Something is missing" in done.stdout
    told = json.loads(report.read_bytes())
    assert told["ok"] is False
    assert {"name", "state", "found", "fix"} == set(told["checks"][0])


def test_a_wrong_setting_is_bad_input_and_says_which(tmp_path: Path) -> None:
    done = weir(tmp_path, "doctor", WEIR_METRICS_PORT="none")
    assert done.returncode == 2
    assert "WEIR_METRICS_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_option_is_bad_input(tmp_path: Path) -> None:
    assert weir(tmp_path, "doctor", "--no-such").returncode == 2
