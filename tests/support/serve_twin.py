"""A process that serves the HTTP door over the twin engine: prints its address and a key."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from api.app import build_app
from api.server import address_of, bind, serve
from risk.domain.clock import SystemClock
from risk.keys import SCOPES
from risk.settings import Settings
from risk.storage.api_keys import create_key
from tests.support.engine_twin import TwinRuntime


def main(home: Path, delay_s: float) -> None:
    """Serve until a signal."""
    settings = Settings(home=home, http_deadline_ms=5_000)
    clock = SystemClock()
    _, token = create_key(settings, name="test", scopes=SCOPES, now_ms=clock.now_ms())
    runtime = TwinRuntime(clock)
    runtime.engine.delay_s = delay_s
    with bind("127.0.0.1", 0, exposed=False) as sock:
        app = build_app(runtime, settings)
        print(address_of(sock), token, flush=True)
        asyncio.run(serve(app, sock))
    print("closed", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
