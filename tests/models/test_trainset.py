"""Training sets from histories of events: the rows, their labels, the manifest, bad input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from features.catalogue import FEATURE_NAMES, catalogue_digest
from models.dataset import observe
from models.trainset import MANIFEST_FILE, ROWS_FILE, Manifest, open_trainset
from models.trainset_events import Asked, Source, TruthLike, write_from_events
from models.trainset_writer import Labels, making
from risk.domain.errors import AlreadyRunning, BadConfiguration
from risk.domain.event import AnyEvent, Label, Payment
from risk.domain.times import from_ms, rfc3339
from risk.simulator.world import World
from risk.tables.load import exchange_rates

RATES = exchange_rates(None, "EUR")
START_MS = 1_735_689_600_000
DAY_MS = 86_400_000
WHOLE = Asked(None, None, 0)


def simulated(days: float = 12.0, accounts: int = 60) -> Source:
    world = World(3, accounts, START_MS)

    def events() -> Iterator[TruthLike]:
        for event in world.events(days):
            yield TruthLike(event, world.truth.scenario(event.id))

    return Source({"kind": "simulated", "seed": 3}, events)


def of(*events: AnyEvent) -> Source:
    return Source({"kind": "test"}, lambda: [TruthLike(event, None) for event in events])


def payment(number: int, at_ms: int, **fields: Any) -> Payment:
    return Payment(
        id=f"pay_{number}",
        occurred_at=from_ms(START_MS + at_ms),
        account="acc_1",
        amount_minor=100 + number,
        currency=fields.pop("currency", "EUR"),
        **fields,
    )


def label(number: int, payment_number: int, word: Any, known_ms: int) -> Label:
    at = from_ms(START_MS + known_ms)
    return Label(
        id=f"lab_{number}", occurred_at=at, known_at=at, payment_id=f"pay_{payment_number}",
        label=word, account="acc_1",
    )  # fmt: skip


def write(source: Source, out: Path, asked: Asked = WHOLE) -> Manifest:
    return write_from_events(source, asked, RATES, out)


def test_rows_are_the_vectors_that_training_in_memory_sees(tmp_path: Path) -> None:
    source = simulated()
    manifest = write(source, tmp_path / "set", Asked(None, None, 5 * DAY_MS))
    samples = observe((one.event for one in source.events()), RATES)
    mine = open_trainset(tmp_path / "set").samples()
    assert manifest.rows == len(samples) == len(mine) > 500
    assert mine.matrix.tobytes() == samples.matrix.tobytes()
    assert mine.time_ms.tolist() == samples.time_ms.tolist()
    assert mine.amount_base.tolist() == samples.amount_base.tolist()
    assert mine.labels == samples.labels
    assert manifest.frauds == int(samples.fraud_at(START_MS + 365 * DAY_MS).sum()) > 0
    assert (manifest.catalogue, manifest.features) == (catalogue_digest(), FEATURE_NAMES)
    assert sum(manifest.scenarios.values()) > 0


def test_the_same_history_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(simulated(4.0), tmp_path / name)
    for name in (ROWS_FILE, MANIFEST_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_range_sees_what_came_before_it_and_labels_up_to_the_delay(tmp_path: Path) -> None:
    events = (
        payment(1, 0),
        payment(2, DAY_MS),
        label(1, 2, "analyst_fraud", DAY_MS + 10),
        label(2, 1, "fraud_report", DAY_MS + 20),
        payment(3, 2 * DAY_MS, currency="KPW"),
        label(3, 2, "dispute_won", 3 * DAY_MS),
        label(4, 3, "fraud_report", 9 * DAY_MS),
    )
    asked = Asked(START_MS + DAY_MS, START_MS + 3 * DAY_MS, 2 * DAY_MS)
    manifest = write(of(*events), tmp_path / "set", asked)
    rows = open_trainset(tmp_path / "set").table().to_pylist()
    assert [row["payment_id"] for row in rows] == ["pay_2", "pay_3"]
    assert rows[0]["account_payments_30d"] == 1.0  # payment 1 stands before the range
    assert rows[0]["label"] is False  # the dispute won outranks the analyst
    assert rows[0]["label_known_at"] == from_ms(START_MS + 3 * DAY_MS)
    assert [word["fraud"] for word in rows[0]["label_words"]] == [True, False]
    assert (rows[1]["label"], rows[1]["label_words"]) == (False, None)  # known too late
    assert rows[1]["amount_base_minor"] is None
    assert (manifest.rows, manifest.labelled, manifest.frauds) == (2, 1, 0)
    assert manifest.labels_as_of == rfc3339(START_MS + 5 * DAY_MS)
    first, second = manifest.maturity
    assert (first.day, first.mature, first.labelled, first.age_days) == ("2025-01-02", 1, 1, 3.0)
    assert second.share == 1.0


def test_labels_that_had_no_time_to_come_are_not_mature(tmp_path: Path) -> None:
    events = (payment(1, 0), label(1, 1, "chargeback", DAY_MS), payment(2, 2 * DAY_MS))
    manifest = write(of(*events), tmp_path / "set", Asked(None, None, 2 * DAY_MS))
    assert [day.mature for day in manifest.maturity] == [1, 0]
    assert manifest.labels_until == rfc3339(START_MS + 2 * DAY_MS)


@pytest.mark.parametrize(
    ("events", "asked", "says"),
    [
        ((label(1, 1, "chargeback", 0),), WHOLE, "has no payments"),
        ((payment(1, 0),), WHOLE, "no label of these 1 payments"),
        ((payment(1, 0),), Asked(START_MS + 5, None, 0), "from must be before"),
        ((payment(1, 0),), Asked(START_MS + 5, START_MS + 9, 0), "no payments in this range"),
        ((payment(1, 0),), Asked(None, START_MS, 0), "from must be before"),
        (
            (payment(1, 0), payment(2, 90), label(1, 1, "chargeback", 95)),
            Asked(START_MS + 1, START_MS + 50, 0),
            "there are no payments in this range",
        ),
        ((payment(1, 9), payment(2, 0)), WHOLE, "pay_2 comes after later ones"),
    ],
)
def test_what_cannot_be_a_set_is_refused_and_leaves_nothing(
    events: tuple[AnyEvent, ...], asked: Asked, says: str, tmp_path: Path
) -> None:
    with pytest.raises(BadConfiguration, match=says):
        write(of(*events), tmp_path / "set", asked)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_or_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(BadConfiguration, match="is there already"):
        write(simulated(2.0), tmp_path / "set")
    with pytest.raises(BadConfiguration, match="make it first"):
        write(simulated(2.0), tmp_path / "nowhere" / "set")


def test_one_process_makes_a_folder_and_what_a_killed_one_left_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "set"
    with making(out) as draft:
        with pytest.raises(AlreadyRunning), making(out):
            pass
        assert draft.is_dir()
    assert out.is_dir()
    other = tmp_path / "other"
    (tmp_path / ".other.draft").mkdir()
    (tmp_path / ".other.draft" / "half").write_text("half")
    with making(other) as draft:
        assert list(draft.iterdir()) == []
    assert list(other.iterdir()) == []


def test_a_set_that_was_changed_is_refused(tmp_path: Path) -> None:
    write(simulated(4.0), tmp_path / "set")
    rows = tmp_path / "set" / ROWS_FILE
    body = bytearray(rows.read_bytes())
    body[len(body) // 2] ^= 1
    rows.write_bytes(bytes(body))
    with pytest.raises(BadConfiguration, match="was changed"):
        open_trainset(tmp_path / "set")
    rows.unlink()
    with pytest.raises(BadConfiguration, match="cannot be read"):
        open_trainset(tmp_path / "set")


def test_a_set_of_another_catalogue_is_refused_unless_that_is_wanted(tmp_path: Path) -> None:
    manifest = write(simulated(4.0), tmp_path / "set")
    other = msgspec.structs.replace(manifest, catalogue="f" * 64)
    (tmp_path / "set" / MANIFEST_FILE).write_bytes(msgspec.json.encode(other))
    with pytest.raises(BadConfiguration, match="feature catalogue ffffffffffff"):
        open_trainset(tmp_path / "set")
    held = open_trainset(tmp_path / "set", any_catalogue=True)
    assert held.table(["label"]).num_rows == manifest.rows


@pytest.mark.parametrize(
    ("body", "says"),
    [(None, "there is no training set"), (b"{", "is damaged"), (b"[]", "is damaged")],
)
def test_a_folder_that_is_no_set_is_refused(body: bytes | None, says: str, tmp_path: Path) -> None:
    if body is not None:
        (tmp_path / MANIFEST_FILE).write_bytes(body)
    with pytest.raises(BadConfiguration, match=says):
        open_trainset(tmp_path)


def test_a_label_counts_once_and_from_when_it_is_known() -> None:
    labels = Labels()
    for _ in range(2):
        labels.add(label(1, 7, "chargeback", 5))
    labels.add(label(2, 7, "dispute_won", 9))
    assert labels.words("main", "pay_7", START_MS + 4) == ()
    assert labels.words("main", "pay_7", START_MS + 5) == ((START_MS + 5, True),)
    assert len(labels.words("main", "pay_7", START_MS + 9)) == 2
    assert labels.words("other", "pay_7", START_MS + 9) == ()
    assert len(labels) == 1


def test_missing_values_stay_nan_and_are_not_null(tmp_path: Path) -> None:
    write(simulated(4.0), tmp_path / "set")
    held = open_trainset(tmp_path / "set")
    table = held.table(list(FEATURE_NAMES))
    assert sum(column.null_count for column in table.columns) == 0
    assert np.isnan(held.matrix()).any()
