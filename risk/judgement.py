"""Steps 4 and 5 of the walk: features to score, rules, policy, and the bytes of a decision.

No clock, no randomness and no network: every input is an argument or an immutable version
that the evidence names, so the same inputs give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import numpy as np
from msgspec import UNSET

from risk.domain.decision import (
    Decision,
    Degraded,
    Digests,
    Evidence,
    LogPosition,
    Reason,
    encode_decision,
)
from risk.domain.findings import NO_LISTS, Findings, ListSnapshot
from risk.domain.observation import Arrival, Claimed, Lost, Windowed
from risk.domain.outcome import Outcome
from risk.domain.times import rfc3339
from risk.policy import Judgement as Ruling
from risk.policy import Policy, Situation, fall_back, judge, lot

if TYPE_CHECKING:
    from numpy.typing import NDArray

# How long the payment flow may rely on a decision before it asks again under a new id.
DECISION_VALID_MS: Final = 15 * 60 * 1000

Claim = tuple[Arrival, Claimed | Lost]


class Judged(msgspec.Struct, frozen=True, gc=False):
    """The bytes of a decision, and what they say."""

    body: bytes
    outcome: Outcome
    score: float | None
    degraded: tuple[Degraded, ...]
    rules_failed: int


class Contribution(Protocol):
    """What one feature did to a score."""

    @property
    def feature(self) -> str: ...

    @property
    def value(self) -> float: ...

    @property
    def words(self) -> str:
        """A whole sentence for an analyst; "" where the model brought no wording."""
        ...


class Scoring(Protocol):
    """The model as the judgement sees it: vectors in catalogue order to probabilities."""

    @property
    def model_digest(self) -> str: ...

    @property
    def calibration_digest(self) -> str: ...

    def score(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]: ...

    def reasons(self, matrix: NDArray[np.float64]) -> Sequence[Sequence[Contribution]]: ...


class Rules(Protocol):
    """The compiled book: one Findings per payment, in order; it never raises."""

    @property
    def digest(self) -> str: ...

    @property
    def windows(self) -> tuple[str, ...]:
        """The texts of the windows that the book reads."""
        ...

    def evaluate(
        self,
        arrivals: Sequence[Arrival],
        matrix: NDArray[np.float64],
        scores: Sequence[float | None],
        windows: Sequence[Windowed | None] = (),
    ) -> list[Findings]: ...


@dataclass(frozen=True, slots=True)
class Versions:
    """The immutable versions that judge. A new version is a new object, swapped whole."""

    scoring: Scoring | None
    rules: Rules
    policy: Policy
    digests: Digests
    lists: ListSnapshot = NO_LISTS


@dataclass(frozen=True, slots=True)
class Constants:
    """What is the same for every decision of a process."""

    feature_names: tuple[str, ...]
    catalogue_digest: str
    rates_digest: str
    engine: str
    libraries: dict[str, str]

    def versions(
        self,
        scoring: Scoring | None,
        rules: Rules,
        policy: Policy,
        lists: ListSnapshot = NO_LISTS,
    ) -> Versions:
        """These versions with their digests, which every decision names.

        ``rules`` must have been compiled with ``lists``.
        """
        digests = Digests(
            catalogue=self.catalogue_digest,
            model=scoring.model_digest if scoring else "",
            calibration=scoring.calibration_digest if scoring else "",
            book=rules.digest,
            lists=lists.digest(),
            policy=policy.digest(),
            rates=self.rates_digest,
        )
        return Versions(scoring, rules, policy, digests, lists)


class Judgement:
    """Turns claims into decision bytes. ``versions`` may be replaced between batches."""

    def __init__(self, constants: Constants, versions: Versions) -> None:
        self.constants = constants
        self.versions = versions

    @property
    def rates_digest(self) -> str:
        return self.constants.rates_digest

    def judge(self, claims: Sequence[Claim], versions: Versions | None = None) -> list[Judged]:
        """The decision of each claim, in order.

        One set of versions judges the whole batch: those with which its vectors were made,
        where they are given.
        """
        if not claims:
            return []
        versions = versions or self.versions
        matrix = self._matrix(claims)
        scores = self._scores(claims, matrix, versions.scoring)
        arrivals = [claim[0] for claim in claims]
        windows = [_windows(seen) for _, seen in claims] if versions.rules.windows else []
        findings = versions.rules.evaluate(arrivals, matrix, scores, windows)
        rulings = [
            judge(_situation(claim, score, found, versions), versions.policy)
            for claim, score, found in zip(claims, scores, findings, strict=True)
        ]
        words = self._model_reasons(matrix, rulings, versions.scoring)
        return [
            self._judged(claim, score, ruling, words.get(place, []), versions)
            for place, (claim, score, ruling) in enumerate(
                zip(claims, scores, rulings, strict=True)
            )
        ]

    def fallback(self, arrival: Arrival) -> Judged:
        """The configured answer without Redis; it is never authoritative."""
        ruling = fall_back(self.versions.policy)
        lost = Lost(LogPosition("", "", 0, 0, 0, 0), ())
        decision = self._decision((arrival, lost), None, ruling, self.versions)
        body = encode_decision(msgspec.structs.replace(decision, authoritative=False))
        return Judged(body, ruling.outcome, None, ruling.degraded, 0)

    def _matrix(self, claims: Sequence[Claim]) -> NDArray[np.float64]:
        """(n, features); a payment without features has a row of NaN."""
        matrix = np.full((len(claims), len(self.constants.feature_names)), math.nan)
        for place, (_, seen) in enumerate(claims):
            if isinstance(seen, Claimed) and seen.vector is not None:
                matrix[place] = seen.vector
        return matrix

    @staticmethod
    def _scores(
        claims: Sequence[Claim], matrix: NDArray[np.float64], scoring: Scoring | None
    ) -> list[float | None]:
        if scoring is None:
            return [None] * len(claims)
        return [
            float(score) if isinstance(claim[1], Claimed) else None
            for claim, score in zip(claims, scoring.score(matrix), strict=True)
        ]

    def _model_reasons(
        self, matrix: NDArray[np.float64], rulings: Sequence[Ruling], scoring: Scoring | None
    ) -> dict[int, list[Reason]]:
        """For payments that the model stopped: the features that spoke loudest."""
        places = [
            place
            for place, ruling in enumerate(rulings)
            if any(reason.code in ("MODEL_BLOCK", "MODEL_REVIEW") for reason in ruling.reasons)
        ]
        if scoring is None or not places:
            return {}
        told = scoring.reasons(matrix[places])
        return {
            place: self._tell(matrix[place], contributions)
            for place, contributions in zip(places, told, strict=True)
        }

    def _tell(
        self, row: NDArray[np.float64], contributions: Sequence[Contribution]
    ) -> list[Reason]:
        if contributions and all(one.words for one in contributions):
            return [
                Reason(code=f"MODEL_REASON_{place}", sentence=one.words, customer="")
                for place, one in enumerate(contributions[:3], 1)
            ]
        # Models from before the wording keep giving their bytes.
        names = self.constants.feature_names
        parts = [
            f"{one.feature.replace('_', ' ')} is {plain(float(row[names.index(one.feature)]))}"
            for one in contributions[:3]
        ]
        return [
            Reason(
                code="MODEL_EXPLANATION",
                sentence="What raised the score most: " + "; ".join(parts) + ".",
                customer="",
            )
        ]

    def _judged(
        self,
        claim: Claim,
        score: float | None,
        ruling: Ruling,
        words: list[Reason],
        versions: Versions,
    ) -> Judged:
        decision = self._decision(claim, score, ruling, versions)
        if words:
            decision = msgspec.structs.replace(decision, reasons=[*decision.reasons, *words])
        return Judged(
            encode_decision(decision),
            ruling.outcome,
            score,
            ruling.degraded,
            len(ruling.rule_errors),
        )

    def _decision(
        self, claim: Claim, score: float | None, ruling: Ruling, versions: Versions
    ) -> Decision:
        arrival = claim[0]
        event = arrival.event
        return Decision(
            payment_id=event.id,
            tenant=event.tenant,
            outcome=ruling.outcome,
            score=score,
            reasons=list(ruling.reasons),
            rule_hits=list(ruling.rule_hits),
            expected_cost=ruling.expected_cost,
            degraded=list(ruling.degraded),
            authoritative=True,
            # The arrival is the time that the decision used; a replay has no other clock.
            decided_at=rfc3339(arrival.arrived_at_ms),
            expires_at=rfc3339(arrival.arrived_at_ms + DECISION_VALID_MS),
            evidence=self._evidence(claim, ruling, versions),
        )

    def _evidence(self, claim: Claim, ruling: Ruling, versions: Versions) -> Evidence:
        arrival, seen = claim
        constants = self.constants
        vector = seen.vector if isinstance(seen, Claimed) else None
        windows = _windows(seen)
        return Evidence(
            event=msgspec.Raw(arrival.body),
            fingerprint=arrival.fingerprint.hex(),
            door=arrival.door,
            arrived_at=rfc3339(arrival.arrived_at_ms),
            # NaN is written as null.
            vector=None if vector is None else vector.tolist(),
            windows=UNSET
            if windows is None
            else dict(zip(windows.names, windows.values.tolist(), strict=True)),
            inexact=list(seen.inexact) if isinstance(seen, Claimed) else [],
            positions=list(seen.positions),
            features_lost=seen.position if isinstance(seen, Lost) and seen.positions else None,
            digests=versions.digests,
            rule_errors=list(ruling.rule_errors),
            engine=constants.engine,
            libraries=constants.libraries,
        )


def told_windows(evidence: Evidence) -> Windowed | None:
    """The windows that a decision was made with, as they were claimed then."""
    if not evidence.windows:
        return None
    values = [math.nan if value is None else value for value in evidence.windows.values()]
    return Windowed(tuple(evidence.windows), np.array(values, np.float64))


def _windows(seen: Claimed | Lost) -> Windowed | None:
    return seen.windows if isinstance(seen, Claimed) else None


def _situation(
    claim: Claim, score: float | None, findings: Findings, versions: Versions
) -> Situation:
    arrival, seen = claim
    event = arrival.event
    explores = versions.policy.explore_share > 0.0
    has_features = isinstance(seen, Claimed)
    return Situation(
        amount_base=arrival.amount_base,
        score=score,
        findings=findings if has_features else None,
        list_hits=versions.lists.hits(event),
        has_features=has_features,
        channel=getattr(event, "channel", None),
        draw=lot(versions.digests.policy, event.tenant, event.id) if explores else 1.0,
    )


def plain(value: float) -> str:
    """A feature's value for people."""
    if math.isnan(value):
        return "missing"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
