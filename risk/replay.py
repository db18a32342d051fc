"""A decision made again: from its evidence and the versions that it names, to the same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from risk.domain.decision import Decision, LogPosition, RuleHit
from risk.domain.errors import BadVersion
from risk.domain.event import AnyEvent
from risk.domain.findings import Findings
from risk.domain.observation import Arrival, Claimed, Lost, Windowed
from risk.domain.times import parse_rfc3339
from risk.judgement import Constants, Judgement, Rules, Scoring, told_windows
from risk.policy import Policy

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOWHERE = LogPosition("", "", 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Recalled:
    """The versions that a decision names. ``feature_names`` are those of its catalogue."""

    feature_names: tuple[str, ...]
    scoring: Scoring | None
    rules: Rules
    policy: Policy


def judge_again(
    decision: Decision,
    event: AnyEvent,
    amount_base: int | None,
    recalled: Recalled,
    vector: NDArray[np.float64] | None = None,
) -> bytes:
    """The bytes of ``decision``, judged anew; the outcome told by ``decision`` is not looked at.

    ``vector`` (F,) stands in for the stored one, for example a rebuilt one. What was lost when
    the decision was made (model, features, a failed rule) is lost again. Engine and libraries
    are those of the evidence. Pure. Raises BadVersion where evidence and versions do not fit.
    """
    evidence = decision.evidence
    if evidence is None:
        raise BadVersion(f"the decision on payment {decision.payment_id} has no evidence")
    failed = tuple(evidence.rule_errors)
    rules = _Failing(recalled.rules, failed) if failed else recalled.rules
    constants = Constants(
        feature_names=recalled.feature_names,
        catalogue_digest=evidence.digests.catalogue,
        rates_digest=evidence.digests.rates,
        engine=evidence.engine,
        libraries=evidence.libraries,
    )
    judgement = Judgement(constants, constants.versions(recalled.scoring, rules, recalled.policy))
    arrival = Arrival(
        event=event,
        body=bytes(evidence.event),
        fingerprint=bytes.fromhex(evidence.fingerprint),
        door=evidence.door,
        arrived_at_ms=parse_rfc3339(evidence.arrived_at),
        amount_base=amount_base,
    )
    if "fallback" in decision.degraded:
        return judgement.fallback(arrival).body
    return judgement.judge([(arrival, _seen(decision, recalled, vector))])[0].body


def stored_vector(decision: Decision) -> NDArray[np.float64] | None:
    """The vector in the evidence (F,), NaN where missing; None where features were lost."""
    told = decision.evidence.vector if decision.evidence else None
    if told is None:
        return None
    return np.array([math.nan if one is None else one for one in told], np.float64)


def first_difference(stored: bytes, again: bytes) -> str:
    """The first field, in order of names, in which two decisions differ; "" where none does."""
    return _differs(msgspec.json.decode(stored), msgspec.json.decode(again), "")


def _seen(
    decision: Decision, recalled: Recalled, vector: NDArray[np.float64] | None
) -> Claimed | Lost:
    evidence = decision.evidence
    assert evidence is not None
    positions = tuple(evidence.positions)
    if evidence.vector is None:
        return Lost(evidence.features_lost or NOWHERE, positions)
    used = stored_vector(decision) if vector is None else vector
    assert used is not None
    if len(used) != len(recalled.feature_names):
        raise BadVersion(
            f"the vector has {len(used)} values, its catalogue {len(recalled.feature_names)}"
        )
    return Claimed(positions, used, tuple(evidence.inexact), told_windows(evidence))


class _Failing:
    """A book of which these rules failed, whatever they would say now."""

    def __init__(self, rules: Rules, failures: tuple[RuleHit, ...]) -> None:
        self._rules = rules
        self._failures = failures
        self._names = {one.rule for one in failures}
        self.digest = rules.digest
        self.windows = rules.windows

    def evaluate(
        self,
        arrivals: Sequence[Arrival],
        matrix: NDArray[np.float64],
        scores: Sequence[float | None],
        windows: Sequence[Windowed | None] = (),
    ) -> list[Findings]:
        """The findings of the book, with the failures that were met then."""
        return [
            msgspec.structs.replace(
                one,
                hits=tuple(hit for hit in one.hits if hit.rule.rule not in self._names),
                failures=self._failures,
            )
            for one in self._rules.evaluate(arrivals, matrix, scores, windows)
        ]


def _differs(one: object, other: object, path: str) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys()):
            missing = (name in one) != (name in other)
            found = (
                f"{path}/{name}" if missing else _differs(one[name], other[name], f"{path}/{name}")
            )
            if found:
                return found
        return ""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            found = _differs(left, right, f"{path}/{place}")
            if found:
                return found
        return ""
    return "" if one == other else path or "/"
