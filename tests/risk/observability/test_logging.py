"""Log lines hold what is listed, and nothing that looks like personal data."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from risk.domain.clock import ManualClock
from risk.domain.errors import InvalidEvent
from risk.observability.logging import CHATTY, clean, configure_logging


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    text = io.StringIO()
    configure_logging(ManualClock(1_500), "api", text)
    yield text
    root.handlers[:] = handlers
    root.setLevel(level)
    for library in CHATTY:
        logging.getLogger(library).setLevel(logging.NOTSET)
    structlog.reset_defaults()


def lines(text: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_and_process(stream: io.StringIO) -> None:
    structlog.get_logger("weir.test").info("started", port=8080, part="api")
    (line,) = lines(stream)
    assert line == {
        "event": "started", "port": 8080, "part": "api", "level": "info",
        "logger": "weir.test", "at": "1970-01-01T00:00:01.500Z", "process": "api",
    }  # fmt: skip


def test_what_is_not_listed_is_dropped_and_named(stream: io.StringIO) -> None:
    structlog.get_logger().info("seen", account="acc_1", email="a@b.example", count=2)
    (line,) = lines(stream)
    assert line["dropped"] == "account email"
    assert line["count"] == 2
    assert "acc_1" not in stream.getvalue()


def test_canaries_do_not_pass(stream: io.StringIO) -> None:
    log = structlog.get_logger()
    log.warning("bad 4111-1111-1111-1111", reason="from jo@shop.example", count=4111111111111111)
    logging.getLogger("other.library").error("card %s", "4111 1111 1111 1111")
    written = stream.getvalue()
    for canary in ("4111", "jo@", "shop.example"):
        assert canary not in written
    assert len(lines(stream)) == 2


def test_an_exception_is_its_class_and_code(stream: io.StringIO) -> None:
    try:
        raise InvalidEvent("CARD_NUMBER", "the value acc-secret", "/account")
    except InvalidEvent:
        structlog.get_logger().exception("refused")
        logging.getLogger("lib").exception("refused too")
    for line in lines(stream):
        assert line["error"] == "InvalidEvent"
        assert line["code"] == "CARD_NUMBER"
    assert "acc-secret" not in stream.getvalue()


def test_only_warnings_of_chatty_libraries_are_written(stream: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request")
    logging.getLogger("aiokafka.consumer").warning("no broker")
    assert [line["event"] for line in lines(stream)] == ["no broker"]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("weir_" + "a" * 43, "[key]"),
        ("postgresql://weir:pw@db/weir", "postgresql://weir:[secret]@db/weir"),
        ("version 20260101", "version 20260101"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
