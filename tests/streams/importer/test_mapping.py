"""Mappings: a wrong one is refused with the key and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from risk.domain.errors import BadConfiguration
from streams.importer.mapping import duration_ms, load_mapping

GOOD = """
version = 1
kind = "payments"
[fields.id]
column = "id"
[fields.occurred_at]
column = "at"
time_zone = "Europe/Vienna"
[fields.account]
column = "who"
prefix = "u-"
[fields.amount_minor]
column = "sum"
unit = "major"
[fields.currency]
constant = "EUR"
"""
TYPE = "[fields.type]\nconstant='login'"
FLAG = "[labels]\ncolumn='f'\nknown_after='1d'"
SOON = "[labels]\nalways=true\nknown_after='soon'"
AFTER = "[outcomes]\ncolumn='e'\nafter='x'"


def write(folder: Path, text: str) -> Path:
    path = folder / "mapping.toml"
    path.write_text(text)
    return path


def test_a_good_mapping(tmp_path: Path) -> None:
    mapping = load_mapping(write(tmp_path, GOOD), "payments")
    assert list(mapping.columns()) == ["id", "at", "who", "sum"]
    assert mapping.fields["account"].prefix == "u-"


def test_the_digest_is_over_the_meaning(tmp_path: Path) -> None:
    first = load_mapping(write(tmp_path, GOOD)).digest()
    assert load_mapping(write(tmp_path, "# words\n" + GOOD)).digest() == first
    assert load_mapping(write(tmp_path, GOOD.replace("u-", "v-"))).digest() != first


@pytest.mark.parametrize(
    "old, new, key, fix",
    [
        ('column = "id"', "", "fields.id", "exactly one of column and constant"),
        ('column = "id"', 'column = "id"\nconstant = "x"', "fields.id", "exactly one"),
        ("[fields.id]", "[fields.idd]", "fields.idd", "did you mean 'id'"),
        ("[fields.currency]", "[fields.ip]", "fields.currency", "give it a column"),
        ('unit = "major"', "", "fields.amount_minor.unit", "say 'major'"),
        ('unit = "major"', 'unit = "euro"', "fields.amount_minor.unit", "Invalid enum value"),
        ('prefix = "u-"', 'unit = "minor"', "fields.account", "amount_minor only"),
        ('prefix = "u-"', 'time_zone = "UTC"', "fields.account", "for times only"),
        ('prefix = "u-"', 'type = "number"', "fields.account.type", "attributes only"),
        ("Europe/Vienna", "Europe/Wien", "fields.occurred_at.time_zone", "IANA"),
        ("Europe/Vienna", "../etc/passwd", "fields.occurred_at.time_zone", "IANA"),
        ('prefix = "u-"', 'thousands = "."', "fields.account.thousands", "differ"),
        ('prefix = "u-"', "prefix = 7", "fields.account.prefix", "Expected `str`"),
        ('prefix = "u-"', 'preffix = "u"', "fields.account", "unknown field `preffix`"),
        ("version = 1", "version = 2", "version", "Invalid enum value"),
        ('kind = "payments"', 'kind = "labels"', "fields.known_at", "is missing"),
        ("version = 1", "version = 1\nnegative_amounts = 'drop'", "negative_amounts", "enum"),
        ("[fields.id]", f"{TYPE}\n[fields.id]", "fields.type", "withdrawal"),
        ("[fields.id]", f"{FLAG}\n[fields.id]", "labels.fraud", "list"),
        ("[fields.id]", "[labels]\nknown_after='1d'\n[fields.id]", "labels", "always = true"),
        ("[fields.id]", f"{SOON}\n[fields.id]", "known_after", "14d"),
        ("[fields.id]", f"{AFTER}\n[fields.id]", "outcomes.after", "200ms"),
        ("version = 1", "version = 1 = 2", "", "is not TOML"),
    ],
)  # fmt: skip
def test_a_wrong_one_names_key_and_fix(
    tmp_path: Path, old: str, new: str, key: str, fix: str
) -> None:
    assert old in GOOD
    with pytest.raises(BadConfiguration) as caught:
        load_mapping(write(tmp_path, GOOD.replace(old, new, 1)))
    assert key in str(caught.value)
    assert fix in str(caught.value)


def test_a_mapping_for_another_command_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="run `weir import payments`"):
        load_mapping(write(tmp_path, GOOD), "labels")


def test_row_rules_are_for_payments_only(tmp_path: Path) -> None:
    text = """
version = 1
kind = "labels"
fields.payment_id.column = "p"
fields.label.constant = "chargeback"
fields.known_at.column = "t"
labels = { always = true, known_after = "1d" }
"""
    with pytest.raises(BadConfiguration, match="labels: only a mapping of kind 'payments'"):
        load_mapping(write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="cannot be read"):
        load_mapping(tmp_path / "none.toml")


def test_durations() -> None:
    assert [duration_ms(text) for text in ("1s", "5 m", "2h", "", "-1d", "1.5d")] == [
        1000, 300_000, 7_200_000, None, None, None,
    ]  # fmt: skip


def test_the_mappings_of_the_guide_are_good() -> None:
    folder = Path(__file__).parents[3] / "docs" / "guide" / "mappings"
    paths = sorted(folder.glob("*.toml"))
    assert len(paths) >= 2
    for path in paths:
        load_mapping(path)
