"""A simulated world: the same seed gives the same events, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

from risk.domain.event import AnyEvent
from risk.simulator.agenda import Truth
from risk.simulator.cast import FRAUD_SHARE, Cast
from risk.simulator.merchants import Market
from risk.simulator.population import DAY_MS, Population
from risk.simulator.script import Script

MERCHANTS_MIN = 480
MERCHANTS_MAX = 6_000


class World:
    """``accounts`` people from ``start_ms`` on; ``tempo`` multiplies how often they pay.

    ``fraud_share`` of the payments are fraud, in the long run: thieves come more or less often.
    """

    def __init__(
        self,
        seed: int,
        accounts: int,
        start_ms: int,
        tempo: float = 1.0,
        fraud_share: float = FRAUD_SHARE,
    ) -> None:
        if accounts < 1 or tempo <= 0:
            raise ValueError("a world needs at least 1 account and a tempo above 0")
        if not 0 <= fraud_share < 1:
            raise ValueError("the share of fraud is at least 0 and below 1")
        self.seed = seed
        self.accounts = accounts
        self.start_ms = start_ms
        self.tempo = tempo
        self.fraud_share = fraud_share
        self.truth = Truth()

    def events(self, days: float) -> Iterator[AnyEvent]:
        """Events of ``days`` days in event-time order, from the start each time it is called.

        Labels and refunds that would come after the end are not known yet and are left out.
        ``truth`` belongs to the latest call, and fills while its events are taken.
        """
        script = new_script(self.seed, self.accounts, self.start_ms)
        self.truth = script.truth
        return self._play(script, self.start_ms + int(days * DAY_MS))

    def _play(self, script: Script, end_ms: int) -> Iterator[AnyEvent]:
        agenda = script.agenda
        cast = Cast(script, self.start_ms, self.fraud_share)
        next_ms = float(self.start_ms)
        while True:
            until_ms = min(int(next_ms), end_ms)
            while cast.next_hour_ms < until_ms:
                yield from agenda.before(cast.next_hour_ms)
                cast.play_hour()
            yield from agenda.before(until_ms)
            if until_ms == end_ms:
                return
            count = cast.act(until_ms)
            if count:
                pace = cast.payments_per_ms(until_ms) * self.tempo
                next_ms += script.rng.gammavariate(count, 1 / pace)


def new_script(seed: int, accounts: int, start_ms: int) -> Script:
    """A script over a fresh population and market."""
    market = Market(seed, min(MERCHANTS_MAX, MERCHANTS_MIN + accounts // 10))
    return Script(seed, start_ms, Population(seed, accounts, market, start_ms), market)
