"""Who acts next: honest errands by persona and hour, frauds so that their share comes out."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Final

from risk.simulator.habits import run_errand
from risk.simulator.personas import PAYMENTS_PER_ACCOUNT_DAY, PERSONAS
from risk.simulator.population import DAY_MS
from risk.simulator.scenarios import SCENARIOS
from risk.simulator.script import HOUR_MS, Script

FRAUD_SHARE: Final = 0.007
_ZONE_MS = HOUR_MS  # most homes keep the time of Vienna
_WEIGHTS = [
    [
        persona.per_cent * persona.payments_per_day * persona.hours[hour] / sum(persona.hours)
        for persona in PERSONAS
    ]
    for hour in range(24)
]
_CHOICES = [list(accumulate(weights)) for weights in _WEIGHTS]
_FIRST = [0, *accumulate(persona.per_cent for persona in PERSONAS)]
_SCENARIO_CHOICES = list(accumulate(scenario.weight for scenario in SCENARIOS))


class Cast:
    """Plays sessions one after the other; frauds are paid for by the honest payments before."""

    def __init__(self, script: Script, fraud_share: float = FRAUD_SHARE) -> None:
        self._script = script
        self._per_honest = fraud_share / (1 - fraud_share)
        self._credit = 0.0
        self._due = 4.0 * script.rng.expovariate(1.0)

    def act(self, at_ms: int) -> int:
        """Plan the session that starts at ``at_ms``; returns how many payments it has."""
        script = self._script
        before = script.payments
        if self._credit >= self._due:
            scenario = SCENARIOS[
                bisect_right(_SCENARIO_CHOICES, script.rng.random() * _SCENARIO_CHOICES[-1])
            ]
            scenario.play(script, at_ms)
            count = script.payments - before
            # The next wait is as long, on average, as what was just spent: the share comes out
            # whatever the sizes of the episodes.
            self._credit -= self._due
            self._due = count * script.rng.expovariate(1.0)
            return count
        choices = _CHOICES[(at_ms + _ZONE_MS) % DAY_MS // HOUR_MS]
        which = bisect_right(choices, script.rng.random() * choices[-1])
        account = script.population.of_persona(script.rng, _FIRST[which], PERSONAS[which].per_cent)
        run_errand(script, account, at_ms)
        count = script.payments - before
        self._credit += count * self._per_honest
        return count


def payments_per_ms(accounts: int, at_ms: int) -> float:
    """The pace of ``accounts`` accounts at the hour of ``at_ms``."""
    hour = (at_ms + _ZONE_MS) % DAY_MS // HOUR_MS
    profile = 24 * _CHOICES[hour][-1] / sum(choices[-1] for choices in _CHOICES)
    return accounts * PAYMENTS_PER_ACCOUNT_DAY * profile / DAY_MS
