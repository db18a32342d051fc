"""Tables of exchange rates: strict, for one base, and never lost while records name them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from risk.domain.errors import BadConfiguration
from risk.domain.money import ExchangeRates
from risk.tables.load import RateTables, exchange_rates


def table(rate_e9: int) -> ExchangeRates:
    return ExchangeRates(base="EUR", as_of="2026-01-01", source="test", rates_e9={"USD": rate_e9})


def test_the_shipped_table_is_for_euros() -> None:
    rates = exchange_rates(None, "EUR")
    assert rates.to_base(100, "EUR") == 100
    with pytest.raises(BadConfiguration, match="base EUR, WEIR_BASE_CURRENCY is USD"):
        exchange_rates(None, "USD")


def test_the_operators_own_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    path.write_bytes(msgspec.json.encode(table(900_000_000)))
    assert exchange_rates(path, "EUR") == table(900_000_000)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"base":"EUR"}', None], ids=str)
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, body: bytes | None) -> None:
    path = tmp_path / "rates.json"
    if body is not None:
        path.write_bytes(body)
    with pytest.raises(BadConfiguration, match=r"rates\.json"):
        exchange_rates(path, "EUR")


def test_old_tables_are_found_again_by_their_digest(tmp_path: Path) -> None:
    old, new = table(900_000_000), table(910_000_000)
    RateTables(tmp_path, old)
    RateTables(tmp_path, new)
    tables = RateTables(tmp_path, new)
    for one in (old, new, old):
        assert tables.of(one.digest()) == one
    folder = tmp_path / "tables" / "rates"
    assert {path.stem for path in folder.iterdir()} == {old.digest(), new.digest()}


def test_a_missing_table_is_bad_configuration(tmp_path: Path) -> None:
    tables = RateTables(tmp_path, table(900_000_000))
    with pytest.raises(BadConfiguration, match="copy the table there"):
        tables.of("0" * 64)


def test_a_changed_table_is_not_used(tmp_path: Path) -> None:
    old, new = table(900_000_000), table(910_000_000)
    RateTables(tmp_path, old)
    path = tmp_path / "tables" / "rates" / f"{old.digest()}.json"
    path.write_bytes(msgspec.json.encode(new))
    with pytest.raises(BadConfiguration, match="were changed"):
        RateTables(tmp_path, new).of(old.digest())
    path.write_bytes(b"{")
    with pytest.raises(BadConfiguration, match="exchange rates"):
        RateTables(tmp_path, new).of(old.digest())
