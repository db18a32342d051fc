"""A back-test: blocks of decisions in, the report that an approver signs out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from risk.backtest.block import ALLOW, BLOCK, OUTCOMES, REVIEW, UNDECIDED, Block, Ints
from risk.backtest.columns import Floats
from risk.backtest.costs import cost
from risk.backtest.judging import Candidate, Judge
from risk.backtest.parts import ExampleTally, Flips, PartTally
from risk.backtest.people import People, intervals
from risk.backtest.report import Closed, Interval, Loop, Money, Report, Reviews, Signed, Source
from risk.backtest.rule_tally import Known, RuleTally
from risk.backtest.truth import DAY_MS, Labels
from risk.domain.errors import BadConfiguration
from risk.domain.times import rfc3339

SEED: Final = 1


class Asked(NamedTuple):
    """What a report is about besides the candidate: its data, and who judged it before.

    ``baseline`` says whose outcomes the old ones are. ``capacity`` is how many reviews a day
    people can make, None where nobody said.
    """

    source: Source
    digests: Signed
    from_ms: int
    to_ms: int
    label_delay_days: float
    baseline: str
    capacity: float | None = None


class _Flip(NamedTuple):
    """What a block adds to the figures with intervals: rows that flip, with their accounts."""

    account: Ints
    columns: tuple[Floats, ...]


class Backtest:
    """Takes blocks in the order of their topic; a payment that comes again counts once.

    ``old`` judges the baseline, where that is not the stored outcome.
    """

    def __init__(
        self, candidate: Candidate, asked: Asked, labels: Labels, old: Candidate | None = None
    ) -> None:
        """Raises what ``compile_rule`` raises for a book that was not checked."""
        self.judge: Final = Judge(candidate)
        self.asked: Final = asked
        self._old = None if old is None else Judge(old)
        self._labels = labels
        self._people = People()
        self._met: set[int] = set()
        self._rules = RuleTally(self.judge.rules)
        self._parts = PartTally()
        self._examples = ExampleTally(self.judge.rules)
        self._flips = np.zeros((len(OUTCOMES), len(OUTCOMES)), np.int64)
        self._figures: list[_Flip] = []
        self._affected: list[tuple[Ints, Ints]] = []
        self._counts = np.zeros(4, np.int64)
        self._stopped = np.zeros(4)
        self._times: list[int] = []
        self._scored = 0
        self.payments = 0

    def add(self, block: Block) -> None:
        """Judge ``block``. Raises BadConfiguration where nothing says how it was decided."""
        rows = self._fresh(block)
        if not len(rows):
            return
        judged = self.judge.judge(block).take(rows)
        old = block.outcome if self._old is None else self._old.judge(block).outcome
        old = old[rows]
        if (old == UNDECIDED).any():
            raise BadConfiguration(
                "these payments were never decided, so nothing is known to flip: name the book"
                " of before with --against BOOK.yaml"
            )
        truth = self._labels.of(block)
        flips = Flips(old, judged.outcome, truth.mature[rows], truth.fraud[rows])
        account, amount = self._people.of(block)[rows], block.amount()[rows]
        self._rules.add(
            judged, Known(account, amount, flips.mature, flips.fraud), self.judge.lacking(block)
        )
        self._parts.add(block, rows, flips)
        self._examples.add(block, rows, flips, judged)
        self._add(flips, account, np.nan_to_num(amount))
        decided = block.decided_ms[rows]
        self._scored += int(np.count_nonzero(~np.isnan(judged.score)))
        self._times += [int(decided.min()), int(decided.max())]
        self.payments += len(rows)

    def _fresh(self, block: Block) -> Ints:
        """The rows within the range whose payment was not met before."""
        asked = self.asked
        within = (block.decided_ms >= asked.from_ms) & (block.decided_ms < asked.to_ms)
        rows = np.flatnonzero(within)
        keys = block.keys[rows].tolist()
        before = len(self._met)
        disjoint = self._met.isdisjoint(keys)
        if not disjoint or len(set(keys)) < len(keys):
            fresh = np.zeros(len(rows), np.bool_)
            for place, key in enumerate(keys):
                fresh[place] = key not in self._met
                self._met.add(key)
            return rows[fresh]
        self._met.update(keys)
        assert len(self._met) == before + len(keys)
        return rows

    def _add(self, flips: Flips, account: Ints, amount: Floats) -> None:
        old, new, mature = flips.old, flips.new, flips.mature
        pairs = np.bincount(old.astype(np.int64) * 3 + new, minlength=9)
        self._flips += pairs.reshape(3, 3)
        fraud, good = mature & flips.fraud, mature & ~flips.fraud
        changed = old != new
        self._counts += [mature.sum(), fraud.sum(), changed.sum(), (changed & mature).sum()]
        stopped = new != ALLOW
        self._stopped += [
            (fraud & stopped).sum(), (good & stopped).sum(),
            amount[fraud & stopped].sum(), amount[good & stopped].sum(),
        ]  # fmt: skip
        self._affected.append((np.unique(account[changed]), np.unique(account[flips.stopped])))
        rows = np.flatnonzero(changed & mature)
        ways = (fraud & flips.stopped, fraud & flips.released,
                good & flips.stopped, good & flips.released)  # fmt: skip
        counts = [way[rows].astype(np.float64) for way in ways]
        policy = self.judge.candidate.policy
        known, of = flips.fraud[rows], amount[rows]
        saved = cost(old[rows], known, of, policy) - cost(new[rows], known, of, policy)
        self._figures.append(
            _Flip(account[rows], (*counts, *(count * of for count in counts), saved))
        )

    def report(
        self,
        left_out: Mapping[str, int],
        closed: Closed | None = None,
        seconds: float = 0.0,
    ) -> Report:
        """The report; raises BadConfiguration where no payment lies in the range."""
        asked, book = self.asked, self.judge.candidate.book
        if not self.payments:
            raise BadConfiguration(
                f"nothing that can be judged was decided from {rfc3339(asked.from_ms)} to"
                f" {rfc3339(asked.to_ms)} (left out: {dict(left_out) or 'nothing'});"
                " look at --from and --to"
            )
        if not self._scored:
            raise BadConfiguration(
                "no payment has a score, so all would be reviewed: name a model with"
                " --model ALIAS, or --model none to let rules judge alone"
            )
        rules = self._rules.figures()
        mature, frauds, changed, changed_mature = self._counts.tolist()
        caught, released, good_stopped, good_released, *money = self._intervals()
        return Report(
            book=book.name,
            digest=book.digest(),
            digests=asked.digests,
            source=asked.source,
            from_ms=asked.from_ms,
            to_ms=asked.to_ms,
            first_decided_at=rfc3339(min(self._times)),
            last_decided_at=rfc3339(max(self._times)),
            labels_as_of_ms=self._labels.as_of_ms,
            label_delay_days=asked.label_delay_days,
            baseline=asked.baseline,
            payments=self.payments,
            left_out=dict(left_out),
            mature=mature,
            immature_share=1.0 - mature / self.payments,
            flips_immature_share=1.0 - changed_mature / changed if changed else 0.0,
            frauds=frauds,
            hits={one.rule: one.hits for one in rules},
            rules=rules,
            untested={one.rule: one.why for one in rules if one.untested},
            flips=self._flip_counts(),
            fraud_caught=caught,
            fraud_released=released,
            good_stopped=good_stopped,
            good_released=good_released,
            money=self._money(money),
            reviews_per_day=self._reviews(),
            accounts_affected=_distinct([one for one, _ in self._affected]),
            accounts_newly_stopped=_distinct([one for _, one in self._affected]),
            marginal={one.rule: one.marginal_fraud for one in rules},
            overlap=self._rules.overlap(),
            segments=self._parts.segments(),
            days=self._parts.days(),
            examples=self._examples.examples(),
            open_loop=self._loop(),
            closed_loop=closed,
            seconds=seconds,
        )

    def _intervals(self) -> list[Interval]:
        account = np.concatenate([one.account for one in self._figures])
        columns = [
            np.concatenate(parts)
            for parts in zip(*(one.columns for one in self._figures), strict=True)
        ]
        return intervals(account, columns, len(self._people), SEED)

    def _flip_counts(self) -> dict[str, int]:
        names = [str(one.value) for one in OUTCOMES]
        return {
            f"{old} -> {new}": int(self._flips[one, other])
            for one, old in enumerate(names)
            for other, new in enumerate(names)
            if one != other
        }

    def _money(self, of: Sequence[Interval]) -> Money:
        old, new = self._flips.sum(axis=1)[REVIEW], self._flips.sum(axis=0)[REVIEW]
        return Money(
            fraud_caught_minor=of[0],
            fraud_released_minor=of[1],
            good_stopped_minor=of[2],
            good_released_minor=of[3],
            review_minor=float(new - old) * self.judge.candidate.policy.review_minor,
            net_minor=of[4],
        )

    def _reviews(self) -> Reviews:
        old, new = self._parts.reviews()
        capacity = self.asked.capacity
        mean_old, mean_new = sum(old) / len(old), sum(new) / len(new)
        return Reviews(
            old=mean_old,
            new=mean_new,
            extra=mean_new - mean_old,
            worst_day=float(max(new)),
            capacity=capacity,
            over_capacity_days=None if capacity is None else sum(one > capacity for one in new),
        )

    def _loop(self) -> Loop:
        outcomes = self._flips.sum(axis=0)
        fraud, good, fraud_minor, good_minor = self._stopped.tolist()
        return Loop(
            payments=self.payments,
            allow=int(outcomes[ALLOW]),
            review=int(outcomes[REVIEW]),
            block=int(outcomes[BLOCK]),
            fraud_stopped=round(fraud),
            good_stopped=round(good),
            fraud_stopped_minor=round(fraud_minor),
            good_stopped_minor=round(good_minor),
            same_vectors=1.0,
        )


def delay_ms(days: float) -> int:
    """A label delay in milliseconds.

    >>> delay_ms(0.5)
    43200000
    """
    return round(days * DAY_MS)


def _distinct(parts: Sequence[Ints]) -> int:
    return len(np.unique(np.concatenate(parts))) if parts else 0
