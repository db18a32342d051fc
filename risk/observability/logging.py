"""JSON log lines on stderr, through an allow-list: what is not listed is not written.

Payments carry personal data, so a line holds codes, counts and names of parts, never values
of an event. A field outside the list is dropped and named, so that it is missed in tests.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

from risk.domain.clock import Clock
from risk.domain.times import rfc3339

ALLOWED_FIELDS: Final = frozenset(
    (
        "event level at logger process version world address host port pid part code error reason "
        "topic partition offset epoch count batch seconds ms status method route scope key_id "
        "tenant outcome door rule digest model book catalogue alias state attempt path dropped "
        "group worker_slot records markers orphans signal exit_code sha256 "
        "kind number author"
    ).split()
)
TEXT_CHARS_MAX = 400
# Libraries whose everyday lines say nothing to an operator; their warnings are kept.
CHATTY: Final = ("aiokafka", "alembic", "httpx", "uvicorn", "faust", "mode", "mlflow")
_CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_EMAIL = re.compile(r"[^\s@\"'<>()=,;]+@[^\s@\"'<>()=,;]+\.[A-Za-z]{2,}")
_KEY = re.compile(r"weir_[A-Za-z0-9_-]{20,}")
_ADDRESS_PASSWORD = re.compile(r"(://[^\s/:@]*):[^\s/@]+@")


def clean(text: str) -> str:
    """``text`` without what looks like a card number, an e-mail address, a key or a password.

    >>> clean("4111 1111 1111 1111 of a@b.example at redis://x:secret@host")
    '[number] of [e-mail] at redis://x:[secret]@host'
    """
    text = _ADDRESS_PASSWORD.sub(r"\1:[secret]@", text)
    text = _KEY.sub("[key]", text)
    text = _CARD.sub("[number]", text)
    # A password is masked before this, so an address of a service keeps its host.
    text = _EMAIL.sub(lambda hit: hit.group(0) if "]@" in hit.group(0) else "[e-mail]", text)
    return text[:TEXT_CHARS_MAX]


def allow_listed(
    _logger: object, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A structlog processor: keep listed fields, clean their text, name what was dropped."""
    kept: dict[str, Any] = {}
    dropped = []
    for name, value in line.items():
        if name not in ALLOWED_FIELDS:
            dropped.append(name)
        elif isinstance(value, bool | float) or value is None:
            kept[name] = value
        elif isinstance(value, int):
            # An all-digit card number must not pass as an integer either.
            kept[name] = value if abs(value) < 10**12 or name in ("at", "offset") else "[number]"
        else:
            kept[name] = clean(str(value))
    if dropped:
        kept["dropped"] = clean(" ".join(sorted(dropped)))
    return kept


def configure_logging(
    clock: Clock, process: str, stream: TextIO | None = None, level: str = "INFO"
) -> None:
    """Send structlog's and the standard library's lines through the allow-list to ``stream``.

    Exceptions are written as their class and code only: their text may quote an event.
    """

    def stamp(
        _logger: object, _method: str, line: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        line["at"] = rfc3339(clock.now_ms())
        line["process"] = process
        return line

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        stamp,
        _exception_class,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                allow_listed,
                structlog.processors.JSONRenderer(sort_keys=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for library in CHATTY:
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))


def _exception_class(
    _logger: object, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    found = line.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    record = line.get("_record")
    if error is None and isinstance(record, logging.LogRecord) and record.exc_info:
        error = record.exc_info[1]
    if isinstance(error, BaseException):
        line["error"] = type(error).__name__
        line["code"] = getattr(error, "code", "")
    if isinstance(record, logging.LogRecord):
        record.exc_info = record.exc_text = None
    return line
