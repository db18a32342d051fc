"""Stories judged by a small book of idle and busy rules, with every version at hand."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from risk.bootstrap import shipped_versions
from risk.cli.rules_at_hand import RulesAtHand
from risk.rules.book import Book, Rule
from risk.settings import Settings
from risk.versions.store import VersionStore
from risk.versions.version import Version
from tests.support.proof_world import RATES
from tests.support.small_model import small_bundle

TO_MS = 2_000_000_000_000


HITS: dict[str, object] = {"amount": 100_000_000}
MISSES: dict[str, object] = {"amount": 50}


def rule(
    rule_id: str,
    when: str,
    action: str = "review",
    state: str = "live",
    *,
    hits: dict[str, object] = HITS,
    misses: dict[str, object] = MISSES,
) -> Rule:
    """A rule that says little else; ``hits`` and ``misses`` are its examples."""
    return msgspec.convert(
        {
            "id": rule_id, "name": rule_id, "when": when, "action": action, "state": state,
            "reason": rule_id.upper(), "sentence": rule_id, "customer": "We look.",
            "owner": "ana", "examples": {"hits": [hits], "misses": [misses]},
        },
        Rule,
    )  # fmt: skip


BUSY = Book(
    name="Busy",
    rules=(
        rule("large", 'amount > money(3000, "EUR")'),
        rule("larger", 'amount > money(4000, "EUR")'),
        rule("largest", 'amount > money(4500, "EUR")', "block"),
        rule("also_largest", 'amount > money(4600, "EUR")'),
        rule("twin", 'amount > money(3000, "EUR")'),
        rule("never", 'amount > money(900000, "EUR")'),
        rule(
            "watch_french",
            'country == "FR"',
            state="shadow",
            hits={"country": "FR"},
            misses={"country": "DE"},
        ),
        rule(
            "note_german",
            'country == "DE"',
            "tag",
            hits={"country": "DE"},
            misses={"country": "FR"},
        ),
        rule("let_small", 'amount < money(1, "EUR")', "allow", hits=MISSES, misses=HITS),
        rule("sketch", "amount > 70", state="draft"),
    ),
)


def at_hand(home: Path, *books: Book) -> tuple[Settings, RulesAtHand]:
    """A state folder with the shipped versions, the small model and ``books``."""
    store = VersionStore(home / "versions")
    shipped = shipped_versions(RATES, 1)
    own = [
        Version.of("book", msgspec.json.encode(book, order="sorted"), "ana", 1) for book in books
    ]
    for version in (*shipped, *own):
        store.put(version)
    bundle = small_bundle()
    bundle.write(home / "cache" / "models" / "bundles" / bundle.digest)
    settings = Settings(home=home, world="trial", mlflow="")
    return settings, RulesAtHand(settings, kafka=False)


def told(body: bytes) -> list[str]:
    """The rules that a decision names."""
    return [one["rule"] for one in json.loads(body)["rule_hits"]]
