"""The door in a process of its own, under uvicorn, asked by the client."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from api.client import Client, NoAnswer, Refused
from api.server import bind
from risk.domain.errors import BadConfiguration
from risk.domain.event import Label, Login, Payment
from risk.domain.outcome import Outcome

ROOT = Path(__file__).parents[2]


@contextmanager
def serving(home: Path, delay_s: float = 0.0) -> Iterator[tuple[str, str, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.serve_twin", str(home), str(delay_s)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address, token = process.stdout.readline().split()
        yield address, token, process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with serving(tmp_path_factory.mktemp("api")) as (address, token, _):
        yield address, token


def a_payment(name: str = "pay_1", amount_minor: int = 1250) -> Payment:
    return Payment(
        id=name, occurred_at=datetime.now(UTC), account="acc_1",
        amount_minor=amount_minor, currency="EUR",
    )  # fmt: skip


def test_the_client_gets_decisions(served: tuple[str, str]) -> None:
    with Client(*served) as client:
        payment = a_payment("c/1 ü")
        decision = client.decide(payment)
        assert decision.outcome is Outcome.ALLOW
        assert decision.evidence is None
        assert client.decide(payment) == decision
        assert client.decision(payment.id) == decision
        whole = client.decide(payment, evidence=True)
        assert whole.evidence is not None
        assert whole.evidence.vector == [1.5, None]
        assert client.decision("nobody") is None


def test_the_client_reports_refusals(served: tuple[str, str]) -> None:
    with Client(*served) as client:
        client.decide(a_payment("c2"))
        with pytest.raises(Refused) as refused:
            client.decide(a_payment("c2", amount_minor=1))
        assert (refused.value.code, refused.value.http_status) == ("PAYLOAD_MISMATCH", 409)
    with Client(served[0], "weir_" + "a" * 43) as stranger, pytest.raises(Refused) as unknown:
        stranger.decide(a_payment())
    assert unknown.value.code == "UNAUTHENTICATED"


def test_the_client_has_events_remembered(served: tuple[str, str]) -> None:
    now = datetime.now(UTC)
    with Client(*served) as client:
        client.remember(Login(id="l1", occurred_at=now, account="acc_1"))
        client.remember(
            Label(id="x1", occurred_at=now, payment_id="c2", label="chargeback", known_at=now)
        )


def test_without_an_api_the_client_says_so_after_its_attempts() -> None:
    waits: list[float] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(address, "weir_x", wait=waits.append) as client, pytest.raises(NoAnswer):
            client.decide(a_payment())
    assert waits == [0.1, 0.2, 0.4]


def test_a_megabyte_over_a_real_connection_is_refused(served: tuple[str, str]) -> None:
    headers = {"Authorization": f"Bearer {served[1]}", "Content-Type": "application/json"}
    answer = httpx.post(f"{served[0]}/v1/decisions", content=b" " * 1_000_000, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")

    def chunks() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * 1024

    answer = httpx.post(f"{served[0]}/v1/decisions", content=chunks(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")
    assert "server" not in answer.headers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_after_the_last_answer(tmp_path: Path, number: int) -> None:
    with serving(tmp_path, delay_s=1.0) as (address, token, process):
        answers: list[Outcome] = []
        with Client(address, token) as client:
            asking = threading.Thread(
                target=lambda: answers.append(client.decide(a_payment()).outcome)
            )
            asking.start()
            time.sleep(0.5)
            process.send_signal(number)
            asking.join(10)
        assert answers == [Outcome.ALLOW]
        assert process.wait(10) == 0
        assert process.stdout is not None
        assert process.stdout.read() == "closed\n"


def test_beyond_this_machine_only_on_purpose() -> None:
    with pytest.raises(BadConfiguration, match="--expose"):
        bind("0.0.0.0", 0, exposed=False)
    bind("0.0.0.0", 0, exposed=True).close()
    for host in ("127.0.0.1", "localhost"):
        bind(host, 0, exposed=False).close()


def test_a_taken_port_and_a_wrong_host_are_named() -> None:
    with bind("127.0.0.1", 0, exposed=False) as taken:
        taken.listen()
        with pytest.raises(BadConfiguration, match="--port"):
            bind("127.0.0.1", taken.getsockname()[1], exposed=False)
    with pytest.raises(BadConfiguration, match="--host"):
        bind("no such host", 0, exposed=False)
