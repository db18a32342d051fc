"""Labels from a CSV file to the labels topic: all of the file, or nothing where a line is wrong.

The file is read twice, line by line: first every line is checked, then every label is sent.
Columns: ``payment_id``, ``label``, ``known_at``; also ``id``, ``occurred_at``, ``tenant`` and the
entities, where the file has them. A label without an id takes its payment's, so sending the same
file again changes nothing.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from risk.domain.clock import Clock
from risk.domain.decoding import decode_event, encode_event
from risk.domain.errors import BadConfiguration, InvalidEvent
from risk.domain.event import Label
from risk.domain.limits import FUTURE_MS_MAX
from streams.importer.merge import Timed
from streams.importer.send import send_timed
from streams.topics import Topics

NEEDED: Final = ("payment_id", "label", "known_at")
COLUMNS: Final = (
    *NEEDED, "id", "occurred_at", "tenant", "account", "card", "merchant", "beneficiary",
    "device", "ip",
)  # fmt: skip
SHOWN: Final = 20
LINE_CHARS_MAX: Final = 16 * 1024


class RejectedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that is no label: its number in the file (the header is 1), field, code, reason."""

    line: int
    field: str
    code: str
    reason: str


class LabelsReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file. ``by_label`` counts good lines; ``sent`` is 0 where one is bad."""

    file: str
    world: str
    rows: int
    by_label: dict[str, int]
    rejected: int
    first_rejected: list[RejectedLine]
    sent: int


def check_file(path: Path, world: str, now_ms: int | None) -> LabelsReport:
    """Read every line; nothing is sent. ``now_ms`` None allows labels of any time.

    Raises BadConfiguration where the file cannot be read or its header is not one.
    """
    rows, rejected = 0, 0
    by_label: Counter[str] = Counter()
    first: list[RejectedLine] = []
    for found in _lines(path, now_ms):
        rows += 1
        if isinstance(found, Label):
            by_label[found.label] += 1
        else:
            rejected += 1
            first += [found] if len(first) < SHOWN else []
    return LabelsReport(
        file=path.name, world=world, rows=rows, by_label=dict(sorted(by_label.items())),
        rejected=rejected, first_rejected=first, sent=0,
    )  # fmt: skip


async def send_file(path: Path, checked: LabelsReport, bootstrap: str, clock: Clock) -> int:
    """Send the labels of a file without rejected lines to the labels topic; how many.

    Raises Unavailable where Kafka does not answer; send the file again then.
    """
    timed = (
        Timed(label.known_at_ms, encode_event(label), label)
        for label in _lines(path, None)
        if isinstance(label, Label)
    )
    return await send_timed(timed, Topics(checked.world), bootstrap, clock)


def _lines(path: Path, now_ms: int | None) -> Iterator[Label | RejectedLine]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_short(file), strict=True)
            header = next(reader, [])
            _check_header(path, header)
            for cells in reader:
                if cells:
                    yield _label(header, cells, reader.line_num, now_ms)
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadConfiguration(f"{path} is not UTF-8: {error.reason}") from None
    except csv.Error as error:
        raise BadConfiguration(f"{path} line {reader.line_num}: {error}") from None


def _short(lines: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_CHARS_MAX:
            raise csv.Error(f"over {LINE_CHARS_MAX} characters; is this a CSV file? ({number})")
        yield line


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise BadConfiguration(
            f"{path} line 1: there is no column {missing[0]!r}; a file of labels has"
            f" {', '.join(NEEDED)}"
        )
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or len(set(header)) < len(header):
        raise BadConfiguration(
            f"{path} line 1: column {(unknown or header)[0]!r} is unknown or there twice; use some"
            f" of {', '.join(COLUMNS)}"
        )


def _label(
    header: list[str], cells: list[str], line: int, now_ms: int | None
) -> Label | RejectedLine:
    if len(cells) != len(header):
        reason = f"{len(cells)} fields, the header has {len(header)}"
        return RejectedLine(line=line, field="", code="MISSING_FIELD", reason=reason)
    told = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
    whole = {"type": "label", "id": told.get("payment_id"), "occurred_at": told.get("known_at")}
    whole = {name: cell for name, cell in whole.items() if cell is not None}
    try:
        event = decode_event(msgspec.json.encode(whole | told)).event
        assert isinstance(event, Label)
        if now_ms is not None and event.known_at_ms > now_ms + FUTURE_MS_MAX:
            raise InvalidEvent("INVALID_TIME", "more than 5 minutes in the future", "/known_at")
    except InvalidEvent as error:
        field = error.field.removeprefix("/")
        # What a line does not have comes from the columns beside, so those are named.
        if field not in told:
            field = {"id": "payment_id", "occurred_at": "known_at"}.get(field, field)
        return RejectedLine(line=line, field=field, code=error.code, reason=error.reason)
    return event
