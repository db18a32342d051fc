"""The reference pages of the fraud scenarios, as Markdown made from their code."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import Field
from typing import Any, Final

from risk.simulator.cast import FRAUD_SHARE
from risk.simulator.example import START_MS
from risk.simulator.label_laws import LabelLaw, Way
from risk.simulator.scenarios import SCENARIOS, Scenario
from risk.simulator.scenarios.parameters import Meaning, laws, parameters, payments_of
from risk.simulator.world import new_script

EPISODES: Final = 200  # played to measure how many payments an episode has
_ACCOUNTS: Final = 400
_MADE_BY: Final = "Made by `weir scenarios pages`; do not edit."
_INDEX: Final = """\
# Fraud scenarios

{made_by}

What the simulator plays besides honest life. About {share:.1%} of a world's payments are fraud;
`weight` says how often an episode is of a scenario. Every scenario has parameters with units and
a label law: who finds it out, by which label, how late, and how often nobody does. No event says
that it is fraud: only its label does, when it arrives, and the truth that the simulator keeps.

| scenario | episodes | payments in one | of all fraud payments | ever labelled |
|---|---|---|---|---|
{rows}

Payments in one episode are measured over {episodes} of them; the share of all fraud payments
follows. Where live traffic is watched (`weir run`), labels and long waits are shortened.

Friendly fraud cannot be told from an ordinary purchase, refund abuse hardly. They are there so
that what is measured in a simulated world is not better than life.
"""
_PAGE: Final = """\
# {title}

{made_by} [All scenarios](README.md)

{story}

![Example of {lower_title}]({name}.svg)

{caption}

## Parameters

`{class_name}` in `{module}`; checked when the scenario is made.

| parameter | default | unit | allowed | meaning |
|---|---|---|---|---|
{parameters}

## Labels

{labels}

## What sees it

These [features](../features.md) alone tell its payments from honest ones, more often than chance:
{features}.
"""
_CAPTION: Final = """\
Above: all payments of the {subject}s concerned over the days before and after, and when each label
became known (dashed lines). Below: the episode alone. Red is fraud, grey-blue is honest, hollow
marks were declined. Amounts are in euro; above, their scale is logarithmic."""
_CAPTION_ONE: Final = """\
All payments of the {subject} over the days before and after, and when each label became known
(dashed lines). Red is fraud, grey-blue is honest, hollow marks were declined. Amounts are in
euro on a logarithmic scale."""
_LAW: Final = """\
{payments}{declined}. Delays count from the first payment of a case.

| found out by | label | cases | median delay | at the earliest | then |
|---|---|---|---|---|---|
{rows}
| nobody | | {never} | | | |"""
_DECLINED: Final = """\
; of the declined attempts {share}{instead}"""


def pages() -> dict[str, str]:
    """File name to Markdown: ``README.md`` and one page for each scenario."""
    sizes = {scenario.name: mean_payments(scenario) for scenario in SCENARIOS}
    made = {"README.md": _index(sizes)}
    for scenario in SCENARIOS:
        made[f"{scenario.name}.md"] = _page(scenario, one_payment=sizes[scenario.name] == 1)
    return made


def mean_payments(scenario: Scenario) -> float:
    """Payments of one episode, the mean of ``EPISODES`` in a bare world."""
    script = new_script(1, _ACCOUNTS, START_MS)
    for _ in range(EPISODES):
        scenario.play(script, START_MS)
    return script.payments / EPISODES


def _index(sizes: dict[str, float]) -> str:
    total = sum(scenario.weight for scenario in SCENARIOS)
    everything = sum(scenario.weight * sizes[scenario.name] for scenario in SCENARIOS)
    rows = []
    for scenario in SCENARIOS:
        share = scenario.weight * sizes[scenario.name] / everything
        known = " / ".join(f"{law.known_share:.0%}" for _, law in laws(scenario))
        rows.append(
            f"| [{scenario.title}]({scenario.name}.md) | {scenario.weight / total:.0%}"
            f" | {sizes[scenario.name]:.2g} | {share:.0%} | {known} |"
        )
    return _INDEX.format(
        made_by=_MADE_BY, share=FRAUD_SHARE, rows="\n".join(rows), episodes=EPISODES
    )


def _page(scenario: Scenario, *, one_payment: bool) -> str:
    caption = (_CAPTION_ONE if one_payment else _CAPTION).format(subject=scenario.subject)
    names = ", ".join(f"`{name}`" for name in scenario.features)
    return _PAGE.format(
        title=scenario.title,
        lower_title=scenario.title.lower(),
        name=scenario.name,
        made_by=_MADE_BY,
        story=inspect.getdoc(type(scenario)) or "",
        caption=caption,
        class_name=type(scenario).__name__,
        module=type(scenario).__module__,
        parameters="\n".join(_parameter_rows(scenario)),
        labels="\n\n".join(_law(scenario, field, law) for field, law in laws(scenario)),
        features=names,
    )


def _parameter_rows(scenario: Any) -> Iterator[str]:
    for field, meaning in parameters(scenario):
        value = getattr(scenario, field.name)
        unit = meaning.unit or "1"
        yield (f"| `{field.name}` | {value:,g} | {unit} | {_range(meaning)} | {meaning.sentence} |")


def _range(meaning: Meaning) -> str:
    if meaning.most == float("inf"):
        return f"from {meaning.least:g}"
    return f"{meaning.least:g} to {meaning.most:g}"


def _law(scenario: Scenario, field: Field[Any], law: LabelLaw) -> str:
    declined = ""
    if any(each.name.startswith("declined") for each, _ in parameters(scenario)):
        disputed = any(way.label == "chargeback" for way in law.ways)
        instead = ", as fraud reports in place of chargebacks" if disputed else ""
        declined = _DECLINED.format(share=f"{law.declined_share:.0%}", instead=instead)
    return _LAW.format(
        payments=payments_of(field),
        declined=declined,
        rows="\n".join(_way_row(way) for way in law.ways),
        never=f"{law.never_share:.0%}",
    )


def _way_row(way: Way) -> str:
    then = (
        f"{way.won_share:.0%} `dispute_won`, {_time(way.won_median_hours)} later"
        if way.won_share
        else ""
    )
    return (
        f"| {way.reporter} | `{way.label}` | {way.share:.0%} | {_time(way.median_hours)}"
        f" | {_time(way.earliest_hours)} | {then} |"
    )


def _time(hours: float) -> str:
    """Hours up to two days, else days."""
    return f"{hours:g} h" if hours < 48 else f"{hours / 24:.2g} days"
