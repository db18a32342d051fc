"""Decides what people are told of: each hit once, each group once within its span.

Pure but for the books it asks for: decisions and times are arguments, the same decisions from the
same state give the same alerts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from risk.alerts.alert import (
    GROUP_VALUE_CHARS_MAX,
    Alert,
    PaymentEvidence,
    RateEvidence,
    alert_id,
)
from risk.alerts.rates import RateFinding, RateState, RateWatch
from risk.alerts.seen import Features, Seen, seen, values_of
from risk.domain.times import parse_rfc3339, rfc3339
from risk.rules.alerting import SUPPRESS_MAX_MS, Alerting, within_ms
from risk.rules.book import Book, Rule
from risk.rules.compiler import names_of
from risk.rules.parser import parse
from risk.rules.syntax import Refused

GROUPS_MAX: Final = 100_000
ALERTS_OF_GROUP_MAX: Final = 8  # the newest; decisions of several partitions come out of order
REPEATS_REMEMBERED: Final = 100_000
RATE_REASON: Final = {False: "RATE_SPIKE", True: "RATE_SILENCE"}


class GroupState(msgspec.Struct):
    """The newest alerts of a group, as (time ms, id), and what was held back since the last."""

    alerts: list[tuple[int, str]] = []
    suppressed: int = 0


class DeskState(msgspec.Struct, kw_only=True):
    """Everything a desk remembers. ``rates`` by the content of the rate rule."""

    groups: dict[str, GroupState] = {}
    rates: dict[str, RateState] = {}


class Counts(msgspec.Struct):
    """What happened since the counts were last taken."""

    suppressed: int = 0
    unknown_books: int = 0
    dropped_series: int = 0
    hits: dict[str, int] = {}


class _Alerting(NamedTuple):
    """A rule of a book that raises alerts; ``names`` are those that its condition reads."""

    rule: Rule
    how: Alerting
    names: frozenset[str]


class AlertDesk:
    """One for each world. ``book_of`` gives the book of a digest, None where it is unknown."""

    def __init__(
        self,
        book_of: Callable[[str], Book | None],
        features: Features,
        state: DeskState | None = None,
    ) -> None:
        held = state or DeskState()
        self._book_of = book_of
        self._features = features
        self._groups = OrderedDict(held.groups)
        self._kept = held.rates
        self._watches: dict[str, RateWatch] = {}
        self._live_book = ""
        self._books: dict[str, dict[str, _Alerting] | None] = {}
        self._repeats: OrderedDict[int, None] = OrderedDict()
        self._raised: list[Alert] = []
        self.counts = Counts()

    @property
    def state(self) -> DeskState:
        """What it remembers, to go on from there."""
        watched = {key: watch.state for key, watch in self._watches.items()}
        return DeskState(groups=dict(self._groups), rates=self._kept | watched)

    def take(self) -> list[Alert]:
        """The alerts that were raised since the last call."""
        raised, self._raised = self._raised, []
        return raised

    def watch(self, book: Book) -> None:
        """Watch the rate rules of the live book; one that stays goes on counting."""
        digest = book.digest()
        if digest == self._live_book:
            return
        self._live_book = digest
        watches: dict[str, RateWatch] = {}
        for rule in book.rates:
            if rule.state != "live":
                continue
            key = msgspec.json.encode(rule, order="sorted").decode()
            held = self._watches.get(key)
            try:
                watches[key] = held or RateWatch(rule, self._kept.get(key))
            except Refused:
                continue  # no book with such a rule is published; one that is judges without it
        self._watches, self._kept = watches, {}

    def known(self, alert: Alert) -> None:
        """An alert stands on the topic already; it is not raised again."""
        if alert.type != "drift":
            self._note(_key(alert.tenant, alert.rule, alert.group), alert.at, alert.id)

    def decided(self, body: bytes, partition: int, offset: int) -> int | None:
        """Look at a decision that stands; its time in ms, None where it is not authoritative.

        A repeat of the same decision changes nothing. Raises msgspec.DecodeError, or ValueError,
        for bytes that are no decision.
        """
        told = seen(body)
        at_ms = told.decided_at_ms
        if not told.authoritative:
            return None
        if self._repeated(told):
            return at_ms
        self._count(told, at_ms)
        for hit in told.rule_hits:
            if hit.error is None:
                self.counts.hits[hit.rule] = self.counts.hits.get(hit.rule, 0) + 1
            if hit.error is None and told.evidence is not None:
                alerting = self._alerting(told.evidence.digests.book, hit.rule, hit.action)
                if alerting is not None:
                    self._hit(told, body, (partition, offset), hit.rule, alerting)
        return at_ms

    def advance(self, to_ms: int) -> None:
        """Every decision before ``to_ms`` was looked at: find spikes and silence."""
        for watch in self._watches.values():
            for found in watch.advance(to_ms):
                self._found(watch, found)
            self.counts.dropped_series += watch.dropped
            watch.dropped = 0
        self._forget(to_ms - SUPPRESS_MAX_MS)

    # -- rules ---------------------------------------------------------------------------

    def _repeated(self, told: Seen) -> bool:
        key = hash((told.tenant, told.payment_id))
        if key in self._repeats:
            return True
        self._repeats[key] = None
        if len(self._repeats) > REPEATS_REMEMBERED:
            self._repeats.popitem(last=False)
        return False

    def _alerting(self, book: str, rule: str, action: str) -> _Alerting | None:
        """How a hit becomes an alert; what is known of it where its book is not."""
        if book not in self._books:
            self._books[book] = _alerting_of(self._book_of(book))
        held = self._books[book]
        if held is not None:
            return held.get(rule)
        del self._books[book]  # perhaps it is known the next time
        self.counts.unknown_books += 1
        if action != "alert":
            return None
        bare = Rule(
            id=rule, name=rule, when="True", action="alert", reason="ALERT", customer="-",
            sentence=f"The rule {rule} raised an alert; its book is not known here.", owner="-",
        )  # fmt: skip
        return _Alerting(bare, Alerting(), frozenset())

    def _hit(
        self, told: Seen, body: bytes, place: tuple[int, int], rule: str, alerting: _Alerting
    ) -> None:
        how, held = alerting.how, alerting.rule
        evidence = told.evidence
        assert evidence is not None
        group = _group(how.group_by, told, rule, held.reason)
        key = _key(told.tenant, rule, group)
        identity = alert_id("rule", told.tenant, told.payment_id, rule)
        suppressed = self._may_raise(key, identity, told.decided_at_ms, within_ms(how.within))
        if suppressed is None:
            return
        paid = evidence.event
        values = values_of(
            body, alerting.names, self._features, evidence.digests.catalogue, told.score
        )
        self._raised.append(
            Alert(
                id=identity,
                type="rule",
                tenant=told.tenant,
                severity=how.severity,
                at=told.decided_at,
                rule=rule,
                reason=held.reason,
                sentence=held.sentence,
                group=group,
                suppressed=suppressed,
                evidence=PaymentEvidence(
                    payment_id=told.payment_id,
                    account=paid.account,
                    card=paid.card,
                    merchant=paid.merchant,
                    amount_minor=paid.amount_minor,
                    currency=paid.currency,
                    outcome=told.outcome,
                    score=told.score,
                    action=held.action,
                    reasons=[reason.code for reason in told.reasons],
                    rule_hits=[hit.rule for hit in told.rule_hits],
                    values=values,
                    decided_at=told.decided_at,
                    book=evidence.digests.book,
                    partition=place[0],
                    offset=place[1],
                ),
            )
        )

    # -- rates ---------------------------------------------------------------------------

    def _count(self, told: Seen, at_ms: int) -> None:
        for watch in self._watches.values():
            watch.see(told.tenant, at_ms)
            if watch.rule.outcome is None or watch.rule.outcome == told.outcome:
                for value in _subjects(watch.test.subject, told):
                    watch.add(told.tenant, value, at_ms)

    def _found(self, watch: RateWatch, found: RateFinding) -> None:
        rule, subject = watch.rule, watch.test.subject
        group = (f"{subject} {found.value}" if found.value else "all decisions")[
            :GROUP_VALUE_CHARS_MAX
        ]
        identity = alert_id("rate", found.tenant, rule.id, found.value, str(found.slot))
        key = _key(found.tenant, rule.id, group)
        at = rfc3339(found.to_ms)
        suppressed = self._may_raise(key, identity, found.to_ms, within_ms(rule.within))
        if suppressed is None:
            return
        counted = "" if rule.outcome is None else f" of outcome {rule.outcome.value}"
        usual = "" if found.usual is None else f", usually {found.usual:g}"
        self._raised.append(
            Alert(
                id=identity,
                type="rate",
                tenant=found.tenant,
                severity=rule.severity,
                at=at,
                rule=rule.id,
                reason=RATE_REASON[found.silence],
                sentence=f"{rule.sentence} {group}: {found.decisions} in the span{counted}{usual}.",
                group=group,
                suppressed=suppressed,
                evidence=RateEvidence(
                    when=" ".join(rule.when.split()),
                    kind="silence" if found.silence else "spike",
                    subject=subject,
                    value=found.value,
                    from_at=rfc3339(found.from_ms),
                    to_at=at,
                    count=found.decisions,
                    usual=found.usual,
                    earlier=found.earlier,
                    book=self._live_book,
                ),
            )
        )

    # -- groups --------------------------------------------------------------------------

    def _may_raise(self, key: str, identity: str, at_ms: int, span_ms: int) -> int | None:
        """None where it is held back; else how many were since the alert before."""
        group = self._groups.get(key)
        if group is not None:
            if any(held == identity for _, held in group.alerts):
                return None
            if any(abs(at_ms - other_ms) < span_ms for other_ms, _ in group.alerts):
                group.suppressed += 1
                self.counts.suppressed += 1
                return None
        return self._note(key, rfc3339(at_ms), identity)

    def _note(self, key: str, at: str, identity: str) -> int:
        """Remember an alert of a group; how many were held back before it."""
        group = self._groups.get(key) or GroupState()
        if any(held == identity for _, held in group.alerts):
            return 0
        self._groups.pop(key, None)
        group.alerts = [*group.alerts, (parse_rfc3339(at), identity)][-ALERTS_OF_GROUP_MAX:]
        suppressed, group.suppressed = group.suppressed, 0
        self._groups[key] = group  # last: it is the newest
        return suppressed

    def _forget(self, before_ms: int) -> None:
        """Drop groups that can hold nothing back any more, and the oldest where there are many."""
        while self._groups:
            key, group = next(iter(self._groups.items()))
            if group.alerts[-1][0] >= before_ms and len(self._groups) <= GROUPS_MAX:
                return
            del self._groups[key]


def _alerting_of(book: Book | None) -> dict[str, _Alerting] | None:
    if book is None:
        return None
    return {
        rule.id: _Alerting(rule, how, _names(rule.when))
        for rule in book.rules
        if (how := rule.alerting) is not None
    }


def _names(when: str) -> frozenset[str]:
    try:
        return frozenset(names_of(parse(when)))
    except Refused:
        return frozenset()  # a language of before; the alert goes without values


def _group(by: str, told: Seen, rule: str, reason: str) -> str:
    """What the alert belongs to; a payment without such an entity stands by itself."""
    if by == "rule":
        return f"rule {rule}"
    if by == "reason":
        return f"reason {reason}"
    assert told.evidence is not None
    value = None if by == "payment" else getattr(told.evidence.event, by)
    named = f"payment {told.payment_id}" if value is None else f"{by} {value}"
    return named[:GROUP_VALUE_CHARS_MAX]


def _subjects(subject: str, told: Seen) -> Sequence[str]:
    if subject == "rule":
        return [hit.rule for hit in told.rule_hits if hit.error is None]
    if subject == "reason":
        return [reason.code for reason in told.reasons]
    if subject == "outcome":
        return [told.outcome]
    if subject == "all":
        return [""]
    merchant = None if told.evidence is None else told.evidence.event.merchant
    return [] if merchant is None else [merchant]


def _key(tenant: str, rule: str, group: str) -> str:
    return f"{tenant}\0{rule}\0{group}"
