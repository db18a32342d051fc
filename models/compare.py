"""Champion and challenger on the same live payments: agreement, flips, money, and truth as known.

Intervals are 95 %, from drawings of accounts with all their payments (``models.measures``). Both
models are measured on the same drawings, so a difference has an interval of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.measures import Graded, as_json, measured
from models.rows import amount_band
from models.shadow import ShadowBatch
from risk.domain.truth import verdicts
from risk.policy import Policy

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Words = NDArray[np.object_]
Labels = Mapping[tuple[str, str], Sequence[tuple[int, str]]]

REPLICATES: Final = 200
ACTIONS: Final = ("allow", "review", "block")
SEGMENTS_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class Pairs:
    """Payments that both models scored, each once, a column each; ``dropped`` were left out.

    ``amount`` is -1 where unknown. ``name`` is (tenant, payment id).
    """

    name: list[tuple[str, str]]
    account: Ints
    at_ms: Ints
    amount: Ints
    segments: Mapping[str, Words]
    champion: Floats
    challenger: Floats
    dropped: int

    def __len__(self) -> int:
        return len(self.name)


def pairs_of(
    batches: Iterable[ShadowBatch], champion: tuple[str, str], challenger: tuple[str, str]
) -> Pairs:
    """What exactly these two models (digests of model and calibration) scored."""
    rows: dict[tuple[str, str], tuple[Any, ...]] = {}
    dropped = 0
    for one in batches:
        if (one.champion, one.challenger) != (champion, challenger):
            continue
        dropped += one.dropped
        names = zip(one.tenant, one.payment_id, strict=True)
        told = zip(one.account, one.at_ms, one.amount, one.channel, one.country,
                   one.champion_score, one.challenger_score, strict=True)  # fmt: skip
        rows.update(zip(names, told, strict=True))
    people: dict[tuple[str, ...], int] = {}
    account: list[int] = []
    columns: list[tuple[Any, ...]] = list(zip(*rows.values(), strict=True)) or [()] * 7
    for name, said in zip(rows, columns[0], strict=True):
        # Who has no account is nobody else.
        account.append(people.setdefault((name[0], said) if said else (*name, ""), len(people)))
    amount = np.array([-1 if one is None else one for one in columns[2]], np.int64)
    return Pairs(
        name=list(rows),
        account=np.array(account, np.int64),
        at_ms=np.array(columns[1], np.int64),
        amount=amount,
        segments={
            "channel": np.array(columns[3], object),
            "country": np.array(columns[4], object),
            "amount": amount_band(amount),
        },
        champion=np.array(columns[5], np.float64),
        challenger=np.array(columns[6], np.float64),
        dropped=dropped,
    )


def compare(
    pairs: Pairs,
    labels: Labels,
    policy: Policy,
    now_ms: int,
    label_delay_ms: int,
    seed: int = 1,
) -> dict[str, Any]:
    """The comparison as ``weir models compare`` reports it; nothing where there are no pairs.

    ``labels`` are (known at ms, label) by (tenant, payment id). Metrics and money look only at
    payments whose labels had ``label_delay_ms`` to arrive: younger ones are the immature share.
    """
    count = len(pairs)
    found: dict[str, Any] = {
        "payments": count, "dropped": pairs.dropped, "immature_share": None, "frauds": None,
        "rank_correlation": None, "agreement": None, "flips": {}, "stop_rate": None,
        "block_rate": None, "mean_score": None, "metrics": None, "money": None,
        "average_precision_gain": None, "segments": [],
    }  # fmt: skip
    if count == 0:
        return found
    actions = [_actions(scores, pairs, policy) for scores in (pairs.champion, pairs.challenger)]
    draw = _Drawings(pairs.account, seed)
    mature = pairs.at_ms + label_delay_ms <= now_ms
    fraud = _fraud(pairs, labels, now_ms)
    ranks = (_ranks(pairs.champion), _ranks(pairs.challenger))
    found |= {
        "immature_share": float(1.0 - mature.mean()),
        "frauds": int(fraud[mature].sum()),
        "rank_correlation": draw.interval(lambda weight: _correlation(*ranks, weight)),
        "agreement": draw.interval(lambda weight: _share(actions[0] == actions[1], weight)),
        "flips": _flips(*actions),
        "stop_rate": _both(lambda place: float((actions[place] > 0).mean())),
        "block_rate": _both(lambda place: float((actions[place] > 1).mean())),
        "mean_score": _both(
            lambda place: float((pairs.champion, pairs.challenger)[place].mean())
        ),
    }  # fmt: skip
    if 0 < found["frauds"] < int(mature.sum()):
        found |= _truth(pairs, fraud, mature, (actions[0], actions[1]), policy, seed)
    found["segments"] = _segments(pairs, fraud & mature, mature, (actions[0], actions[1]))
    return found


def _truth(
    pairs: Pairs,
    fraud: Flags,
    mature: Flags,
    actions: tuple[Ints, Ints],
    policy: Policy,
    seed: int,
) -> dict[str, Any]:
    """What can be said where the truth is known."""
    draw = _Drawings(pairs.account[mature], seed)
    truth = fraud[mature]
    scores = (pairs.champion[mature], pairs.challenger[mature])
    curves = [_Curve(truth, one) for one in scores]
    costs = [_costs(truth, pairs.amount[mature], one[mature], policy) for one in actions]
    saved = costs[0] - costs[1]
    metrics = [
        as_json(
            measured(
                [Graded(truth, one, pairs.account[mature], pairs.at_ms[mature],
                        np.maximum(pairs.amount[mature], 0), policy.review_at)],
                seed, REPLICATES,
            )
        )
        for one in scores
    ]  # fmt: skip
    return {
        "metrics": {"champion": metrics[0], "challenger": metrics[1]},
        "money": {
            "champion_minor": round(float(costs[0].sum())),
            "challenger_minor": round(float(costs[1].sum())),
            "saved_minor": draw.interval(lambda weight: float((weight * saved).sum())),
        },
        "average_precision_gain": draw.interval(
            lambda weight: curves[1].precision(weight) - curves[0].precision(weight)
        ),
    }  # fmt: skip


def _segments(
    pairs: Pairs, fraud: Flags, mature: Flags, actions: tuple[Ints, Ints]
) -> list[dict[str, Any]]:
    found = []
    for kind, words in pairs.segments.items():
        names, counts = np.unique(words.astype(str), return_counts=True)
        for place in np.argsort(-counts, kind="stable")[:SEGMENTS_MAX]:
            here = words == names[place]
            known = here & mature
            truth, gain = fraud[known], None
            if 0 < truth.sum() < len(truth):
                weight = np.ones(len(truth))
                before = _Curve(truth, pairs.champion[known]).precision(weight)
                gain = _Curve(truth, pairs.challenger[known]).precision(weight) - before
            found.append(
                {
                    "kind": kind,
                    "name": str(names[place]),
                    "payments": int(counts[place]),
                    "frauds": int(truth.sum()),
                    "stop_rate": {
                        "champion": float((actions[0][here] > 0).mean()),
                        "challenger": float((actions[1][here] > 0).mean()),
                    },
                    "average_precision_gain": gain,
                }
            )
    return found


def _fraud(pairs: Pairs, labels: Labels, now_ms: int) -> Flags:
    """Which payments are held for fraud at ``now_ms``."""
    fraud = np.zeros(len(pairs), np.bool_)
    for place, name in enumerate(pairs.name):
        known = [one for one in labels.get(name, ()) if one[0] <= now_ms]
        fraud[place] = bool(known) and verdicts(known)[-1][1]
    return fraud


def _actions(scores: Floats, pairs: Pairs, policy: Policy) -> Ints:
    """0 allow, 1 review, 2 block, by the thresholds of the policy alone."""
    review, block = np.empty(len(scores)), np.empty(len(scores))
    channels = pairs.segments["channel"]
    for channel in np.unique(channels.astype(str)):
        here = channels == channel
        review[here], block[here] = policy.thresholds(str(channel))
    return (scores >= review).astype(np.int64) + (scores >= block)


def _flips(before: Ints, after: Ints) -> dict[str, int]:
    names, counts = np.unique(before * 3 + after, return_counts=True)
    return {
        f"{ACTIONS[name // 3]}->{ACTIONS[name % 3]}": int(count)
        for name, count in zip(names.tolist(), counts.tolist(), strict=True)
        if name // 3 != name % 3
    }


def _costs(fraud: Flags, amount: Ints, action: Ints, policy: Policy) -> Floats:
    """What each payment cost under its action, now that the truth is known; base minor units.

    An unknown amount counts as 0, for both models alike.
    """
    money = np.maximum(amount, 0)
    allow = fraud * (policy.loss_share * money + policy.fee_minor)
    block = ~fraud * (policy.stopped_customer_minor + policy.margin_share * money)
    review = (
        policy.review_minor + policy.review_miss_share * allow + policy.review_stop_share * block
    )
    return np.asarray(np.choose(action, (allow, review, block)), np.float64)


def _both(figure: Any) -> dict[str, float]:
    return {"champion": figure(0), "challenger": figure(1)}


def _ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2.0)[place], np.float64)


def _correlation(one: Floats, other: Floats, weight: Floats) -> float:
    total = weight.sum()
    a = one - (weight * one).sum() / total
    b = other - (weight * other).sum() / total
    spread = float(np.sqrt((weight * a * a).sum() * (weight * b * b).sum()))
    return float((weight * a * b).sum()) / spread if spread > 0 else float("nan")


def _share(flags: Flags, weight: Floats) -> float:
    return float((weight * flags).sum() / weight.sum())


class _Curve:
    """A ranking sorted once; average precision under weights of the payments."""

    def __init__(self, fraud: Flags, score: Floats) -> None:
        self._order = np.argsort(-score, kind="stable")
        ranked = score[self._order]
        self._ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        self._fraud = fraud[self._order]

    def precision(self, weight: Floats) -> float:
        """Average precision; NaN without frauds."""
        here = weight[self._order]
        caught = np.cumsum(here * self._fraud)[self._ends]
        seen = np.maximum(np.cumsum(here)[self._ends], 1e-300)
        if caught[-1] == 0:
            return float("nan")
        return float((np.diff(caught, prepend=0.0) * caught / seen).sum() / caught[-1])


class _Drawings:
    """Weights of payments in drawings of accounts, the same for every figure."""

    def __init__(self, account: Ints, seed: int) -> None:
        self._people, self._place = np.unique(account, return_inverse=True)
        self._seed = seed

    def interval(self, figure: Any) -> dict[str, float | None]:
        """``figure`` of all payments, and the middle 95 % over the drawings."""
        rng = np.random.Generator(np.random.PCG64(self._seed))
        count = len(self._people)
        value = figure(np.ones(len(self._place)))
        drawn = []
        for _ in range(REPLICATES):
            weight = np.bincount(rng.integers(0, count, count), minlength=count)
            drawn.append(figure(weight[self._place].astype(np.float64)))
        known = np.array([one for one in drawn if np.isfinite(one)])
        if not np.isfinite(value) or len(known) == 0:
            return {"value": None, "low": None, "high": None}
        low, high = np.quantile(known, (0.025, 0.975)).tolist()
        return {"value": value, "low": low, "high": high}
