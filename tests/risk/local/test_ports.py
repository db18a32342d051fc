"""A taken port is replaced; no port is handed out twice."""

from __future__ import annotations

import socket

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
