"""One episode of a scenario in a world where nothing else happens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from risk.domain.codes import CURRENCY_EXPONENT
from risk.domain.event import AnyEvent, Event, Label, Payment
from risk.simulator.agenda import Truth
from risk.simulator.cast import Cast
from risk.simulator.places import PLACES
from risk.simulator.population import DAY_MS
from risk.simulator.scenarios import SCENARIOS, Scenario
from risk.simulator.script import Script
from risk.simulator.world import new_script

START_MS = 1_780_000_000_000
PLAYED_MS = START_MS + 10 * DAY_MS
EventT = TypeVar("EventT", bound=Event)


@dataclass(frozen=True, slots=True)
class Episode:
    """Events in event-time order, what is true of them, and the script that wrote them."""

    events: list[AnyEvent]
    truth: Truth
    script: Script = field(repr=False)

    def of(self, kind: type[EventT]) -> list[EventT]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def payments(self) -> list[Payment]:
        return self.of(Payment)

    @property
    def labels(self) -> list[Label]:
        return self.of(Label)


def play(scenario: Scenario, seed: int, accounts: int = 400) -> Episode:
    """Play ``scenario`` once, ten days after the start of a world of ``accounts`` people."""
    script = new_script(seed, accounts, START_MS)
    script.population.now_ms = PLAYED_MS
    scenario.play(script, PLAYED_MS)
    return Episode(list(script.agenda.before(2**62)), script.truth, script)


def euro(payment: Payment) -> float:
    """The amount in euro, by the prices of the simulator's places."""
    per_euro = next(place.per_euro for place in PLACES if place.currency == payment.currency)
    return float(payment.amount_minor / 10 ** CURRENCY_EXPONENT[payment.currency] / per_euro)


def eventful_world(seed: int, accounts: int, days: int) -> tuple[list[AnyEvent], Truth]:
    """Honest life in which, from the sixth day on, every scenario is played each day."""
    script = new_script(seed, accounts, START_MS)
    cast = Cast(script, START_MS, fraud_share=0.0)
    events: list[AnyEvent] = []
    next_ms, played_ms = float(START_MS), START_MS + 5 * DAY_MS
    while next_ms < START_MS + days * DAY_MS:
        at_ms = int(next_ms)
        while cast.next_hour_ms < at_ms:
            events.extend(script.agenda.before(cast.next_hour_ms))
            cast.play_hour()
        if at_ms >= played_ms:
            played_ms += DAY_MS
            for scenario in SCENARIOS:
                scenario.play(script, at_ms + int(DAY_MS * script.rng.random()))
        events.extend(script.agenda.before(at_ms))
        if count := cast.act(at_ms):
            next_ms += script.rng.gammavariate(count, 1 / cast.payments_per_ms(at_ms))
    return events, script.truth
