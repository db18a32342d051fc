"""A taken port is replaced; no port is handed out twice."""

from __future__ import annotations

import socket
import subprocess
import sys

from risk.local import ports


def test_a_free_default_is_kept() -> None:
    free = ports.pick()
    ports.give_back(free)
    assert ports.pick(free) == free
    ports.give_back(free)


def test_a_taken_default_is_replaced() -> None:
    with socket.create_server((ports.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert not ports.is_free(port)
        other = ports.pick(port)
    assert other != port
    assert ports.FIRST_PORT <= other < ports.LAST_PORT
    ports.give_back(other)


def test_no_port_is_handed_out_twice() -> None:
    picked = [ports.pick() for _ in range(20)]
    assert len(set(picked)) == 20
    for port in picked:
        ports.give_back(port)


def test_a_port_that_another_start_is_about_to_use_is_left_to_it() -> None:
    free = ports.pick()
    ports.give_back(free)
    holder = (
        "import sys; from risk.local import ports;"
        f" print(ports.pick({free}), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert int(other.stdout.readline()) == free
        assert ports.is_free(free)
        mine = ports.pick(free)
        assert mine != free
        other.communicate()
    ports.give_back(mine)
    assert ports.pick(free) == free
    ports.give_back(free)
