"""What a challenger must not do to payments: limits with units, and the verdict on each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from risk.domain.errors import BadConfiguration

FILE_NAME: Final = "guardrails.json"
_SHARES: Final = ("rate_floor", "calibration_worse_max", "average_precision_drop_max",
                  "segment_average_precision_drop_max", "dropped_share_max")  # fmt: skip
_CHANGES: Final = ("stop_rate_change_max", "block_rate_change_max", "mean_score_change_max",
                   "segment_stop_rate_change_max")  # fmt: skip
_COUNTS: Final = ("payments_min", "frauds_min", "segment_payments_min")


class Guardrails(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits. A change is a part of the champion's figure: 0.25 is a quarter more or less."""

    payments_min: int = 1_000  # payments that both scored
    dropped_share_max: float = 0.05  # of payments that the challenger left out
    rank_correlation_min: float = 0.80  # Spearman, -1 to 1
    stop_rate_change_max: float = 0.25  # of the share at or above review_at
    block_rate_change_max: float = 0.50  # of the share at or above block_at
    rate_floor: float = 0.001  # share of payments; a smaller change of a rate never counts
    mean_score_change_max: float = 0.50  # of the mean score
    frauds_min: int = 30  # labelled frauds from which the limits on labels judge
    calibration_worse_max: float = 0.005  # expected calibration error, probability
    average_precision_drop_max: float = 0.02  # average precision, 0 to 1
    segment_payments_min: int = 200  # payments from which a segment is judged
    segment_stop_rate_change_max: float = 0.50
    segment_average_precision_drop_max: float = 0.05

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise BadConfiguration(f"guardrails: {name} must lie between 0 and 1")
        for name in _CHANGES:
            if not getattr(self, name) >= 0.0:
                raise BadConfiguration(f"guardrails: {name} must be a number from 0")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise BadConfiguration(f"guardrails: {name} must be at least 1")
        if not -1.0 <= self.rank_correlation_min <= 1.0:
            raise BadConfiguration("guardrails: rank_correlation_min must lie between -1 and 1")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One guardrail: "unknown" where there is too little to judge by."""

    name: str
    status: Literal["passed", "failed", "unknown"]
    value: float | None
    limit: float
    unit: str
    words: str


def read_guardrails(path: Path | None, state: Path) -> Guardrails:
    """Those of ``path``, else of ``guardrails.json`` in the state folder, else the defaults.

    Raises BadConfiguration where a file that is named is not there, or holds something else.
    """
    place = path or state / FILE_NAME
    if path is None and not place.exists():
        return Guardrails()
    try:
        return msgspec.json.decode(place.read_bytes(), type=Guardrails)
    except msgspec.DecodeError as error:
        raise BadConfiguration(f"{place}: {error}") from None
    except OSError as error:
        raise BadConfiguration(f"{place}: {error.strerror}") from None


def verdicts(found: dict[str, Any], limits: Guardrails) -> list[Verdict]:
    """The verdict of each guardrail on a comparison (``models.compare.compare``)."""
    enough = found["payments"] >= limits.payments_min
    labelled = enough and (found["frauds"] or 0) >= limits.frauds_min
    whole = found["payments"] + found["dropped"]
    told = [
        _verdict("evidence", enough, float(found["payments"]), limits.payments_min, "payments",
                 known=True),
        _at_most("dropped", found["dropped"] / whole if whole else None,
                 limits.dropped_share_max, "share of payments", known=enough),
    ]  # fmt: skip
    rank = (found["rank_correlation"] or {}).get("value")
    told.append(
        _verdict("rank_shift", rank is not None and rank >= limits.rank_correlation_min, rank,
                 limits.rank_correlation_min, "Spearman correlation", known=enough)
    )  # fmt: skip
    for rate, most in (
        ("stop_rate", limits.stop_rate_change_max), ("block_rate", limits.block_rate_change_max),
    ):  # fmt: skip
        told.append(_rate(rate, found[rate], most, limits.rate_floor, known=enough))
    told.append(_rate("mean_score", found["mean_score"], limits.mean_score_change_max,
                      0.0, known=enough))  # fmt: skip
    told += _labelled(found, limits, labelled)
    for segment in found["segments"]:
        told += _segment(segment, limits, known=enough)
    return told


def _labelled(found: dict[str, Any], limits: Guardrails, known: bool) -> list[Verdict]:
    worse = drop = None
    if known:
        champion, challenger = found["metrics"]["champion"], found["metrics"]["challenger"]
        worse = challenger["ece"]["value"] - champion["ece"]["value"]
        drop = -found["average_precision_gain"]["value"]
    return [
        _at_most("calibration", worse, limits.calibration_worse_max, "probability", known=known),
        _at_most("average_precision", drop, limits.average_precision_drop_max,
                 "average precision lost", known=known),
    ]  # fmt: skip


def _segment(segment: dict[str, Any], limits: Guardrails, *, known: bool) -> list[Verdict]:
    """Verdicts on one segment; only what failed, since there are many segments."""
    name = f"segment {segment['kind']}={segment['name'] or 'unknown'}"
    known = known and segment["payments"] >= limits.segment_payments_min
    floor = max(limits.rate_floor, 3.0 / segment["payments"])
    told = [_rate(name, segment["stop_rate"], limits.segment_stop_rate_change_max, floor,
                  known=known)]  # fmt: skip
    gain = segment["average_precision_gain"]
    if segment["frauds"] >= limits.frauds_min and gain is not None:
        told.append(
            _at_most(name, -gain, limits.segment_average_precision_drop_max,
                     "average precision lost", known=known)
        )  # fmt: skip
    return [one for one in told if one.status == "failed"]


def _rate(
    name: str, rates: dict[str, float] | None, most: float, floor: float, *, known: bool
) -> Verdict:
    before, after = (rates or {}).get("champion"), (rates or {}).get("challenger")
    if before is None or after is None:
        return _verdict(name, False, None, most, "part of the champion's", known=False)
    moved = abs(after - before)
    change = moved / before if before > 0 else (0.0 if moved == 0 else float("inf"))
    fine = moved <= floor or change <= most
    told = _verdict(name, fine, min(change, 1e9), most, "part of the champion's", known=known)
    return msgspec.structs.replace(told, words=f"{told.words} ({before:.4f} -> {after:.4f})")


def _at_most(name: str, value: float | None, most: float, unit: str, *, known: bool) -> Verdict:
    known = known and value is not None
    return _verdict(name, value is not None and value <= most, value, most, unit, known=known)


def _verdict(
    name: str, fine: bool, value: float | None, limit: float, unit: str, *, known: bool
) -> Verdict:
    status: Literal["passed", "failed", "unknown"] = "unknown"
    if known:
        status = "passed" if fine else "failed"
    said = "not known yet" if value is None else f"{value:.4g}"
    return Verdict(
        name=name, status=status, value=value, limit=float(limit), unit=unit,
        words=f"{name}: {said}, limit {limit:g} {unit}",
    )  # fmt: skip
