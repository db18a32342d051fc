"""The same work as it is usually written: vanilla Faust, one event at a time.

For each event: one Redis pipeline, in one round trip, that counts and reads (the answer to
INCR is the new count, so nothing is read twice); a row of the model's width; one
``Booster.predict``; the shipped rules, compiled as Weir compiles them; one ``topic.send``.

It keeps counts, sums, distinct sets, first sights and last times of the same entities and
windows as the catalogue. It leaves out what would cost it more: exact windows (a counter
begins anew with each window), medians, ranks, speeds and shares, calibration, explanations,
and every guarantee: a redelivered event counts twice, a crash between Redis and Kafka loses
or repeats a decision, and no decision can be proven. Its Redis syncs once a second, Weir's
on every write.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from importlib.resources import as_file, files
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.stream_agents import Counter
from features.catalogue import CATALOGUE, FEATURE_NAMES
from risk.domain.event import Payment
from risk.domain.observation import Arrival
from risk.rules.book_file import read_book
from risk.rules.compiler import Tables
from risk.rules.evaluator import CompiledBook
from risk.rules.schema import Schema
from risk.tables.load import exchange_rates

WINDOW_S: Final = {"5m": 300, "1h": 3_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000}
ROW: Final = {name: place for place, name in enumerate(FEATURE_NAMES)}
KINDS: Final = "account|card|device|ip|merchant"
WINDOWS: Final = "|".join(WINDOW_S)
PARTNER: Final = {
    "accounts": "account", "cards": "card", "devices": "device", "ips": "ip",
    "merchants": "merchant", "countries": "country",
}  # fmt: skip
BLOCK_AT, REVIEW_AT = 0.5, 0.1


def _found(pattern: str) -> list[tuple[tuple[str, ...], int]]:
    """Groups and column of every feature whose whole name matches."""
    hits = ((re.fullmatch(pattern, name), place) for name, place in ROW.items())
    return [(match.groups(), place) for match, place in hits if match]


COUNTS: Final = _found(rf"({KINDS})_payments_({WINDOWS})")
SUMS: Final = _found(rf"({KINDS})_amount_sum_({WINDOWS})")
SETS: Final = _found(rf"({KINDS})_({'|'.join(PARTNER)})_({WINDOWS})")
NEW: Final = _found(rf"({KINDS})_new_(device|ip|card|merchant|country)")
LAST: Final = _found(rf"({KINDS})_since_last")
# Kept by other agents, from outcomes, labels and logins: only read here.
OTHERS: Final = _found(
    rf"({KINDS})_(declines|top_ups|transfers|fraud|logins|failed_logins|password_resets"
    rf"|device_changes|beneficiaries_added)_({WINDOWS})"
)


class Usual:
    """The agent's parts: a Redis client, a booster and the rules."""

    def __init__(self, redis_url: str, model_text: str) -> None:
        import lightgbm
        from redis.asyncio import Redis

        self._redis: Any = Redis.from_url(redis_url)
        self._booster = lightgbm.Booster(model_str=model_text)
        rates = exchange_rates(None, "EUR")
        schema = Schema.of(CATALOGUE)
        with as_file(files("risk.rules") / "starter_book.yaml") as path:
            self._book = CompiledBook(read_book(path), schema, Tables(rates))
        self._rates = rates

    def register(self, app: Any, events: Any, decisions: Any, counter: Counter) -> None:
        """Add the agent."""

        async def body(stream: AsyncIterator[Any]) -> None:
            async for event in stream:
                decision = await self.decide(event)
                await decisions.send(key=event["id"].encode(), value=decision)
                counter.count += 1

        app.agent(events)(body)

    async def decide(self, event: dict[str, Any]) -> dict[str, Any]:
        """The decision on one payment, counted in Redis."""
        payment = msgspec.convert(event, Payment)
        now_ms = payment.occurred_at_ms
        amount = self._rates.to_base(payment.amount_minor, payment.currency) or 0
        row = await self._features(event, payment, now_ms, amount)
        matrix = row.reshape(1, -1)
        score = float(self._booster.predict(matrix, num_threads=1)[0])
        arrival = Arrival(payment, b"", b"", "stream", now_ms, amount)
        (found,) = self._book.evaluate([arrival], matrix, [score])
        actions = {hit.rule.action for hit in found.hits}
        return {
            "payment_id": payment.id,
            "outcome": _outcome(score, actions),
            "score": score,
            "rules": [hit.rule.rule for hit in found.hits],
        }

    async def _features(
        self, event: dict[str, Any], payment: Payment, now_ms: int, amount: int
    ) -> NDArray[np.float64]:
        now_s = now_ms // 1000
        pipe = self._redis.pipeline(transaction=False)
        for (kind, window), _ in COUNTS:
            key, ends_s = _window(f"n:{kind}:{event[kind]}", window, now_s)
            pipe.incr(key)
            pipe.expireat(key, ends_s)
        for (kind, window), _ in SUMS:
            key, ends_s = _window(f"s:{kind}:{event[kind]}", window, now_s)
            pipe.incrby(key, amount)
            pipe.expireat(key, ends_s)
        for (kind, partner, window), _ in SETS:
            key, ends_s = _window(f"d:{kind}:{event[kind]}:{partner}", window, now_s)
            pipe.sadd(key, event[PARTNER[partner]])
            pipe.scard(key)
            pipe.expireat(key, ends_s)
        for (kind, partner), _ in NEW:
            key = f"k:{kind}:{event[kind]}:{partner}"
            pipe.sadd(key, event[partner])
            pipe.expire(key, WINDOW_S["30d"])
        for (kind,), _ in LAST:
            pipe.set(f"l:{kind}:{event[kind]}", now_ms, ex=WINDOW_S["30d"], get=True)
        pipe.mget(
            [
                _window(f"o:{what}:{kind}:{event[kind]}", window, now_s)[0]
                for (kind, what, window), _ in OTHERS
            ]
        )
        return _row(await pipe.execute(), payment, now_ms, amount)


