"""No part outlives the process that started it, however that one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from risk.domain.clock import Deadline, SystemClock
from risk.domain.errors import Unavailable
from risk.local.process import Child, Command, log_tail, plain_environment

# A part with a helper process of its own; the helper ignores SIGTERM if asked to.
PART = """
import signal, subprocess, sys, time
stubborn = "stubborn" in sys.argv
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
helper = subprocess.Popen([sys.executable, "-c", "import time; print(1); time.sleep(600)"])
print("helper", helper.pid, flush=True)
time.sleep(600)
"""

STARTER = """
import signal, sys, time
from pathlib import Path
from risk.local.process import Child, Command
# Whoever runs the tests under nohup has SIGHUP ignored, and so would have what he starts.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
log = Path(sys.argv[1])
child = Child.start(Command("part", (sys.executable, "-c", {part!r}, *sys.argv[2:]), log, stop_s=1))
child.wait_ready(lambda: "helper" in log.read_text(), 20)
print(child.pid, flush=True)
time.sleep(600)
"""


def command(log: Path, *words: str, stop_s: float = 5) -> Command:
    return Command("part", (sys.executable, "-c", PART, *words), log, stop_s=stop_s)


def started(log: Path, *words: str, stop_s: float = 5) -> tuple[Child, int]:
    child = Child.start(command(log, *words, stop_s=stop_s))
    child.wait_ready(lambda: "helper" in log.read_text(), 20)
    return child, helper_pid(log)


def helper_pid(log: Path) -> int:
    return int(log.read_text().split("helper ")[1].split()[0])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # gone since
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def eventually(holds: Callable[[], bool], within_s: float = 15) -> bool:
    deadline = Deadline(SystemClock(), int(within_s * 1000))
    while not holds():
        if deadline.spent():
            return False
        time.sleep(0.02)
    return True


def test_stop_ends_the_part_and_its_helpers(tmp_path: Path) -> None:
    child, helper = started(tmp_path / "log")
    assert child.running
    assert child.stop() == 128 + signal.SIGTERM
    assert not child.running
    assert eventually(lambda: not alive(child.pid) and not alive(helper))


def test_a_part_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    child, helper = started(tmp_path / "log", "stubborn", stop_s=0.2)
    assert child.stop() == 128 + signal.SIGKILL
    assert eventually(lambda: not alive(child.pid) and not alive(helper))


def test_kill_is_a_crash(tmp_path: Path) -> None:
    child, helper = started(tmp_path / "log")
    child.kill()
    assert child.exit_code == 128 + signal.SIGKILL
    assert eventually(lambda: not alive(helper))


def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    child, _ = started(tmp_path / "log")
    assert child.stop() == child.stop()


@pytest.mark.fault
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("words", [(), ("stubborn",)], ids=["obedient", "stubborn"])
def test_the_part_is_gone_when_its_starter_dies(
    tmp_path: Path, number: int, words: tuple[str, ...]
) -> None:
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", STARTER.format(part=PART), str(log), *words],
        stdout=subprocess.PIPE,
        env=plain_environment(),
    ) as starter:
        assert starter.stdout is not None
        part = int(starter.stdout.readline())
        helper = helper_pid(log)
        assert alive(part)
        assert alive(helper)
        starter.send_signal(number)
    assert eventually(lambda: not alive(part) and not alive(helper))


@pytest.mark.fault
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_the_part_dies_even_with_its_guard(tmp_path: Path) -> None:
    child, helper = started(tmp_path / "log")
    guard = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(guard, signal.SIGKILL)
    assert eventually(lambda: not alive(child.pid))
    os.kill(helper, signal.SIGKILL)
    child.stop()


def test_a_command_that_does_not_exist_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"part cannot be reached: cannot be executed"):
        Child.start(Command("part", (str(tmp_path / "no-such"),), tmp_path / "log"))


def test_an_early_end_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", "import sys; print('no memory'); sys.exit(7)")
    child = Child.start(Command("part", argv, tmp_path / "log"))
    with pytest.raises(Unavailable, match=r"ended with code 7: no memory"):
        child.wait_ready(lambda: False, 20)


def test_a_part_that_never_answers_is_stopped(tmp_path: Path) -> None:
    child, helper = started(tmp_path / "log")
    with pytest.raises(Unavailable, match=r"not ready in 0 s"):
        child.wait_ready(lambda: False, 0.1)
    assert eventually(lambda: not alive(child.pid) and not alive(helper))


def test_foreign_parts_see_no_secret_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_SECRET", "s")
    assert "PATH" in plain_environment()
    assert "WEIR_SECRET" not in plain_environment()


def test_log_tail_of_nothing_says_so(tmp_path: Path) -> None:
    assert log_tail(tmp_path / "none") == "no log was written"
