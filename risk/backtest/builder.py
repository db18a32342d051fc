"""Turns decisions into a block of columns: each field read once, as the rules read it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from risk.backtest.block import OUTCOMES, Block, Ids, id_key
from risk.backtest.columns import Flags, Floats, Text
from risk.domain.decision import Decision
from risk.domain.decoding import decode_stored
from risk.domain.errors import InvalidEvent
from risk.domain.event import AnyEvent, Payment
from risk.domain.observation import Arrival
from risk.domain.times import parse_rfc3339
from risk.rules.schema import FIELDS
from risk.rules.syntax import Type

# The amount in the base currency by the table of exchange rates with this digest.
ToBase = Callable[[AnyEvent, str], int | None]
# Fields that lists may act on and rules do not name.
LISTED_FIELDS: Final = ("email_hash", "phone_hash", "ip_prefix")
NUMBER_FIELDS: Final = tuple(field for field in FIELDS if field.type is not Type.TEXT)
TEXT_FIELDS: Final = tuple(field for field in FIELDS if field.type is Type.TEXT)
TEXT_NAMES: Final = (*(field.name for field in TEXT_FIELDS), *LISTED_FIELDS)


class _Words:
    """A column of texts that is still written."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._codes = array("i")

    def add(self, word: str | None) -> None:
        code = -1 if word is None else self._places.setdefault(word, len(self._places))
        self._codes.append(code)

    def column(self) -> Text:
        return Text(np.array(self._codes, np.int32), tuple(self._places))


class BlockBuilder:
    """Takes decisions in the order of their topic. ``features`` are those of the vectors.

    ``left_out`` counts, by cause, the decisions that have no row. ``newest`` is when the newest
    decision was made, and the digest of the policy that it names.
    """

    def __init__(self, features: Sequence[str], catalogue: str, to_base: ToBase) -> None:
        self._names = tuple(features)
        self._catalogue = catalogue
        self._to_base = to_base
        self._ids: list[str] = []
        self._keys = array("Q")
        self._tenant = _Words()
        self._decided = array("q")
        self._outcome = array("b")
        self._score = array("d")
        self._seen = array("b")
        self._vectors: list[Floats] = []
        self._numbers = {field.name: array("d") for field in NUMBER_FIELDS}
        self._texts = {name: _Words() for name in TEXT_NAMES}
        self._windows: dict[str, list[tuple[int, float]]] = {}
        self.left_out: dict[str, int] = {}
        self.newest: tuple[int, str] = (-1, "")

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, decision: Decision) -> None:
        """A row for ``decision``, or one more of ``left_out``."""
        cause = self._cause(decision)
        if cause is None:
            try:
                self._add(decision)
                return
            except (InvalidEvent, ValueError):
                cause = "damaged"
        self.leave_out(cause)

    def leave_out(self, cause: str) -> None:
        """Count a decision that has no row."""
        self.left_out[cause] = self.left_out.get(cause, 0) + 1

    def _cause(self, decision: Decision) -> str | None:
        evidence = decision.evidence
        if not decision.authoritative or "fallback" in decision.degraded:
            return "fallback"
        if evidence is None:
            return "without_evidence"
        if evidence.vector is not None and (
            evidence.digests.catalogue != self._catalogue
            or len(evidence.vector) != len(self._names)
        ):
            return "other_catalogue"
        return None

    def _add(self, decision: Decision) -> None:
        evidence = decision.evidence
        assert evidence is not None
        event = decode_stored(bytes(evidence.event)).event
        if not isinstance(event, Payment):
            raise ValueError("no payment was decided")
        decided_ms = parse_rfc3339(decision.decided_at)
        amount = self._to_base(event, evidence.digests.rates)
        arrival = Arrival(event, b"", b"", evidence.door, decided_ms, amount)
        # Everything is read before anything is kept, so that no column gets ahead of another.
        numbers = [float(field.read(arrival, event) or 0.0) for field in NUMBER_FIELDS]
        words = [field.read(arrival, event) for field in TEXT_FIELDS]
        vector = _vector(evidence.vector, len(self._names))
        self.newest = max(self.newest, (decided_ms, evidence.digests.policy))
        row = len(self._ids)
        self._ids.append(decision.payment_id)
        self._keys.append(id_key(decision.tenant, decision.payment_id))
        self._tenant.add(decision.tenant)
        self._decided.append(decided_ms)
        self._outcome.append(OUTCOMES.index(decision.outcome))
        self._score.append(math.nan if decision.score is None else decision.score)
        self._seen.append(evidence.vector is not None)
        self._vectors.append(vector)
        for field, number in zip(NUMBER_FIELDS, numbers, strict=True):
            self._numbers[field.name].append(number)
        for field, word in zip(TEXT_FIELDS, words, strict=True):
            self._texts[field.name].add(None if word is None else str(word))
        for name in LISTED_FIELDS:
            self._texts[name].add(getattr(event, name))
        for text, value in (evidence.windows or {}).items():
            self._windows.setdefault(text, []).append((row, math.nan if value is None else value))

    def block(self, name: str) -> Block:
        """The columns of all that was added."""
        rows = len(self._ids)
        vectors = np.array(self._vectors, np.float64).reshape(rows, len(self._names))
        return Block(
            name=name,
            ids=Ids.of(self._ids),
            keys=np.array(self._keys, np.uint64),
            tenant=self._tenant.column(),
            decided_ms=np.array(self._decided, np.int64),
            outcome=np.array(self._outcome, np.int8),
            score=np.array(self._score, np.float64),
            has_features=np.array(self._seen, np.bool_),
            features=np.ascontiguousarray(vectors.T),
            places={feature: place for place, feature in enumerate(self._names)},
            numbers={one: np.array(held, np.float64) for one, held in self._numbers.items()},
            texts={one: words.column() for one, words in self._texts.items()},
            windows={text: _window(held, rows) for text, held in self._windows.items()},
        )


def _vector(told: list[float | None] | None, width: int) -> Floats:
    if told is None:
        return np.full(width, math.nan)
    return np.array(told, np.float64)  # None becomes NaN


def _window(held: list[tuple[int, float]], rows: int) -> tuple[Floats, Flags]:
    values, known = np.full(rows, math.nan), np.zeros(rows, np.bool_)
    places = [row for row, _ in held]
    values[places] = [value for _, value in held]
    known[places] = True
    return values, known
