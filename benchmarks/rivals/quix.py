"""Quix Streams doing nothing for each event, as its documentation shows it.

Runs in the rivals' environment: it imports nothing of Weir.
"""

from __future__ import annotations

import argparse
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from quixstreams import Application

NOTE_EVERY_S = 0.01


class Counter:
    """Events done so far, for whoever measures: a file of "monotonic ns, count"."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
        self.count = 0

    def follow(self) -> None:
        """Note it again and again."""
        while True:
            os.pwrite(self._file, f"{time.monotonic_ns():020d} {self.count:020d}".encode(), 0)
            time.sleep(NOTE_EVERY_S)

    def take(self, _event: Any) -> None:
        """Count one."""
        self.count += 1


def main() -> None:
    """Consume until SIGTERM."""
    parser = argparse.ArgumentParser()
    for option in ("--kafka", "--topic", "--group", "--folder"):
        parser.add_argument(option, required=True)
    given = parser.parse_args()
    counter = Counter(Path(given.folder) / f"{given.group}.count")
    threading.Thread(target=counter.follow, daemon=True).start()
    app = Application(
        broker_address=given.kafka,
        consumer_group=given.group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        state_dir=str(Path(given.folder) / given.group),
        loglevel=logging.WARNING,
    )
    events = app.topic(given.topic, value_deserializer="json", key_deserializer="bytes")
    app.dataframe(events).update(counter.take)
    app.run()


if __name__ == "__main__":
    main()
