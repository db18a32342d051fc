"""The guards of the protocol as they stand in the code, each of which a test can take away."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from features.scripts import Script, protocol_scripts


@dataclass(frozen=True)
class Guards:
    """The same names as in the model of the protocol."""

    claim_once: bool = True
    decide_if_absent: bool = True
    epoch_in_scripts: bool = True
    epoch_of_observe_in_header: bool = True
    markers_void_old_epochs: bool = True
    ack_before_answer: bool = True
    restore_before_open: bool = True
    orphans_to_ledger: bool = True
    watermark_follows_ack: bool = True


# Guard, script, the text that is the guard, the text without it.
_EDITS: Final = (
    ("claim_once", "observe", "if stand[key] then", "if byte(stand[key] or 'C') ~= 67 then"),
    # A decided value has no places, so the time is read at any bytes of its digest.
    (
        "decide_if_absent", "decide", "if state == 'C' then",
        "if state ~= 'R' then local PLACE = state == 'C' and PLACE or 0",
    ),
    ("watermark_follows_ack", "acknowledge", "offset = ARGV[argument + 1]", "offset = '99'"),
)  # fmt: skip
_GATE: Final = "if redis.call('GET', KEYS[1]) ~= EPOCH then"


def scripts_of(epoch: int, prefix: str, guards: Guards) -> dict[str, Script]:
    """The scripts of the protocol without what ``guards`` leave out."""
    texts = {name: one.text for name, one in protocol_scripts(epoch, prefix).items()}
    for guard, name, with_guard, without in _EDITS:
        if not getattr(guards, guard):
            texts[name] = _replaced(texts[name], with_guard, without)
    if not guards.epoch_in_scripts:
        # As a client that loads a missing script again by itself would have it.
        own = "local EPOCH = string.match(redis.call('GET', KEYS[1]) or '0', '%d+')"
        for name, text in texts.items():
            no_gate = _replaced(text, _GATE, "if false then")
            texts[name] = _replaced(no_gate, f"local EPOCH = '{epoch}'", own)
    return {
        name: Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
        for name, text in texts.items()
    }


def _replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"the guard {old!r} has moved; follow it here"
    return text.replace(old, new)
