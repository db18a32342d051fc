"""Who acts next: honest errands by persona and hour, frauds so that their share comes out."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Final

from risk.simulator.habits import return_after_silence, run_errand
from risk.simulator.personas import FIRST_OF, PERSONAS, Persona
from risk.simulator.scenarios import SCENARIOS
from risk.simulator.script import Script
from risk.simulator.seasons import HOUR_MS, Day, day_of, days_since, hour_of
from risk.simulator.standing import play_hour

FRAUD_SHARE: Final = 0.007
_SCENARIO_CHOICES = list(accumulate(scenario.weight for scenario in SCENARIOS))
# Payments more than in the average day, by days since the pay day; never below the last.
_AFTER_PAYDAY: Final = ((3, 1.30), (7, 1.12), (21, 1.0), (30, 0.92))


class Cast:
    """Plays sessions one after the other; frauds are paid for by the honest payments before.

    What comes by itself is planned hour by hour: ``next_hour_ms`` is the first that is not
    planned yet, and no event of it may be given out before.
    """

    def __init__(self, script: Script, start_ms: int, fraud_share: float = FRAUD_SHARE) -> None:
        self._script = script
        self._per_honest = fraud_share / (1 - fraud_share)
        self._credit = 0.0
        self._due = 4.0 * script.rng.expovariate(1.0)
        self._from_ms = start_ms
        self.next_hour_ms = start_ms - start_ms % HOUR_MS
        self._pace = _Pace(script)

    def act(self, at_ms: int) -> int:
        """Plan the session that starts at ``at_ms``; returns how many payments it has."""
        script = self._script
        script.population.now_ms = at_ms
        before = script.payments
        if self._credit >= self._due:
            scenario = SCENARIOS[
                bisect_right(_SCENARIO_CHOICES, script.rng.random() * _SCENARIO_CHOICES[-1])
            ]
            script.truth.begin_episode(at_ms)
            scenario.play(script, at_ms)
            count = script.payments - before
            # The next wait is as long, on average, as what was just spent: the share comes out
            # whatever the sizes of the episodes.
            self._credit -= self._due
            self._due = count * script.rng.expovariate(1.0)
            return count
        which = self._pace.persona(at_ms)
        population = script.population
        account = population.of_persona(script.rng, FIRST_OF[which], PERSONAS[which].per_cent)
        if population.roster.silent_ms[account.number] <= at_ms:
            population.roster.wake(account.number)
            return_after_silence(script, account, at_ms)
        else:
            run_errand(script, account, at_ms)
        count = script.payments - before
        self._credit += count * self._per_honest
        return count

    def play_hour(self) -> None:
        """Plan what comes by itself in the hour ``next_hour_ms``."""
        script, hour_ms = self._script, self.next_hour_ms
        before = script.payments
        script.population.now_ms = hour_ms
        play_hour(script, hour_ms, max(hour_ms, self._from_ms))
        self._credit += (script.payments - before) * self._per_honest
        self.next_hour_ms = hour_ms + HOUR_MS

    def skip_to(self, at_ms: int) -> None:
        """Nothing comes by itself before ``at_ms`` that was not planned yet."""
        self.next_hour_ms = max(self.next_hour_ms, at_ms - at_ms % HOUR_MS)
        self._from_ms = at_ms

    def payments_per_ms(self, at_ms: int) -> float:
        """The pace of all accounts together at the hour of ``at_ms``."""
        return self._pace.payments_per_ms(at_ms)


class _Pace:
    """How busy the hour is and who pays in it; worked out once for each hour."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._hour = -1
        self._choices: list[float] = []
        self._per_ms = 0.0

    def persona(self, at_ms: int) -> int:
        """The number of the persona that acts."""
        self._turn_to(at_ms)
        return bisect_right(self._choices, self._script.rng.random() * self._choices[-1])

    def payments_per_ms(self, at_ms: int) -> float:
        self._turn_to(at_ms)
        return self._per_ms

    def _turn_to(self, at_ms: int) -> None:
        hour = at_ms // HOUR_MS
        if hour != self._hour:
            self._hour = hour
            day, clock_hour = day_of(at_ms), hour_of(at_ms)
            self._choices = list(
                accumulate(_payments_per_hour(persona, day, clock_hour) for persona in PERSONAS)
            )
            present = self._script.population.roster.present(at_ms)
            self._per_ms = present * day.pace * self._choices[-1] / 100 / HOUR_MS


def _payments_per_hour(persona: Persona, day: Day, hour: int) -> float:
    """Payments of a hundred accounts of the whole population in this hour, before the season."""
    weekend = persona.weekend if day.weekday >= 5 else 1.0
    paid = 1.0
    if persona.payday:
        since = days_since(day.day, persona.payday)
        paid = next(factor for days, factor in _AFTER_PAYDAY if since < days)
    share = persona.hours[hour] / sum(persona.hours)
    return persona.per_cent * persona.payments_per_day * share * weekend * paid
