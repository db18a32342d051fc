"""The rules that judged a decision, compiled as they were, with no need for its model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from risk.cli.versions_at_hand import VersionsAtHand

if TYPE_CHECKING:
    from risk.domain.decision import Digests, Evidence
    from risk.rules.book import Book
    from risk.rules.compiler import Tables
    from risk.rules.evaluator import CompiledBook
    from risk.rules.schema import Schema
    from risk.settings import Settings


class RulesThen(NamedTuple):
    """A book as it judged: ``rules`` are its compiled functions, on the lists of then."""

    book: Book
    rules: CompiledBook
    schema: Schema
    tables: Tables

    @property
    def features(self) -> int:
        """How many features the vectors of then have."""
        return len(self.schema.features)


class RulesAtHand(VersionsAtHand):
    """Looks each book with its catalogue, lists and rates up once, also where one is missing.

    ``absent`` are all versions that were not to be had.
    """

    def __init__(self, settings: Settings, *, kafka: bool) -> None:
        super().__init__(settings, kafka=kafka)
        self.absent: list[str] = []
        self._rules_then: dict[tuple[str, ...], RulesThen | None] = {}
        self._grounds: dict[tuple[str, ...], tuple[Schema, Tables] | None] = {}

    async def rules_of(self, evidence: Evidence) -> RulesThen | None:
        """What judged, as far as rules go; None where something of it is missing.

        Raises BadVersion where a kept version is damaged.
        """
        key = (evidence.digests.book, *_ground_key(evidence.digests))
        if key not in self._rules_then:
            self._rules_then[key] = await self._compiled(evidence)
        return self._rules_then[key]

    async def ground_of(self, evidence: Evidence) -> tuple[Schema, Tables] | None:
        """What rules could name and read then, whichever book judged; None where it is missing."""
        key = _ground_key(evidence.digests)
        if key not in self._grounds:
            self._grounds[key] = await self._ground(evidence.digests)
        return self._grounds[key]

    async def _ground(self, digests: Digests) -> tuple[Schema, Tables] | None:
        from risk.rules.compiler import Tables

        self.missing = []
        rates, schema = await self._rates(digests.rates), await self._schema(digests.catalogue)
        lists, types = await self._lists(digests.lists)
        if self.missing or rates is None or schema is None:
            return None
        return schema.with_lists(types), Tables(rates, lists)

    async def _compiled(self, evidence: Evidence) -> RulesThen | None:
        from risk.rules.evaluator import CompiledBook
        from risk.versions.serving import book_in

        ground = await self.ground_of(evidence)
        self.absent += [one for one in self.missing if one not in self.absent]
        self.missing = []
        book = await self._find("book", evidence.digests.book)
        self.absent += [one for one in self.missing if one not in self.absent]
        if ground is None or book is None:
            return None
        schema, tables = ground
        found = book_in(book)
        return RulesThen(found, CompiledBook(found, schema, tables), schema, tables)


def _ground_key(digests: Digests) -> tuple[str, ...]:
    return digests.catalogue, digests.lists, digests.rates
