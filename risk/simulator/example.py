"""One episode of a scenario with the honest life around it, to be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from risk.domain.event import AnyEvent, Label, Payment
from risk.simulator.agenda import Truth
from risk.simulator.cast import Cast
from risk.simulator.population import DAY_MS
from risk.simulator.scenarios import Scenario
from risk.simulator.scenarios.moves import payee_of_outsider
from risk.simulator.script import Script
from risk.simulator.world import new_script

START_MS: Final = 1_772_323_200_000  # 2026-03-01T00:00:00Z
NOON_MS: Final = DAY_MS // 2
TRIES: Final = 60
_AFTER_DAYS: Final = 14  # honest life goes on for so long
_TELLING: Final = 6  # honest payments that make a history


@dataclass(frozen=True, slots=True)
class Example:
    """Events that touch the subjects of one episode, in event-time order.

    Subjects are the entities of the scenario's kind that its fraudulent payments name.
    ``payees`` leads from a beneficiary to the account behind it, among the accounts of the
    episode. ``played_ms`` is the time of the first fraudulent payment.
    """

    scenario: Scenario
    played_ms: int
    events: list[AnyEvent]
    truth: Truth
    payees: dict[str, str]

    @property
    def frauds(self) -> list[Payment]:
        """The payments of the episode."""
        return [event for event in self.payments if self.truth.is_fraud(event.id)]

    @property
    def payments(self) -> list[Payment]:
        return [event for event in self.events if isinstance(event, Payment)]

    @property
    def labels(self) -> list[Label]:
        return [event for event in self.events if isinstance(event, Label)]

    @property
    def honest(self) -> int:
        """How many honest payments the subjects made before the episode."""
        return sum(event.occurred_at_ms < self.played_ms for event in self.payments)


class _Stage(NamedTuple):
    """How long and how populous a life is shown, and how much must happen in the episode."""

    accounts: int = 150
    days: int = 25
    frauds: int = 1
    labels: int = 1


_STAGES: Final = {
    "account_takeover": _Stage(frauds=3, labels=2),
    "dormant_account": _Stage(accounts=250, days=130, frauds=3),
    "friendly_fraud": _Stage(labels=2),
    "mule_chain": _Stage(frauds=9, labels=8),
}


def telling_example(scenario: Scenario) -> Example:
    """The example of the first seed that has a history and labels to show, else of the last."""
    stage = _STAGES.get(scenario.name, _Stage())
    for seed in range(1, TRIES + 1):
        example = make_example(scenario, seed, stage.accounts, stage.days)
        enough = len(example.frauds) >= stage.frauds and len(example.labels) >= stage.labels
        fresh = scenario.subject == "device"  # new devices have no history in any world
        if enough and (fresh or example.honest >= _TELLING):
            break
    return example


def make_example(scenario: Scenario, seed: int, accounts: int, days: int) -> Example:
    """Play ``scenario`` once after ``days`` of honest life of ``accounts`` people."""
    script = new_script(seed, accounts, START_MS)
    played_ms = START_MS + days * DAY_MS + NOON_MS
    events = list(_life(script, scenario, played_ms))
    frauds = [
        event for event in events if isinstance(event, Payment) and script.truth.is_fraud(event.id)
    ]
    subjects = {getattr(event, scenario.subject) for event in frauds}
    ids = {event.id for event in frauds}
    shown = [
        event
        for event in events
        if getattr(event, scenario.subject) in subjects
        or event.id in ids
        or getattr(event, "payment_id", None) in ids
    ]
    people = {event.account for event in frauds}
    return Example(scenario, frauds[0].occurred_at_ms, shown, script.truth, _payees(script, people))


def _life(script: Script, scenario: Scenario, played_ms: int) -> Iterator[AnyEvent]:
    """Honest events, from ``played_ms`` on with the episode, then what is left of both."""
    agenda, cast = script.agenda, Cast(script, START_MS, fraud_share=0.0)
    next_ms = float(START_MS)
    played = False
    while next_ms < played_ms + _AFTER_DAYS * DAY_MS:
        at_ms = int(next_ms)
        while cast.next_hour_ms < at_ms:
            yield from agenda.before(cast.next_hour_ms)
            cast.play_hour()
        if at_ms >= played_ms and not played:
            played = True
            script.population.now_ms = played_ms
            scenario.play(script, at_ms)
        yield from agenda.before(at_ms)
        if count := cast.act(at_ms):
            next_ms += script.rng.gammavariate(count, 1 / cast.payments_per_ms(at_ms))
    yield from agenda.before(2**62)


def _payees(script: Script, accounts: set[str]) -> dict[str, str]:
    population = script.population
    found = {payee_of_outsider(account): account for account in accounts}
    for number in range(population.count):
        account = population.account(number)
        if account.id in accounts:
            found[account.payee] = account.id
    return found
