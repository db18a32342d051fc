"""Pages and pictures of the scenarios: in step with the code, well formed, the same each time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import pytest

from risk.domain.event import Label
from risk.simulator.example import Example, make_example, telling_example
from risk.simulator.pages import pages
from risk.simulator.picture import draw
from risk.simulator.scenarios import SCENARIOS, Scenario

FOLDER = Path(__file__).parents[3] / "docs" / "reference" / "scenarios"
REMEDY = "run: weir scenarios pages"
MEASURED = re.compile(r"\| (\d+)% \| ([\d.]+) \| (\d+)% \|")
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
every = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


@cache
def made() -> dict[str, str]:
    return pages()


@every
def test_the_page_is_in_step_with_the_code(scenario: Scenario) -> None:
    name = f"{scenario.name}.md"
    assert (FOLDER / name).read_text() == made()[name], REMEDY


def test_the_index_is_in_step_but_for_the_last_digit_of_what_is_measured() -> None:
    written, now = (FOLDER / "README.md").read_text(), made()["README.md"]
    assert MEASURED.sub("", written) == MEASURED.sub("", now), REMEDY
    for old, new in zip(MEASURED.findall(written), MEASURED.findall(now), strict=True):
        assert old[0] == new[0], REMEDY
        assert float(old[1]) == pytest.approx(float(new[1]), rel=0.15), REMEDY
        assert abs(int(old[2]) - int(new[2])) <= 4, REMEDY


def test_the_folder_holds_these_pages_and_their_pictures_and_nothing_else() -> None:
    pictures = {f"{scenario.name}.svg" for scenario in SCENARIOS}
    assert {path.name for path in FOLDER.iterdir()} == set(made()) | pictures, REMEDY


@every
def test_a_page_shows_parameters_labels_and_the_picture(scenario: Scenario) -> None:
    text = made()[f"{scenario.name}.md"]
    assert f"]({scenario.name}.svg)" in text
    for words in (f"# {scenario.title}\n", "| `weight` |", "| nobody |", *scenario.features):
        assert words in text
    rows = re.findall(r"\| (\d+)% \|", text.split("## Labels")[1])
    assert sum(map(int, rows)) in (100, 200)


@every
def test_the_stored_picture_is_a_drawing_with_labelled_axes(scenario: Scenario) -> None:
    texts = _texts((FOLDER / f"{scenario.name}.svg").read_bytes())
    assert "amount (EUR)" in texts
    assert "days since the first fraudulent payment" in texts
    assert {"fraud"} < texts
    assert any(text.startswith("label: ") for text in texts)


@cache
def example(name: str) -> Example:
    return make_example(BY_NAME[name], seed=3, accounts=60, days=8)


@pytest.mark.parametrize(
    "name", ["account_takeover", "card_testing", "friendly_fraud", "mule_chain", "refund_abuse"]
)
def test_drawing_gives_the_same_bytes_each_time(name: str) -> None:
    body = draw(example(name))
    assert body == draw(example(name))
    texts = _texts(body)
    assert ("The episode (amounts in EUR)" in texts) == (name != "friendly_fraud")
    assert b"Date" not in body


def test_an_example_is_an_episode_with_the_life_around_it() -> None:
    shown = example("account_takeover")
    [account] = {payment.account for payment in shown.frauds}
    assert {payment.account for payment in shown.payments} == {account}
    assert shown.honest > 0
    assert shown.frauds[0].occurred_at_ms == shown.played_ms
    times = [event.occurred_at_ms for event in shown.events]
    assert times == sorted(times)
    assert all(isinstance(label, Label) for label in shown.labels)


def test_the_telling_example_has_labels_and_a_history_to_show() -> None:
    shown = telling_example(BY_NAME["stolen_card"])
    assert shown.labels
    assert shown.honest >= 6


def _texts(body: bytes) -> set[str]:
    root = ET.fromstring(body)
    return {
        "".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")
    }
