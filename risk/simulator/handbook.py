"""The Handbook world as events: a published law, so that results can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final

import numpy as np

from risk.domain.event import AnyEvent, Label, Payment
from risk.domain.times import from_ms
from risk.simulator.handbook_law import (
    DAY_MS,
    SCENARIOS,
    SQUARE,
    Floats,
    Ints,
    Law,
    Places,
    Table,
    draw,
)
from risk.simulator.numbers import mix

START_MS: Final = 1_522_540_800_000  # 2018-04-01T00:00:00Z
DAYS: Final = 183
CUSTOMERS: Final = 5_000
TERMINALS: Final = 10_000
LABEL_DELAY_MS: Final = 7 * DAY_MS
CURRENCY: Final = "EUR"
CHANNEL: Final = "pos_chip"
LABEL: Final = "fraud_report"
_BLOCK = 16_384
_NUMBER = re.compile("[0-9a-f]{8}")


class HandbookWorld:
    """The world of ``seed`` and its sizes; drawn once, when first asked for.

    Raises ValueError for a negative seed, or sizes too small or too large to draw.
    """

    def __init__(
        self,
        seed: int,
        start_ms: int = START_MS,
        days: int = DAYS,
        customers: int = CUSTOMERS,
        terminals: int = TERMINALS,
    ) -> None:
        if seed < 0:
            raise ValueError(f"the seed of a Handbook world is 0 or more, not {seed}")
        self.seed = seed
        self.law = Law(start_ms, days, customers, terminals)
        # Worlds that differ in anything share no id, so they can be sent to the same place.
        self._run = f"{mix(seed, start_ms, days, customers, terminals) >> 32:08x}"

    @cached_property
    def _drawn(self) -> tuple[Places, Table]:
        return draw(self.law, self.seed)

    def table(self) -> Table:
        """The payments as columns; a payment's number is its row."""
        return self._drawn[1]

    def places(self) -> Places:
        """Where everybody is."""
        return self._drawn[0]

    @property
    def truth(self) -> HandbookTruth:
        """What is fraud."""
        return HandbookTruth(self.payment_id(0)[:-8], self.table())

    def payment_id(self, number: int) -> str:
        """The id of payment ``number``.

        >>> HandbookWorld(7).payment_id(255)[-8:]
        '000000ff'
        """
        return f"pay_{self._run}{number:08x}"

    def label_id(self, number: int) -> str:
        """The id of the fraud report about payment ``number``."""
        return f"lab_{self._run}{number:08x}"

    def account_id(self, customer: int) -> str:
        """The account of ``customer``, who has one."""
        return f"cus_{self._run}{customer:04x}"

    def card_id(self, customer: int) -> str:
        """The card token of ``customer``, who has one."""
        return f"card_{self._run}{customer:04x}"

    def terminal_id(self, terminal: int) -> str:
        """The id of ``terminal``."""
        return f"ter_{self._run}{terminal:04x}"

    def merchant_id(self, terminal: int) -> str:
        """The merchant of ``terminal``: every terminal is a merchant of its own.

        The law knows no merchants, and memory keeps reputation by merchant.
        """
        return f"mer_{self._run}{terminal:04x}"

    def degrees(self) -> Floats:
        """Longitude and latitude of the terminals, (T, 2): the square is one degree wide."""
        return np.round(self.places().terminals / SQUARE, 5)

    def events(self) -> Iterator[AnyEvent]:
        """Payments, and a fraud report 7 days after each fraud, in time order.

        At equal times labels come before payments, each by payment number: a label counts as
        known from its own moment on. Labels go on for 7 days after the last day, so that every
        fraud gets its own. ``lat`` and ``lon`` are the terminal's place on a square of one degree
        at the equator. Amounts are euros.
        """
        table = self.table()
        labelled = np.flatnonzero(table.fraud)
        known_ms = table.time_ms[labelled] + LABEL_DELAY_MS
        labels = self._labels(labelled.tolist(), known_ms.tolist())
        return interleave(self._payments(), table.time_ms, labels, known_ms)

    def _payments(self) -> Iterator[Payment]:
        table, run = self.table(), self._run
        accounts = [self.account_id(customer) for customer in range(self.law.customers)]
        cards = [self.card_id(customer) for customer in range(self.law.customers)]
        terminals = [self.terminal_id(terminal) for terminal in range(self.law.terminals)]
        merchants = [self.merchant_id(terminal) for terminal in range(self.law.terminals)]
        degrees = self.degrees().tolist()
        for start in range(0, len(table), _BLOCK):
            rows = slice(start, start + _BLOCK)
            columns = zip(
                table.time_ms[rows].tolist(), table.customer[rows].tolist(),
                table.terminal[rows].tolist(), table.amount_minor[rows].tolist(),
                strict=True,
            )  # fmt: skip
            for number, (at_ms, customer, terminal, amount_minor) in enumerate(columns, start):
                lon, lat = degrees[terminal]
                yield Payment(
                    id=f"pay_{run}{number:08x}", occurred_at=from_ms(at_ms),
                    account=accounts[customer], card=cards[customer],
                    merchant=merchants[terminal], terminal=terminals[terminal],
                    amount_minor=amount_minor, currency=CURRENCY, channel=CHANNEL,
                    lat=lat, lon=lon,
                )  # fmt: skip

    def _labels(self, numbers: list[int], known_ms: list[int]) -> Iterator[Label]:
        table = self.table()
        for number, at_ms in zip(numbers, known_ms, strict=True):
            customer, terminal = int(table.customer[number]), int(table.terminal[number])
            moment = from_ms(at_ms)
            yield Label(
                id=self.label_id(number), occurred_at=moment, known_at=moment,
                payment_id=self.payment_id(number), label=LABEL,
                account=self.account_id(customer), card=self.card_id(customer),
                merchant=self.merchant_id(terminal),
            )  # fmt: skip


def interleave(
    payments: Iterable[AnyEvent], time_ms: Ints, labels: Iterable[AnyEvent], known_ms: Ints
) -> Iterator[AnyEvent]:
    """Both in time order, labels first at equal times. Both times ascend."""
    # The payment before which each label comes, and an end that no payment reaches.
    places = [*np.searchsorted(time_ms, known_ms, side="left").tolist(), len(time_ms)]
    waiting = iter(labels)
    given = 0
    for number, payment in enumerate(payments):
        while places[given] <= number:
            given += 1
            yield next(waiting)
        yield payment
    yield from waiting


class HandbookTruth:
    """Which payments are fraud, and by which scenario. Never part of an event."""

    def __init__(self, prefix: str, table: Table) -> None:
        self._prefix = prefix
        self._scenario = table.scenario

    def scenario(self, payment_id: str) -> str | None:
        """The scenario that made the payment; None where it is honest or not of this world."""
        code = self._code(payment_id)
        return SCENARIOS[code - 1] if code else None

    def is_fraud(self, payment_id: str) -> bool:
        return self._code(payment_id) > 0

    def __len__(self) -> int:
        """How many payments are fraud."""
        return int(np.count_nonzero(self._scenario))

    def _code(self, payment_id: str) -> int:
        if not payment_id.startswith(self._prefix):
            return 0
        digits = payment_id[len(self._prefix) :]
        if not _NUMBER.fullmatch(digits) or (number := int(digits, 16)) >= len(self._scenario):
            return 0
        return int(self._scenario[number])
