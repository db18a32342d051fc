"""Who may do what to the live book: pure rules over books, proposals and approvals."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, Literal

import msgspec

from risk.books.difference import acting
from risk.domain.errors import BadBook, BadConfiguration, BookRefused
from risk.rules.alerting import RateRule
from risk.rules.book import Book, Rule, State
from risk.rules.checker import nearest
from risk.rules.formatter import formatted
from risk.rules.syntax import Refused

NAME_CHARS_MAX: Final = 128
RateState = Literal["draft", "live", "retired"]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What an approver signs: this book, on this evidence, over this range of data (ms)."""

    book: str
    evidence: str
    from_ms: int
    to_ms: int

    def digest(self) -> str:
        """SHA-256 of all four, in hex."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A subject and its author; with ``approver`` and ``signature`` once it is approved.

    ``base`` is the book that was live then: what the approver saw changed.
    """

    subject: Subject
    author: str
    proposed_at_ms: int
    base: str
    approver: str = ""
    approved_at_ms: int = 0
    signature: str = ""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the record: who did what to which book, when and why."""

    action: str
    book: str
    subject: str
    actor: str
    at_ms: int
    reason: str


def checked_name(name: str) -> str:
    """``name`` without space around it; raises BadConfiguration where nobody is named."""
    name = name.strip()
    if not 0 < len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise BadConfiguration(f"--as: who does it? 1 to {NAME_CHARS_MAX} printable characters")
    return name


def same_person(one: str, other: str) -> bool:
    """Whether two names are of one person: case and space around them do not count."""
    return one.strip().casefold() == other.strip().casefold()


def signature_of(secret: bytes, proposal: Proposal, approver: str) -> str:
    """HMAC-SHA256 in hex: a row of the store that was changed by hand does not bear it."""
    signed = (proposal.subject.digest(), proposal.base, proposal.author, approver)
    body = "\x00".join(("weir book approval", *signed)).encode()
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def approved(proposal: Proposal, approver: str, at_ms: int, secret: bytes) -> Proposal:
    """``proposal``, approved; raises BookRefused for its author, or where it is approved."""
    if same_person(proposal.author, approver):
        raise BookRefused(
            "FOUR_EYES", f"{approver} is the author; somebody else must approve it (four eyes)"
        )
    if proposal.approver:
        raise BookRefused("ALREADY_DONE", f"{proposal.approver} has approved it already")
    signature = signature_of(secret, proposal, approver)
    return msgspec.structs.replace(
        proposal, approver=approver, approved_at_ms=at_ms, signature=signature
    )


def check_publishable(proposal: Proposal | None, subject: Subject, by: str, secret: bytes) -> None:
    """Raises BookRefused unless exactly ``subject`` was approved, and ``by`` is not its author."""
    if proposal is None or proposal.subject != subject:
        raise BookRefused(
            "UNKNOWN_PROPOSAL",
            f"nobody proposed book {subject.book[:12]} with evidence {subject.evidence[:12]}"
            " and this range of data; what was approved differs, or nothing was:"
            " `weir rules propose`, then another person's `weir rules approve`",
        )
    if not proposal.approver:
        raise BookRefused("NOT_APPROVED", "it is not approved yet; another person must approve it")
    if same_person(proposal.author, by):
        raise BookRefused(
            "FOUR_EYES", f"{by} is the author; somebody else must publish it (four eyes)"
        )
    wanted = signature_of(secret, proposal, proposal.approver)
    if same_person(proposal.author, proposal.approver) or not hmac.compare_digest(
        wanted, proposal.signature
    ):
        raise BookRefused(
            "SIGNATURE_MISMATCH", "the approval does not bear its signature; propose it again"
        )


def check_replaced(new: str, base: str, live: str) -> None:
    """Raises BookRefused unless ``new`` is not live, and the live book is still ``base``."""
    if new == live:
        raise BookRefused("ALREADY_DONE", f"book {new[:12]} is live already; name another")
    if base != live:
        raise BookRefused(
            "LIVE_CHANGED",
            f"book {live[:12]} became live meanwhile; this was made to replace {base[:12]}, and"
            " would undo what changed since. See `weir rules diff` and `weir rules history`, then"
            " do it again over the live book (a proposal: propose it again)",
        )


def check_successor(live: Book, new: Book) -> None:
    """Raises BadBook where a rule that was retired comes back: its id keeps its history."""
    gone = {rule.id for rule in _all(live) if rule.state == "retired"}
    problems = [
        f"rule {rule.id} was retired; give what replaces it an id of its own"
        for rule in _all(new)
        if rule.id in gone and rule.state != "retired"
    ]
    if problems:
        raise BadBook(problems)


def check_order(live: Book, new: Book) -> None:
    """Raises BadBook where a condition would act that was not in the shadow before.

    Draft, shadow, live: what acts in ``new`` stands in the shadow of ``live``, or acts in it
    already, under whatever id. How long it stood there is for the evidence to say.
    """
    seen = {_plain(rule.when) for rule in live.rules if rule.state in ("shadow", "live")}
    problems = [
        f"rule {rule.id} would act on a condition that was not in the shadow yet;"
        " `weir rules shadow` first (a changed condition of a live rule under an id of its own)"
        for rule in acting(new)
        if _plain(rule.when) not in seen
    ]
    if problems:
        raise BadBook(problems)


def with_shadow(live: Book, draft: Book) -> Book:
    """``live`` with the rules of ``draft`` that are new, changed or out of draft, in the shadow.

    What acts stays as it is, so nobody has to approve it. Rate rules have no shadow, and stay
    as they are. Raises BadBook where ``draft`` changes a rule that acts, or adds none.
    """
    held = {rule.id: rule for rule in live.rules}
    problems, fresh = [], []
    for rule in draft.rules:
        before = held.get(rule.id)
        if before is not None and before.state == "live":
            if msgspec.structs.replace(rule, state="live") != before:
                problems.append(
                    f"rule {rule.id} is live and changed; give the candidate an id of its own,"
                    " or publish the book"
                )
        elif rule.state != "retired" and rule != before:
            fresh.append(msgspec.structs.replace(rule, state="shadow"))
    if problems:
        raise BadBook(problems)
    if not fresh:
        raise BadBook(
            ["no rule is new, changed or out of draft; nothing would come into the shadow"]
        )
    check_successor(live, msgspec.structs.replace(draft, rules=tuple(fresh)))
    new = {rule.id: rule for rule in fresh}
    rules = [new.pop(rule.id, rule) for rule in live.rules]
    made = msgspec.structs.replace(live, rules=(*rules, *new.values()))
    assert acting(made) == acting(live)
    return made


def with_paused(live: Book, rule_id: str) -> Book:
    """``live`` with a live rule in the shadow, or a live rate rule as a draft.

    Raises BadBook where it is not live.
    """
    if any(rate.id == rule_id for rate in live.rates):
        return _moved_rate(live, rule_id, "live", "draft", "only a live rule can be paused")
    return _moved(live, rule_id, ("live",), "shadow", "only a live rule can be paused")


def with_retired(live: Book, rule_id: str) -> Book:
    """``live`` with a rule that does not act retired, for ever; raises BadBook else."""
    why = "pause a live rule first; a retired one stays retired"
    if any(rate.id == rule_id for rate in live.rates):
        return _moved_rate(live, rule_id, "draft", "retired", why)
    return _moved(live, rule_id, ("draft", "shadow"), "retired", why)


def _all(book: Book) -> tuple[Rule | RateRule, ...]:
    return (*book.rules, *book.rates)


def _plain(when: str) -> str:
    try:
        return formatted(when)
    except Refused:
        return when


def _moved(live: Book, rule_id: str, begin: tuple[State, ...], end: State, why: str) -> Book:
    rule = _found(live, rule_id)
    if rule.state not in begin:
        raise BadBook([f"rule {rule_id} is {rule.state}: {why}"])
    moved = msgspec.structs.replace(rule, state=end)
    rules = tuple(moved if one.id == rule_id else one for one in live.rules)
    return msgspec.structs.replace(live, rules=rules)


def _moved_rate(live: Book, rate_id: str, begin: RateState, end: RateState, why: str) -> Book:
    rate = next(one for one in live.rates if one.id == rate_id)
    if rate.state != begin:
        raise BadBook([f"rate rule {rate_id} is {rate.state}: {why}"])
    moved = msgspec.structs.replace(rate, state=end)
    rates = tuple(moved if one.id == rate_id else one for one in live.rates)
    return msgspec.structs.replace(live, rate_rules=rates)


def _found(live: Book, rule_id: str) -> Rule:
    try:
        return live.rule(rule_id)
    except KeyError:
        hint = nearest(rule_id, [rule.id for rule in _all(live)])
        more = f"; did you mean {hint}?" if hint else "; see `weir rules list`"
        raise BadBook([f"no rule {rule_id} in the live book{more}"]) from None
