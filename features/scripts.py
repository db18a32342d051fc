"""The Lua scripts, with what fences them written into their text.

Scripts of the protocol contain the epoch: after a restart of Redis their old hashes answer
NOSCRIPT for ever, because only a recovery loads scripts, and only those of its new epoch.
They contain the world's prefix as well, since another world on the same server may come to
the same epoch and load its scripts first.
Scripts of a recovery contain its fencing token in the same way.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from features.logs import HEADER_BYTES, PLACE_BYTES
from features.records import AMOUNT_UNKNOWN, RECORD_BYTES
from features.rollup_kernel import DAY_MS, HOUR_MS
from features.rollups import CELL_BYTES, GAP_BYTES, ROLLUP_HEADER_BYTES
from risk.domain.kinds import HOLE
from risk.domain.limits import (
    HOUR_TILES_MS,
    LOG_SLACK,
    LOG_TTL_S,
    RECEIPT_TTL_S,
    TAIL_CAP,
    TILES_KEPT_MS,
)

PROTOCOL: Final = ("observe", "decide", "acknowledge", "pending", "settle")
RECOVERY: Final = (
    "recovery_hold",
    "recovery_release",
    "recovery_close",
    "recovery_progress",
    "recovery_restore",
    "recovery_settle",
    "recovery_open",
)
_CONSTANTS: Final = (
    f"local CAP, SLACK, HEADER = {TAIL_CAP}, {LOG_SLACK}, {HEADER_BYTES}\n"
    f"local RECORD, PLACE = {RECORD_BYTES}, {PLACE_BYTES}\n"
    f"local LOG_TTL_S, RECEIPT_TTL_S = {LOG_TTL_S}, {RECEIPT_TTL_S}\n"
)
_ROLLUP_CONSTANTS: Final = (
    f"local HOUR_MS, DAY_MS = {HOUR_MS}, {DAY_MS}\n"
    f"local HOUR_TILES_MS, TILES_KEPT_MS = {HOUR_TILES_MS}, {TILES_KEPT_MS}\n"
    f"local ROLLUP_HEADER, GAP, CELL = {ROLLUP_HEADER_BYTES}, {GAP_BYTES}, {CELL_BYTES}\n"
    f"local HOLE, AMOUNT_UNKNOWN = {HOLE}, {AMOUNT_UNKNOWN}\n"
)
_FOLDS: Final = "observe"  # the script that trims logs, and so folds what it cuts off


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text and the hash under which Redis knows it."""

    name: str
    text: str
    sha: str


def protocol_scripts(epoch: int, prefix: str) -> dict[str, Script]:
    """The scripts of the protocol for one epoch of the world with ``prefix``, by name."""
    head = f"local EPOCH = '{epoch}'\n-- world {prefix.encode().hex()}\n{_CONSTANTS}"
    return {name: _script(name, head) for name in PROTOCOL}


def recovery_scripts(token: str) -> dict[str, Script]:
    """The scripts of one recovery, by name. ``token`` is hexadecimal."""
    if not token.isalnum():
        raise ValueError("a fencing token has only letters and digits")
    return {name: _script(name, f"local TOKEN = '{token}'\n") for name in RECOVERY}


def _script(name: str, head: str) -> Script:
    text = head + (_ROLLUP_CONSTANTS + _source("rollup") if name == _FOLDS else "") + _source(name)
    # SHA-1 is Redis's name for a script, not a protection.
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def _source(name: str) -> str:
    return files("features").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
