"""The decisions of a history that stand, each payment once, and the words about payments."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, NamedTuple

import msgspec

from features.proof.history import History
from features.proof.standing import standing
from risk.backtest.block import id_key
from risk.domain.decision import Decision, decode_decision
from risk.domain.times import parse_rfc3339
from streams.backtest_read import Gathered

CHUNK: Final = 512
Progress = Callable[[int], None]


class Decided(NamedTuple):
    """A standing decision with its exact bytes."""

    decision: Decision
    body: bytes


async def decided(
    history: History,
    times: tuple[int, int],
    found: Gathered,
    progress: Progress = lambda records: None,
) -> AsyncGenerator[list[Decided], None]:
    """Decisions of ``from_ms <= decided_at < to_ms`` in parts of about ``CHUNK``, in their order.

    ``found`` takes every label that history has, when the last arrival was, and what was left out:
    void and damaged records, fallbacks, decisions without evidence. It is whole at the end.
    """
    met: set[int] = set()
    part: list[Decided] = []
    async with aclosing(standing(history)) as chunks:
        async for chunk in chunks:
            found.leave_out("void", chunk.void)
            for record in chunk.records:
                if record.topic == "ledger":
                    found.note(record.value)
                elif (one := _decided(record.value, times, found, met)) is not None:
                    part.append(one)
            progress(chunk.read)
            if len(part) >= CHUNK:
                yield part
                part = []
    if part:
        yield part


def _decided(body: bytes, times: tuple[int, int], found: Gathered, met: set[int]) -> Decided | None:
    try:
        decision = decode_decision(body)
        decided_ms = parse_rfc3339(decision.decided_at)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        found.leave_out("damaged")
        return None
    found.until_ms = max(found.until_ms, decided_ms)
    if not times[0] <= decided_ms < times[1]:
        return None
    if not decision.authoritative or "fallback" in decision.degraded:
        found.leave_out("fallback")
        return None
    if decision.evidence is None:
        found.leave_out("without_evidence")
        return None
    key = id_key(decision.tenant, decision.payment_id)
    if key in met:
        return None
    met.add(key)
    return Decided(decision, body)
