"""How fast vectors are made again from history: from published bytes to the full catalogue."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Final

import msgspec
import typer

from benchmarks import common
from features.catalogue import FEATURE_NAMES
from features.proof.bits import same_bits, served_vectors
from features.proof.history import Extent, HistoryRecord, Span
from features.proof.rebuilder import Rebuilder, warm
from features.truth import TruthTopic
from risk.collector import settle
from risk.domain.event import AnyEvent, Payment, Refund
from risk.tables.load import exchange_rates

CHUNK: Final = 2048
PARTITIONS: Final = 8
FAR: Final = 1 << 40  # the end of a partition that is still written
_DEFAULT: Final = (100_000, 1_000_000, 3_000_000)


def main(
    payments: Annotated[
        list[int] | None, typer.Option(help="History sizes; again for more.")
    ] = None,
    accounts: Annotated[int, typer.Option(min=10)] = 50_000,
    rate: Annotated[float, typer.Option(help="Simulated payments a second.")] = 100.0,
    report: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
) -> None:
    """Rebuild the vectors of histories of several sizes, on one core.

    Keys: machine, features, rows: payments, per_s (payments a CPU second, from the bytes of the
    topics on), cpu_us (CPU time of one payment), proven_per_s (the same, compared with the
    served vectors too), records, records_per_s, equal (vectors equal to the served ones, bit
    for bit), rss_mb (of the rebuilding process).
    """
    warm()
    settle()
    rows = []
    for count in payments or _DEFAULT:
        common.say(f"{count} payments ...")
        rows.append(_measured(count, accounts, rate))
    found = {"machine": common.machine(), "features": len(FEATURE_NAMES), "rows": rows}
    columns = ("payments", "per_s", "cpu_us", "proven_per_s", "records_per_s", "rss_mb")
    common.show(
        "Rebuilding vectors on one core",
        columns,
        [[f"{row[name]:.0f}" for name in columns] for row in rows],
    )
    common.write_report(report, found)
    if any(row["equal"] != row["payments"] for row in rows):
        raise typer.Exit(1)


def _measured(payments: int, accounts: int, rate: float) -> dict[str, float]:
    """One history, made by another process while this one reads it."""
    rates = exchange_rates(None, "EUR")

    def to_base(event: AnyEvent, digest: str) -> int | None:
        if isinstance(event, Payment | Refund):
            return rates.to_base(event.amount_minor, event.currency)
        return None

    topics: tuple[TruthTopic, ...] = ("decisions", "ledger")
    spans = tuple(Span(topic, one, 0, FAR) for topic in topics for one in range(PARTITIONS))
    rebuilder = Rebuilder(Extent(spans), to_base, lambda _: True)
    command = [sys.executable, "-m", "benchmarks.rebuild_history", str(payments), str(accounts)]
    spent_s, compared_s, made, equal = 0.0, 0.0, 0, 0
    with subprocess.Popen([*command, str(rate)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for chunk in _chunks(writer.stdout):
            began_s = time.process_time()
            for batch in rebuilder.take(chunk):
                matrix, _ = rebuilder.vectors(batch)
                made_s = time.process_time()
                spent_s += made_s - began_s
                made += len(batch.ready)
                same = same_bits(served_vectors(batch.ready), matrix) if batch.ready else None
                equal += int(same.all(axis=1).sum()) if same is not None else 0
                began_s = time.process_time()
                compared_s += began_s - made_s
    assert not rebuilder.tally.damaged, rebuilder.tally.damaged[0]
    return {
        "payments": made,
        "per_s": made / spent_s,
        "cpu_us": 1e6 * spent_s / made,
        "proven_per_s": made / (spent_s + compared_s),
        "records": rebuilder.tally.records,
        "records_per_s": rebuilder.tally.records / spent_s,
        "equal": equal,
        "rss_mb": _rss_mb(),
    }


def _chunks(source: IO[bytes]) -> Iterator[list[HistoryRecord]]:
    offsets: dict[tuple[str, int], int] = defaultdict(int)
    decoder = msgspec.msgpack.Decoder(list[tuple[str, int, int, bytes]])
    held: list[HistoryRecord] = []
    while head := source.read(4):
        for topic, partition, at_ms, value in decoder.decode(
            source.read(int.from_bytes(head, "little"))
        ):
            offset = offsets[topic, partition]
            offsets[topic, partition] = offset + 1
            held.append(
                HistoryRecord(
                    "decisions" if topic == "decisions" else "ledger",
                    partition,
                    offset,
                    at_ms,
                    1,
                    False,
                    value,
                )
            )
        while len(held) >= CHUNK:
            yield held[:CHUNK]
            del held[:CHUNK]
    yield held


def _rss_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    common.run(main)
