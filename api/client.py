"""A small client of the HTTP door, for payment services written in Python."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx
import msgspec

from risk.domain.decision import Decision, decode_decision
from risk.domain.decoding import encode_event
from risk.domain.errors import WeirError
from risk.domain.event import RememberedEvent, ScoredEvent

TIMEOUT_S: Final = 5.0  # above the door's own deadline, so that its fallback arrives
ATTEMPTS: Final = 4
WAIT_S_MAX: Final = 2.0
_RETRIED: Final = frozenset((408, 429, 500, 503))


class Refused(WeirError):
    """Weir answered with a problem. ``code``, ``http_status`` and ``pointer`` are its own."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.code = str(problem.get("code", "HTTP_ERROR"))
        self.http_status = status
        self.operator = str(problem.get("operator", ""))
        self.pointer: str | None = problem.get("pointer")
        super().__init__(f"{self.code}: {problem.get('detail', '')}")


class NoAnswer(WeirError):
    """Weir did not answer, also after retries. Decide by your own fallback, never by "allow"."""

    code = "NO_ANSWER"
    http_status = 503
    operator = "Look whether the API answers at /readyz."


class Client:
    """Asks one API with one key. Use it as a context manager, from one thread.

    Requests are repeated where the answer was lost or Weir asks for it: the same payment
    always gets the same decision, so a repeat is safe.
    """

    def __init__(
        self,
        address: str,
        key: str,
        *,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._wait = wait
        self._http = httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout_s,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def decide(self, payment: ScoredEvent, *, evidence: bool = False) -> Decision:
        """The decision of ``payment``. Where ``authoritative`` is false it is only the fallback.

        Raises InvalidEvent before anything is sent, Refused, or NoAnswer.
        """
        body = encode_event(payment)
        answer = self._send("POST", _with("/v1/decisions", evidence), body)
        return decode_decision(answer.content)

    def decision(self, payment_id: str, *, evidence: bool = False) -> Decision | None:
        """The published decision of a payment, None where there is none."""
        path = _with(f"/v1/decisions/{quote(payment_id, safe='')}", evidence)
        try:
            return decode_decision(self._send("GET", path).content)
        except Refused as refusal:
            if refusal.code == "UNKNOWN_PAYMENT":
                return None
            raise

    def remember(self, event: RememberedEvent) -> None:
        """Have an activity, an outcome or a label remembered; returns when it is published."""
        self._send("POST", "/v1/events", encode_event(event))

    def _send(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        last: WeirError = NoAnswer("nothing was sent")
        for attempt in range(ATTEMPTS):
            wait_s = 0.1 * 2**attempt
            try:
                answer = self._http.request(method, path, content=body, headers=headers)
            except httpx.TransportError as error:
                last = NoAnswer(f"{type(error).__name__} after {attempt + 1} attempts")
            else:
                if answer.is_success:
                    return answer
                last = Refused(answer.status_code, _problem(answer))
                if answer.status_code not in _RETRIED:
                    break
                asked = answer.headers.get("retry-after", "")
                wait_s = max(wait_s, float(asked) if asked.isdecimal() else 0.0)
            if attempt < ATTEMPTS - 1:
                self._wait(min(wait_s, WAIT_S_MAX))
        raise last


def _with(path: str, evidence: bool) -> str:
    return f"{path}?evidence=true" if evidence else path


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer.content, type=dict[str, Any])
    except msgspec.DecodeError:
        return {"detail": f"status {answer.status_code} without a problem"}
