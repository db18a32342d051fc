"""One run per state folder; what a killed run leaves does not count as running."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from risk.domain.errors import AlreadyRunning
from risk.local import runfile
from risk.local.process import plain_environment
from risk.local.runfile import RunRecord

HOLDER = """
import os, sys, time
from pathlib import Path
from risk.local import runfile
with runfile.hold(Path(sys.argv[1])) as file:
    file.write(runfile.RunRecord(pid=os.getpid(), command="run", started_at_ms=1, api="here"))
    print("held", flush=True)
    time.sleep(600)
"""


def record(command: str = "run") -> RunRecord:
    return RunRecord(pid=os.getpid(), command=command, started_at_ms=1, kafka="k", demo_key="d")


def test_the_run_file_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with runfile.hold(tmp_path) as file:
        file.write(record())
        path = tmp_path / runfile.FILE
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert runfile.read_live(tmp_path) == record()
    assert not path.exists()
    assert runfile.read_live(tmp_path) is None


def test_a_second_start_says_who_runs(tmp_path: Path) -> None:
    with runfile.hold(tmp_path) as file:
        file.write(record())
        with pytest.raises(AlreadyRunning, match=rf"`weir run` \(process {os.getpid()}\)"):
            runfile.hold(tmp_path).__enter__()
        assert runfile.read_live(tmp_path) == record()


def test_a_start_beside_one_that_has_written_nothing_yet_is_refused(tmp_path: Path) -> None:
    with (
        runfile.hold(tmp_path),
        pytest.raises(AlreadyRunning, match="another process is starting"),
    ):
        runfile.hold(tmp_path).__enter__()


@pytest.mark.fault
def test_a_killed_run_leaves_the_folder_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=plain_environment(),
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        live = runfile.read_live(tmp_path)
        assert live is not None
        assert live.pid == holder.pid
        holder.send_signal(signal.SIGKILL)
    assert (tmp_path / runfile.FILE).exists()
    assert runfile.read_live(tmp_path) is None
    with runfile.hold(tmp_path):
        assert not (tmp_path / runfile.FILE).exists()


def test_the_next_run_waits_for_what_a_killed_one_left(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"]) as leftover:
        runfile.RunFile(tmp_path).write(
            RunRecord(pid=1, command="run", started_at_ms=1, pids={"kafka": leftover.pid})
        )
        # Reaped at once, as init reaps the parts of a run that is gone.
        signal.signal(signal.SIGCHLD, lambda *_: leftover.poll())
        try:
            with runfile.hold(tmp_path):
                assert leftover.returncode == 0
        finally:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def test_a_broken_run_file_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / runfile.FILE).write_text("{")
    assert runfile.read_live(tmp_path) is None
