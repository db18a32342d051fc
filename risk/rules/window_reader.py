"""The text of a window back to what it asks for: evidence and examples name windows by text."""

from __future__ import annotations

from functools import lru_cache

from risk.rules.parser import parse
from risk.rules.syntax import Refused, Window
from risk.rules.windows import WINDOW_SIGNATURE, WindowKey, key_of


@lru_cache(maxsize=4096)
def read_window(text: str) -> WindowKey:
    """The window of this text. Raises ValueError for any other text."""
    problems: list[str] = []
    try:
        node = parse(text)
    except Refused as refused:
        raise ValueError(f"{text!r} is no window: {refused}") from None
    if not isinstance(node, Window):
        raise ValueError(f"{text!r} is no window: expected {WINDOW_SIGNATURE}")
    key = key_of(node, lambda _at, message, expected, _word: problems.append(message + expected))
    if key is None:
        raise ValueError(f"{text!r} is no window: {'; '.join(problems)}")
    return key
