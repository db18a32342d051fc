"""Endless traffic on the wall clock, for `make run`: so many payments a second, as they are due."""

from __future__ import annotations

from typing import Final

from risk.domain.event import AnyEvent, Payment
from risk.simulator.agenda import Truth
from risk.simulator.cast import Cast
from risk.simulator.world import new_script

LABEL_DELAY_FACTOR: Final = 1 / 2880  # a day of waiting for a label becomes half a minute
ACCOUNTS: Final = 50_000
CATCH_UP_MS: Final = 10_000  # after a pause no more than this is made up for


class Traffic:
    """``rate_per_s`` payments a second from ``start_ms`` on; what comes with them is extra.

    Sessions keep their real spacing (a card tester's tries are seconds apart), only the waiting
    for refunds and labels is shortened. Account, card and merchant identifiers depend on ``seed``
    alone; event ids on ``start_ms`` too, so a later run never repeats an id.
    """

    def __init__(
        self, seed: int, rate_per_s: float, start_ms: int, accounts: int = ACCOUNTS
    ) -> None:
        if rate_per_s <= 0:
            raise ValueError("the rate must be above 0 payments a second")
        self._script = new_script(seed, accounts, start_ms)
        self._script.delay_factor = LABEL_DELAY_FACTOR
        self._cast = Cast(self._script, start_ms)
        self._rate_per_ms = rate_per_s / 1000
        self._next_ms = float(start_ms)
        self._given_ms = start_ms

    @property
    def truth(self) -> Truth:
        """Which of the payments so far are fraud."""
        return self._script.truth

    def due(self, now_ms: int) -> list[AnyEvent]:
        """Events not given yet with ``occurred_at`` before ``now_ms``, in event-time order.

        After a pause longer than 10 s the sessions of the gap before that never happen.
        """
        if now_ms <= self._given_ms:
            return []
        if now_ms - self._given_ms > CATCH_UP_MS:
            self._next_ms = max(self._next_ms, float(now_ms - CATCH_UP_MS))
            self._cast.skip_to(now_ms - CATCH_UP_MS)
        agenda, rng, cast = self._script.agenda, self._script.rng, self._cast
        events: list[AnyEvent] = []
        while True:
            until_ms = min(int(self._next_ms) + 1, now_ms)
            event = agenda.due(min(until_ms, cast.next_hour_ms))
            if event is not None:
                events.append(event)
                if isinstance(event, Payment):
                    # Every payment given out pays for the wait until the next session, also one
                    # that was planned long ago: so the rate holds from the first second on.
                    self._next_ms += rng.expovariate(self._rate_per_ms)
            elif cast.next_hour_ms < until_ms:
                cast.play_hour()
            elif self._next_ms < now_ms:
                cast.act(int(self._next_ms))
            else:
                self._given_ms = now_ms
                return events
