"""A worker on the real transport whose handler only writes down what it finished.

``python -m tests.support.recording_worker BOOTSTRAP WORLD SLOT FOLDER SECONDS_PER_RECORD``.
Each line of FOLDER/SLOT.log is ``partition first_offset last_offset`` of consecutive
records, written before the batch is confirmed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from risk.domain.clock import SystemClock
from streams.app import WorkerConfig, build_app, lag, quiet_faust, run_app
from streams.batch import Batch
from streams.topics import Topics
from streams.watchdog import Watchdog


class Recorder:
    """Takes its time over each record, and appends to a log."""

    def __init__(self, log: Path, seconds_per_record: float) -> None:
        self._file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._seconds_per_record = seconds_per_record

    async def handle(self, batch: Batch) -> None:
        await asyncio.sleep(self._seconds_per_record * len(batch.records))
        offsets = [record.offset for record in batch.records]
        assert offsets == list(range(offsets[0], offsets[-1] + 1)), "a plain topic has no holes"
        os.write(self._file, f"{batch.partition} {offsets[0]} {offsets[-1]}\n".encode())


async def main(bootstrap: str, world: str, slot: str, folder: Path, pace_s: float) -> int:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    config = WorkerConfig(bootstrap, Topics(world), slot, folder)
    watchdog = Watchdog(SystemClock(), 40.0, lag=lambda: lag(app))
    app = build_app(config, {"events": Recorder(folder / f"{slot}.log", pace_s)}, watchdog)
    return 0 if await run_app(app, watchdog, stop) else 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    quiet_faust()
    address, named, numbered, place, pace = sys.argv[1:]
    sys.exit(asyncio.run(main(address, named, numbered, Path(place), float(pace))))
