"""Writes a history to standard output: simulated traffic, decided and published in memory.

    python -m benchmarks.rebuild_history PAYMENTS ACCOUNTS PER_S

Frames of a length (4 bytes, little-endian) and msgpack rows of topic, partition, time, value.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from features.logs import Log, tail_from
from features.records import facts, records
from features.tails import Tail
from features.vectors import vectors
from risk.bootstrap import new_judgement
from risk.domain.decision import LogPosition
from risk.domain.decoding import canonical
from risk.domain.event import AnyEvent, Payment, Refund, is_scored
from risk.domain.kinds import record_kind
from risk.domain.money import ExchangeRates
from risk.domain.observation import Arrival, Claimed
from risk.engine import ledger_body
from risk.simulator.traffic import Traffic
from risk.tables.load import exchange_rates

START_MS: Final = 1_760_000_000_000
STEP_MS: Final = 1_000
SEED: Final = 11
PARTITIONS: Final = 8
Row = tuple[str, int, int, bytes]


class Logs:
    """Appends as Redis does, and forgets every claim: nobody asks twice here."""

    def __init__(self) -> None:
        self._logs: dict[tuple[str, str], Log] = {}

    def claim(self, arrival: Arrival) -> tuple[tuple[LogPosition, ...], tuple[Tail, ...]]:
        """The places of an event, and what it may see."""
        event = arrival.event
        of = facts(event, record_kind(event), arrival.amount_base)
        places, tails = [], []
        for kind, identifier, record in records(event, of):
            log = self._logs.setdefault((kind, identifier), Log(1, 0, 0, bytearray()))
            sequence = log.following
            place = LogPosition(kind, identifier, 1, 0, sequence, tail_from(sequence))
            # The own record comes behind the tail, as in a store that appends before it reads.
            log.append(1, record)
            seen = log.tail(place)
            assert seen is not None
            places.append(place)
            tails.append(seen)
        return tuple(places), tuple(tails)


def rows(payments: int, accounts: int, per_s: float) -> Iterator[list[Row]]:
    """Batches of published records, until so many payments are decided."""
    rates = exchange_rates(None, "EUR")
    judgement, logs = new_judgement(rates), Logs()
    traffic = Traffic(SEED, per_s, START_MS, accounts)
    now_ms, decided, number = START_MS, 0, 0
    while decided < payments:
        now_ms += STEP_MS
        arrivals = [
            _arrival(event, now_ms, rates)
            for event in traffic.due(now_ms)
            if event.account is not None
        ]
        claims = [logs.claim(one) for one in arrivals]
        scored = [place for place, one in enumerate(arrivals) if is_scored(one.event)]
        matrix, inexact = vectors([(arrivals[place], claims[place][1]) for place in scored])
        judged = judgement.judge(
            [
                (arrivals[place], Claimed(claims[place][0], row, names))
                for place, row, names in zip(scored, matrix, inexact, strict=True)
            ]
        )
        out: list[Row] = []
        for one in judged:
            out.append(("decisions", (number := number + 1) % PARTITIONS, now_ms, one.body))
        for place, arrival in enumerate(arrivals):
            if not is_scored(arrival.event):
                seen = Claimed(claims[place][0], None, ())
                body = ledger_body(arrival, seen, judgement.rates_digest)
                out.append(("ledger", (number := number + 1) % PARTITIONS, now_ms, body))
        decided += len(judged)
        yield out


def _arrival(event: AnyEvent, now_ms: int, rates: ExchangeRates) -> Arrival:
    of, body, fingerprint = canonical(event)
    amount = None
    if isinstance(of, Payment | Refund):
        amount = rates.to_base(of.amount_minor, of.currency)
    return Arrival(of, body, fingerprint, "stream", now_ms, amount)


def main(arguments: Sequence[str]) -> None:
    """Write frames until the reader has enough."""
    payments, accounts, per_s = int(arguments[0]), int(arguments[1]), float(arguments[2])
    encoder = msgspec.msgpack.Encoder()
    for batch in rows(payments, accounts, per_s):
        frame = encoder.encode(batch)
        sys.stdout.buffer.write(len(frame).to_bytes(4, "little") + frame)


if __name__ == "__main__":
    main(sys.argv[1:])
