"""Finds what the digests of a decision stand for: here, on the control topic, or in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from models.scorer import Scorer
    from risk.domain.decision import Digests, Evidence
    from risk.domain.findings import ListSnapshot
    from risk.domain.money import ExchangeRates
    from risk.judgement import Rules
    from risk.policy import Policy
    from risk.replay import Named
    from risk.rules.book import Book
    from risk.rules.compiler import Tables
    from risk.rules.schema import Schema
    from risk.settings import Settings
    from risk.versions.version import Kind, Version


class Judged(NamedTuple):
    """A book that judged, with the names and the lists of then."""

    book: Book
    schema: Schema
    tables: Tables


class VersionsAtHand:
    """Each set of digests is looked up once, also where something of it is missing.

    ``missing`` says in words which versions were not to be had, and what to do.
    """

    def __init__(self, settings: Settings, *, kafka: bool) -> None:
        from risk.lists.members import Tables
        from risk.versions.serving import segments_in
        from risk.versions.store import VersionStore
        from streams.control import Control
        from streams.topics import Topics

        self._settings = settings
        self._store = VersionStore(settings.state / "versions")
        self._control = (
            Control(settings.kafka, Topics(settings.world), self._store) if kafka else None
        )
        self._members = Tables(segments_in(self._store))
        self._loaded = False
        self._found: dict[Digests, tuple[Named, ExchangeRates, Book | None] | None] = {}
        self._absent: dict[Digests, list[str]] = {}
        self.missing: list[str] = []
        self.book: Book | None = None

    async def of(self, evidence: Evidence) -> Named | None:
        """All that judged; None where something is missing.

        Raises BadVersion where a kept version is damaged.
        """
        from dataclasses import replace

        from risk.domain.base_amount import amount_in_base
        from risk.domain.decoding import decode_stored

        digests = evidence.digests
        if digests not in self._found:
            self.missing, self.book = [], None
            self._found[digests] = await self._look_up(evidence)
            self._absent[digests] = self.missing
        self.missing, found = list(self._absent[digests]), self._found[digests]
        if found is None:
            return None
        named, rates, self.book = found
        amount = amount_in_base(decode_stored(bytes(evidence.event)).event, rates)
        return replace(named, amount_base=amount)

    def look_again(self) -> None:
        """What was missing may have come since: ask for it once more."""
        self._found = {named: one for named, one in self._found.items() if one is not None}
        self._loaded = False

    async def book_of(self, evidence: Evidence) -> Judged | None:
        """The book that judged, and what its rules could name; None where it is missing."""
        from features.catalogue import CATALOGUE
        from risk.rules.compiler import Tables
        from risk.rules.schema import Schema
        from risk.versions.serving import book_in

        self.missing = []
        rates = await self._rates(evidence.digests.rates)
        lists, types = await self._lists(evidence.digests.lists)
        found = await self._find("book", evidence.digests.book)
        if self.missing or found is None or rates is None:
            return None
        return Judged(book_in(found), Schema.of(CATALOGUE, types), Tables(rates, lists))

    async def _look_up(self, evidence: Evidence) -> tuple[Named, ExchangeRates, Book | None] | None:
        from risk.replay import Named

        rates = await self._rates(evidence.digests.rates)
        schema = await self._schema(evidence.digests.catalogue)
        policy = await self._policy(evidence.digests.policy)
        lists, types = await self._lists(evidence.digests.lists)
        if schema is not None:
            schema = schema.with_lists(types)
        rules = await self._rules(evidence.digests.book, schema, rates, lists)
        scoring = None
        if evidence.digests.model and schema is not None:
            scoring = self._scoring(evidence, tuple(name for name, _ in schema.features))
        if self.missing or rules is None or policy is None or schema is None or rates is None:
            return None
        names = tuple(name for name, _ in schema.features)
        named = Named(
            features=names,
            amount_base=None,
            scoring=scoring,
            rules=rules,
            policy=policy,
            lists=lists,
        )
        return named, rates, self.book

    async def close(self) -> None:
        """Let go of Kafka."""
        if self._control is not None:
            await self._control.close()

    def now(self) -> dict[str, str]:
        """The engine and the libraries of this process, as an evidence names them."""
        from importlib.metadata import version

        from risk.bootstrap import LIBRARIES

        return {"engine": f"weir {version('weir')}", **{one: version(one) for one in LIBRARIES}}

    async def _find(self, kind: Kind, digest: str) -> Version | None:
        found = self._store.get(kind, digest)
        if found is None and self._control is not None and not self._loaded:
            await self._control.load()
            self._loaded = True
            found = self._store.get(kind, digest)
        if found is None:
            self.missing.append(
                f"{kind} {digest} is neither in {self._settings.state}/versions"
                " nor on the control topic; copy the folder of the machine that judged"
            )
        return found

    async def _lists(self, digest: str) -> tuple[ListSnapshot, dict[str, str]]:
        """The lists and the types of their values; none where something is missing."""
        from risk.domain.findings import NO_LISTS
        from risk.lists.manifest import list_types, read_manifest, snapshot_of

        found = await self._find("lists", digest)
        if found is None:
            return NO_LISTS, {}
        lists = read_manifest(found.body)
        before = len(self.missing)
        for ref in (ref for one in lists.values() for ref in one.segments):
            await self._find("entries", ref.digest)
        if len(self.missing) > before:
            return NO_LISTS, {}
        return snapshot_of(lists, self._members), list_types(lists)

    async def _rates(self, digest: str) -> ExchangeRates | None:
        import msgspec

        from risk.domain.money import ExchangeRates

        found = await self._find("rates", digest)
        return None if found is None else msgspec.json.decode(found.body, type=ExchangeRates)

    async def _policy(self, digest: str) -> Policy | None:
        from risk.versions.serving import policy_in

        found = await self._find("policy", digest)
        return None if found is None else policy_in(found)

    async def _schema(self, digest: str) -> Schema | None:
        from features.catalogue import types_in
        from risk.rules.schema import TYPE_OF_DTYPE, Schema

        found = await self._find("catalogue", digest)
        if found is None:
            return None
        return Schema(tuple((name, TYPE_OF_DTYPE[dtype]) for name, dtype in types_in(found.body)))

    async def _rules(
        self,
        digest: str,
        schema: Schema | None,
        rates: ExchangeRates | None,
        lists: ListSnapshot,
    ) -> Rules | None:
        from risk.rules.compiler import Tables
        from risk.rules.evaluator import CompiledBook
        from risk.versions.serving import book_in

        found = await self._find("book", digest)
        if found is None or schema is None or rates is None:
            return None
        self.book = book_in(found)
        return CompiledBook(self.book, schema, Tables(rates, lists))

    def _scoring(self, evidence: Evidence, names: tuple[str, ...]) -> Scorer | None:
        from models.at_hand import ModelsAtHand, registered_names
        from models.registry import Registry
        from models.source import Catalogue, ModelSource

        digests, settings = evidence.digests, self._settings
        catalogue = Catalogue(names, digests.catalogue)
        cache = settings.state / "cache" / "models"
        for name in registered_names(settings.world):
            source = ModelSource(settings.mlflow, name, cache, catalogue)
            registry = Registry(settings.mlflow, name) if settings.mlflow else None
            found = ModelsAtHand(source, registry, names).of(digests.model, digests.calibration)
            if found is not None:
                return found
        self.missing.append(
            f"model {digests.model} with calibration {digests.calibration} is neither cached"
            f" in {cache} nor registered; start MLflow, or copy the cache"
        )
        return None