def _row(answers: list[Any], payment: Payment, now_ms: int, amount: int) -> NDArray[np.float64]:
    """The model's row from the pipeline's answers, NaN for what is not kept."""
    row = np.full(len(ROW), np.nan)
    at = 0
    for _, place in COUNTS:
        row[place] = answers[at] - 1
        at += 2
    for _, place in SUMS:
        row[place] = answers[at] - amount
        at += 2
    for _, place in SETS:
        row[place] = answers[at + 1] - answers[at]
        at += 3
    for _, place in NEW:
        row[place] = answers[at]
        at += 2
    for _, place in LAST:
        if answers[at] is not None:
            row[place] = (now_ms - int(answers[at])) / 1000
        at += 1
    for (_, place), value in zip(OTHERS, answers[at], strict=True):
        row[place] = 0 if value is None else int(value)
    _derive(row, amount)
    row[ROW["payment_amount"]] = amount
    row[ROW["payment_foreign"]] = payment.country != payment.card_country
    row[ROW["payment_hour"]] = payment.occurred_at.hour
    row[ROW["payment_weekday"]] = payment.occurred_at.weekday()
    return row


def _derive(row: NDArray[np.float64], amount: int) -> None:
    """What follows from a count and a sum."""
    paid = row[ROW["account_payments_30d"]]
    if paid:
        mean = row[ROW["account_amount_sum_30d"]] / paid
        row[ROW["account_amount_mean_30d"]] = mean
        row[ROW["account_amount_ratio_30d"]] = amount / max(mean, 1.0)


def _window(name: str, window: str, now_s: int) -> tuple[str, int]:
    """The key of the window that is running now, and when it may be forgotten."""
    length_s = WINDOW_S[window]
    number = now_s // length_s
    return f"u:{name}:{window}:{number}", (number + 2) * length_s


def _outcome(score: float, actions: set[str]) -> str:
    if "block" in actions or score >= BLOCK_AT:
        return "block"
    return "review" if "review" in actions or score >= REVIEW_AT else "allow"
