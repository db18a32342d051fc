"""The archive as tables for analysts: DuckDB views with typed columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import duckdb

from streams.archive_columns import TYPED
from streams.archive_rows import schema_of
from streams.archive_store import listing

_TYPES: Final = {
    "int8": "TINYINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "binary": "BLOB",
    "headers": "STRUCT(name VARCHAR, value BLOB)[]",
}
_ONE_EACH: Final = """\
CREATE OR REPLACE VIEW decided AS
SELECT * FROM decisions
WHERE authoritative AND NOT marker AND void IS NOT TRUE
QUALIFY row_number() OVER (PARTITION BY tenant, payment_id ORDER BY partition, "offset") = 1;
"""


def history(root: Path) -> duckdb.DuckDBPyConnection:
    """A connection in memory with the views of ``history_sql``."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(history_sql(root))
    return connection


def history_sql(root: Path) -> str:
    """DuckDB statements that make the views ``decisions``, ``ledger``, ``labels``, ``events``.

    Their rows are records: markers, void and repeated ones too. ``decided`` has one row for
    each payment, its decision that stands. Times are given twice: ``decided_at_ms`` and, as a
    TIMESTAMP in UTC, ``decided_at``. The views name the files that stand now; a merge
    replaces files, so make them again then. Digests are left to `weir archive verify`.
    """
    return "\n".join([*(_view(root, topic) for topic in TYPED), _ONE_EACH])


def _view(root: Path, topic: str) -> str:
    names = schema_of(topic).names
    moments = "".join(
        f', epoch_ms("{name}") AS "{name.removesuffix("_ms")}"'
        for name in names
        if name.endswith("_ms")
    )
    return f"CREATE OR REPLACE VIEW {topic} AS\nSELECT *{moments}\nFROM {_source(root, topic)};\n"


def _source(root: Path, topic: str) -> str:
    parts = listing(root / topic).standing().parts
    if not parts:
        columns = ", ".join(f'NULL::{_type(field)} AS "{field.name}"' for field in schema_of(topic))
        return f"(SELECT {columns}, NULL::DATE AS day WHERE false)"
    files = ",\n  ".join(_quoted(str(root / topic / part.path)) for part in parts)
    return f"read_parquet([\n  {files}\n], hive_partitioning = true, union_by_name = true)"


def _type(field: Any) -> str:
    if field.name in _TYPES:
        return _TYPES[field.name]
    kind = str(field.type)
    return "VARCHAR[]" if kind.startswith("list") else _TYPES.get(kind, "VARCHAR")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
