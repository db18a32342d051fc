"""A decision made again: from its evidence and the versions that it names, to the same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from risk.domain.decision import Decision, Evidence, LogPosition, RuleHit
from risk.domain.decoding import decode_stored
from risk.domain.errors import BadVersion, InvalidEvent
from risk.domain.findings import NO_LISTS, Findings, ListSnapshot
from risk.domain.observation import Arrival, Claimed, Lost, Windowed
from risk.domain.outcome import Outcome
from risk.domain.times import parse_rfc3339
from risk.judgement import Constants, Judgement, Rules, Scoring, Versions, told_windows
from risk.policy import Policy

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOWHERE: Final = LogPosition("", "", 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Named:
    """What the digests of a decision stand for. ``features`` are those of its catalogue, in order.

    ``rules`` were compiled with ``lists``. ``amount_base`` is the payment's amount by the
    exchange rates that the decision names.
    """

    features: tuple[str, ...]
    amount_base: int | None
    scoring: Scoring | None
    rules: Rules
    policy: Policy
    lists: ListSnapshot = NO_LISTS


def judge_again(decision: Decision, named: Named) -> bytes:
    """The bytes of ``decision``, judged anew; what ``decision`` answered is not looked at.

    Its evidence gives the vector and the windows. What was lost when it was made (model,
    features, a failed rule) is lost again. Digests, engine and libraries are those of the
    evidence: ``named`` was looked up by them. Pure. Raises BadVersion where they do not fit.
    """
    judgement = _judgement(evidence_of(decision), named)
    arrival = _arrival(decision, named)
    if "fallback" in decision.degraded:
        return judgement.fallback(arrival).body
    return judgement.judge([(arrival, _seen(decision, named))])[0].body


def _judgement(evidence: Evidence, named: Named) -> Judgement:
    failed = evidence.rule_errors
    rules = RecordedFailures(named.rules, failed) if failed else named.rules
    constants = Constants(
        feature_names=named.features,
        catalogue_digest=evidence.digests.catalogue,
        rates_digest=evidence.digests.rates,
        engine=evidence.engine,
        libraries=evidence.libraries,
    )
    versions = Versions(named.scoring, rules, named.policy, evidence.digests, named.lists)
    return Judgement(constants, versions)


def outcomes_with(decision: Decision, named: Named, matrix: NDArray[np.float64]) -> list[Outcome]:
    """The outcome that each vector of ``matrix`` (n, F) would have had in place of its own.

    Raises BadVersion where the decision has no vector.
    """
    evidence = evidence_of(decision)
    seen = _seen(decision, named)
    if isinstance(seen, Lost):
        raise BadVersion(f"payment {decision.payment_id} was decided without features")
    judgement = _judgement(evidence, named)
    arrival = _arrival(decision, named)
    claims = [(arrival, msgspec.structs.replace(seen, vector=row)) for row in matrix]
    return [one.outcome for one in judgement.judge(claims)]


def evidence_of(decision: Decision) -> Evidence:
    """Its evidence; raises BadVersion where it has none."""
    if decision.evidence is None:
        raise BadVersion(f"the decision on payment {decision.payment_id} has no evidence")
    return decision.evidence


def first_difference(published: bytes, made: bytes) -> str:
    """The first field, as they stand, in which two decisions differ; "" where none does."""
    if published == made:
        return ""
    path, one, other = parted(published, made)
    return f"{path}: {one} was published, {other} is made" if path else "in its bytes"


def parted(published: bytes, made: bytes) -> tuple[str, str | None, str | None]:
    """Where two decisions part: the path of the first field, and both of its values as JSON.

    The path is "" and there are no values where only the bytes differ.
    """
    found = _differs(msgspec.json.decode(published), msgspec.json.decode(made), "")
    return found or ("", None, None)


def _arrival(decision: Decision, named: Named) -> Arrival:
    evidence = evidence_of(decision)
    try:
        return Arrival(
            event=decode_stored(bytes(evidence.event)).event,
            body=bytes(evidence.event),
            fingerprint=bytes.fromhex(evidence.fingerprint),
            door=evidence.door,
            arrived_at_ms=parse_rfc3339(evidence.arrived_at),
            amount_base=named.amount_base,
        )
    except (ValueError, InvalidEvent) as error:
        who = decision.payment_id
        raise BadVersion(f"the evidence of payment {who} is not Weir's: {error}") from None


def _seen(decision: Decision, named: Named) -> Claimed | Lost:
    evidence = evidence_of(decision)
    positions = tuple(evidence.positions)
    if evidence.vector is None:
        return Lost(evidence.features_lost or NOWHERE, positions)
    if len(evidence.vector) != len(named.features):
        raise BadVersion(
            f"the vector has {len(evidence.vector)} values, its catalogue {len(named.features)}"
        )
    values = [math.nan if one is None else one for one in evidence.vector]
    vector = np.array(values, np.float64)
    return Claimed(positions, vector, tuple(evidence.inexact), told_windows(evidence))


class RecordedFailures:
    """A book of which these rules failed, whatever they would say now."""

    def __init__(self, rules: Rules, failures: Sequence[RuleHit]) -> None:
        self._rules = rules
        self._failures = tuple(failures)
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


def _differs(one: object, other: object, path: str) -> tuple[str, str, str] | None:
    if isinstance(one, dict) and isinstance(other, dict) and list(one) == list(other):
        parts = [(f"{path}.{name}" if path else name, one[name], other[name]) for name in one]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        parts = [(f"{path}[{place}]", left, right) for place, (left, right) in pairs]
    elif one == other:
        return None
    else:
        return path, msgspec.json.encode(one).decode(), msgspec.json.encode(other).decode()
    found = (_differs(left, right, where) for where, left, right in parts)
    return next((one for one in found if one), None)
