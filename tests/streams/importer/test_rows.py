"""Files: CSV in many dresses, damaged ones, and Parquet."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from risk.domain.errors import BadConfiguration
from streams.importer.mapping import Mapping
from streams.importer.rows import LINE_CHARS_MAX, Row, read_rows


def mapping(**file: Any) -> Mapping:
    fields = {name: {"column": name} for name in ("id", "sum")}
    return msgspec.convert(
        {"version": 1, "kind": "payments", "fields": fields, "file": file}, Mapping
    )


def rows(path: Path, **file: Any) -> list[Row]:
    return list(read_rows(path, mapping(**file)))


def write(folder: Path, body: bytes, name: str = "f.csv") -> Path:
    path = folder / name
    path.write_bytes(body)
    return path


def cells(found: list[Row]) -> list[list[Any]]:
    return [list(row.cells) for row in found if not row.problem]


def test_columns_are_found_by_name_and_lines_are_counted(tmp_path: Path) -> None:
    found = rows(write(tmp_path, b"x,sum,id\n1,2,a\n\n3,4,b\n"))
    assert cells(found) == [["a", "2"], ["b", "4"]]
    assert [row.line for row in found] == [2, 4]


@pytest.mark.parametrize(
    "body, file",
    [
        (b"\xef\xbb\xbfid,sum\r\na,2\r\n", {}),
        (b"id;sum\na;2\n", {"delimiter": ";"}),
        (b"id,sum\n'a','2'\n", {"quote": "'"}),
        (b"a,2\n", {"columns": ["id", "sum"]}),
        (b"id,sum\na,2", {}),
        (gzip.compress(b"id,sum\na,2\n"), {}),
    ],
)
def test_dresses_of_csv(tmp_path: Path, body: bytes, file: dict[str, Any]) -> None:
    assert cells(rows(write(tmp_path, body), **file)) == [["a", "2"]]


def test_a_quoted_line_end_is_part_of_the_cell(tmp_path: Path) -> None:
    found = rows(write(tmp_path, b'id,sum\n"a\nb",2\nc,3\n'))
    assert cells(found) == [["a\nb", "2"], ["c", "3"]]
    assert [row.line for row in found] == [3, 4]


def test_latin_1(tmp_path: Path) -> None:
    assert cells(rows(write(tmp_path, b"id,sum\n\xe4,1\n"), encoding="latin-1")) == [["ä", "1"]]


def test_broken_rows_do_not_stop_the_others(tmp_path: Path) -> None:
    body = b"id,sum\na,1,extra\nb\nc,\xff\n" + b"x" * 200_000 + b",5\nd,4\n"
    found = rows(write(tmp_path, body))
    assert [row.line for row in found if row.problem] == [2, 3, 5]
    assert "has 3 columns, the header has 2" in found[0].problem
    assert "field larger" in found[3].problem
    assert cells(found) == [["c", "\udcff"], ["d", "4"]]


def test_a_file_without_line_ends_stays_in_bounds(tmp_path: Path) -> None:
    body = b"id,sum\n" + b"," * (3 * LINE_CHARS_MAX)
    found = rows(write(tmp_path, body))
    assert len(found) == 3
    assert all(row.problem for row in found)


def test_an_empty_file_has_no_columns(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"fields\.id\.column: 'id' is not a column"):
        rows(write(tmp_path, b""))


def test_a_missing_column_names_the_key_and_a_near_one(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"fields\.sum\.column.*did you mean 'sums'"):
        rows(write(tmp_path, b"id,sums\n"))


def test_a_column_that_stands_twice(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="stands twice"):
        rows(write(tmp_path, b"id,sum,sum\n"))


def test_a_cut_gzip_file_gives_its_rows_and_then_says_so(tmp_path: Path) -> None:
    body = gzip.compress(b"id,sum\n" + b"".join(b"%d,1\n" % n for n in range(50_000)))
    found: list[Row] = []
    with pytest.raises(BadConfiguration, match="gzip stream is damaged after line"):
        found.extend(read_rows(write(tmp_path, body[: len(body) // 2]), mapping()))
    assert len(found) > 1000


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="cannot be read"):
        rows(tmp_path / "none.csv")
    with pytest.raises(BadConfiguration, match="is not a Parquet file"):
        rows(tmp_path / "none.parquet")


def test_parquet_reads_only_the_columns_of_the_mapping(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    table = pa.table({"sum": [1.5, None], "x": [1, 2], "id": ["a", "b"]})
    pq.write_table(table, path)
    found = rows(path)
    assert [row.line for row in found] == [1, 2]
    assert cells(found) == [["a", 1.5], ["b", None]]


def test_parquet_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="is not a Parquet file"):
        rows(write(tmp_path, b"id,sum\n", "f.parquet"))


def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = write(tmp_path, b"id,sum\n" + b"a,1\n" * 3000)
    list(read_rows(path, mapping(), lambda done, total: seen.append((done, total))))
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
