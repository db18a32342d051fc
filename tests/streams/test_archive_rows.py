"""Rows hold every byte of a record, and say what its place says of it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.domain.outcome import Outcome
from streams.archive_columns import TYPED, columns_of
from streams.archive_names import ArchiveDamaged, Span, day_of, hole_name, hole_of, part_of
from streams.archive_rows import (
    FORMAT,
    GROUP_ROWS,
    Epochs,
    Meta,
    digest_of,
    encode,
    meta_of,
    open_file,
    records_of,
    table_of,
)
from tests.support.archive_records import EPOCH_1, TOPIC, Timed, decided, marker
from tests.support.stream_records import NOW_MS, decision, event, payment

RAW = st.one_of(st.none(), st.binary(max_size=40))
HEADERS = st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=20)), max_size=3)


def meta(rows: int) -> Meta:
    return Meta(
        format=FORMAT, topic=TOPIC, partition=0, first=0, last=rows - 1, rows=rows, absent=0,
        first_ms=0, last_ms=0, epoch_before=0, known_before=True, epoch_after=0,
        known_after=True, last_offset=rows - 1, last_digest="",
    )  # fmt: skip


def written(topic: str, records: list[Timed]) -> bytes:
    table = table_of(topic, records, Epochs(0, known=True))
    return encode(topic, [table], meta(len(records)))


@given(
    st.sampled_from(sorted(TYPED)),
    st.lists(
        st.tuples(RAW, RAW, HEADERS, st.integers(-1, 2**50), st.sampled_from((0, 1))),
        min_size=1, max_size=8,
    ),
)  # fmt: skip
def test_any_bytes_come_back(
    topic: str,
    raw: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]], int, int]],
) -> None:
    records = [
        Timed(offset, value, TOPIC, 0, at_ms, key, tuple(headers), kind)
        for offset, (key, value, headers, at_ms, kind) in enumerate(raw)
    ]
    back = records_of(open_file(written(topic, records), "file"), TOPIC, "file")
    assert [
        Timed(
            one.offset, one.value, one.topic, one.partition, one.timestamp, one.key, one.headers,
            one.timestamp_type,
        )
        for one in back
    ] == records  # fmt: skip


def test_many_small_tables_become_groups() -> None:
    tables = [
        table_of("decisions", [decided(offset)], Epochs(1, known=True)) for offset in range(20)
    ]
    file = open_file(encode("decisions", tables, meta(20)), "file")
    assert (file.metadata.num_row_groups, file.metadata.num_rows) == (1, 20)
    rows = GROUP_ROWS + 5
    many = [Timed(one, None, TOPIC, 0, headers=EPOCH_1 * (one % 3)) for one in range(rows)]
    file = open_file(written("labels", many), "file")
    assert file.metadata.num_row_groups == 2
    back = list(records_of(file, TOPIC, "file"))
    assert [(one.offset, one.headers) for one in back] == [(m.offset, m.headers) for m in many]


def test_void_is_what_the_last_marker_says() -> None:
    epochs = Epochs(0, known=True)
    records = [
        marker(0, 1),
        decided(1),
        marker(2, 2),
        decided(3),
        decided(4, headers=(("epoch", b"2"),)),
        marker(5, 1),
        decided(6, headers=(("epoch", b"2"),)),
        decided(7, headers=()),
    ]
    judged = [epochs.judge(record) for record in records]
    assert judged == [
        (1, True, False),
        (1, False, False),
        (2, True, False),
        (1, False, True),
        (2, False, False),
        (1, True, False),
        (2, False, False),
        (None, False, False),
    ]
    assert (epochs.epoch, epochs.known) == (2, True)


def test_behind_a_hole_only_what_is_certain_is_said() -> None:
    epochs = Epochs(3, known=False)
    voids = [
        epochs.judge(decided(0, headers=(("epoch", epoch),)))[2]
        for epoch in (b"2", b"3", b"4", b"3")
    ]
    assert voids == [True, None, None, True]
    epochs.judge(marker(4, 4))
    assert epochs.judge(decided(5, headers=(("epoch", b"4"),)))[2] is False


def test_a_number_that_no_column_holds_stays_within_it() -> None:
    epochs = Epochs(0, known=True)
    assert epochs.judge(decided(0, headers=(("epoch", b"9" * 30),)))[0] == 2**63 - 1
    assert epochs.epoch == 2**63 - 1


def test_typed_columns_of_a_decision() -> None:
    raw = decision("p-1", Outcome.BLOCK, merchant="m-1")
    values, problem = columns_of(TYPED["decisions"], raw)
    named = dict(zip((name for name, _ in TYPED["decisions"].fields), values, strict=True))
    assert problem is None
    assert {name: named[name] for name in ("payment_id", "outcome", "score", "door")} == {
        "payment_id": "p-1", "outcome": "block", "score": 0.9, "door": "stream",
    }  # fmt: skip
    assert (named["decided_at_ms"], named["arrived_at_ms"]) == (NOW_MS + 20, NOW_MS)
    assert (named["event_type"], named["amount_minor"], named["merchant"]) == (
        "payment", 1999, "m-1",
    )  # fmt: skip


def test_typed_columns_without_evidence() -> None:
    body = msgspec.json.decode(decision("p-1"))
    del body["evidence"]
    values, problem = columns_of(TYPED["decisions"], msgspec.json.encode(body))
    assert problem is None
    assert values[1] == "p-1"
    assert values[-1] is None


def test_typed_columns_of_labels_and_events() -> None:
    known = "2026-11-03T00:00:00.000Z"
    label = event("label", "l-1", payment_id="p-1", label="chargeback", known_at=known)
    values, problem = columns_of(TYPED["labels"], label)
    assert problem is None
    assert values[:5] == ("main", "l-1", "p-1", "chargeback", NOW_MS + 12 * 60 * 60 * 1000)
    values, problem = columns_of(TYPED["events"], payment("p-2"))
    assert problem is None
    assert values[:2] == ("main", "p-2")


@pytest.mark.parametrize(
    "value, problem",
    [
        (b"", "DecodeError"),
        (b"{}", "ValidationError"),
        (b'{"a":' + b"[" * 100_000, "RecursionError"),
        (decision("p").replace(b"2026-11-02T12:00:00.020Z", b"yesterday"), "ValueError"),
        (decision("p").replace(b'"currency":"EUR"', b'"currency":"XXQ"'), "UNKNOWN_CURRENCY"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_so_and_tells_nothing(value: bytes, problem: str) -> None:
    values, said = columns_of(TYPED["decisions"], value)
    assert said == problem
    assert set(values) == {None}


def test_what_is_no_file_of_ours_is_refused() -> None:
    with pytest.raises(ArchiveDamaged, match="footer cannot be read"):
        open_file(b"nothing", "file")
    body = written("labels", [Timed(0, b"x")])
    with pytest.raises(ArchiveDamaged, match="not one that Weir wrote"):
        meta_of(open_file(body.replace(b"weir.archive", b"else.archive"), "file"), "file")


def test_a_digest_covers_all_of_a_record() -> None:
    one = decided(1)
    others = [
        decided(2, value=one.value), decided(1, at_ms=NOW_MS + 1), decided(1, value=None),
        decided(1, key=None), decided(1, headers=()), decided(1, timestamp_type=1),
    ]  # fmt: skip
    assert len({digest_of(record) for record in [one, *others]}) == 7


def test_names() -> None:
    span = Span(3, 10, 20)
    assert hole_of(hole_name(span)) == span
    assert part_of("day=2026-11-02", f"part-00003-{20:020}-{10:020}-{'0' * 32}.parquet") is None
    assert part_of("2026-11-02", f"part-00003-{10:020}-{20:020}-{'0' * 32}.parquet") is None
    assert day_of(-1) == "1969-12-31"
