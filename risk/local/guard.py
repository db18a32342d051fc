"""Stands between a run and one of its parts, so that no part outlives the run.

A script of its own, on the standard library only: ``guard.py PARENT_PID GRACE_SECONDS COMMAND...``.
It starts the command in a process group, prints the pid on a line, and waits. When the run closes
its standard input, or dies in whatever way, the group gets SIGTERM and, after the grace, SIGKILL.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from types import FrameType

PARENT_CHECK_S = 1.0
_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> int:
    """Guard one command to its end; return its exit code, or 128 + the signal that ended it."""
    parent, grace_s, command = int(argv[0]), float(argv[1]), argv[2:]
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    asked: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    # Handlers, not SIG_IGN: what is ignored would stay ignored in the command.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=2,
        process_group=0,
        preexec_fn=_die_with_guard(),  # noqa: PLW1509  this process has one thread
    )
    print(process.pid, flush=True)
    while process.poll() is None:
        ready, _, _ = select.select([0, wake_read], [], [], PARENT_CHECK_S)
        if wake_read in ready:
            os.read(wake_read, 512)
        # A copy of the run made by fork may hold our input open, so its pid is watched as well.
        if asked or os.getppid() != parent or (0 in ready and not os.read(0, 512)):
            _stop(process, grace_s)
    _signal_group(process.pid, signal.SIGKILL)
    code: int = process.returncode
    return code if code >= 0 else 128 - code


def _die_with_guard() -> Callable[[], object] | None:
    """On Linux the command dies even if its guard is killed; elsewhere nothing can say so."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    # libc is loaded here: nothing but the call itself may happen between fork and exec.
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _stop(process: subprocess.Popen[bytes], grace_s: float) -> None:
    _signal_group(process.pid, signal.SIGTERM)
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
