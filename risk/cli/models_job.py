"""What the commands on a model's life do: check, compare, guard, write down, and move the alias."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.life import Action, Change
    from models.registry import Registry, Version
    from risk.policy import Policy
    from risk.settings import Settings

_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """A report, lines for people, and why it was refused ("" where it was done)."""

    content: dict[str, Any]
    lines: list[str] = field(default_factory=list)
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What `weir models promote` was asked."""

    version: str
    alias: str
    override: str | None
    backtest_days: int
    days: int
    label_delay_days: float
    guardrails: Path | None
    reason: str
    by: str | None
    world: str | None


def to_shadow(world: str | None, version: str, by: str | None, reason: str) -> Answer:
    """Point the challenger at ``version``. Raises BadModel where it may not serve."""
    from models.names import CHALLENGER, CHAMPION
    from risk.domain.errors import BadModel

    with _place(world, "models shadow") as place:
        wanted = place.registry.version(version)
        if CHAMPION in wanted.aliases:
            raise BadModel(f"version {version} is the champion; shadow another one")
        place.check(wanted)
        return place.move("shadow", CHALLENGER, wanted, (by, reason))


def rolled_back(world: str | None, by: str | None, reason: str) -> Answer:
    """Point the champion at what was live before it. Raises BadModel where that is nothing."""
    from models.life import checked_reason, rolled_back_to
    from models.names import CHAMPION
    from risk.domain.errors import BadModel

    said = checked_reason(reason)
    with _place(world, "models rollback") as place:
        live = place.named(CHAMPION)
        if live is None:
            raise BadModel(f"no version of {place.registry.name} is live")
        wanted = place.registry.version(rolled_back_to(place.registry.changes(), live.version))
        place.check(wanted)
        return place.move("rollback", CHAMPION, wanted, (by, said))


def retired(world: str | None, version: str, by: str | None, reason: str) -> Answer:
    """Retire ``version``; raises BadModel for the champion."""
    from models.names import CHAMPION
    from risk.domain.errors import BadModel

    with _place(world, "models retire") as place:
        wanted = place.registry.version(version)
        if CHAMPION in wanted.aliases:
            raise BadModel(
                f"version {version} is the champion: promote another version, or roll back"
            )
        return place.move("retire", "", wanted, (by, reason))


def compared(world: str | None, days: int, delay_days: float, limits: Path | None) -> Answer:
    """Champion and challenger on the payments of the last ``days``."""
    from models.names import CHALLENGER, CHAMPION
    from risk.domain.errors import BadModel

    with _place(world, "models compare") as place:
        champion, challenger = place.named(CHAMPION), place.named(CHALLENGER)
        if champion is None or challenger is None:
            lacking = CHAMPION if champion is None else CHALLENGER
            raise BadModel(
                f"no version of {place.registry.name} is {lacking}; see `weir models list`"
            )
        found = place.compare(champion, challenger, (days, delay_days, limits))
    lines = [
        f"champion {champion.version}, challenger {challenger.version}: {found['payments']}"
        f" payments scored by both, {found['dropped']} left out",
        *_figures(found),
        *(f"{one['status']:<8}{one['words']}" for one in found["guardrails"]),
    ]
    return Answer(found, lines)


def promoted(wish: Wish) -> Answer:
    """Point an alias at a version, unless something speaks against it."""
    from features.catalogue import FEATURE_NAMES
    from models.life import checked_reason
    from models.names import CHAMPION
    from risk.cli.live_gate import require_covered

    override = None if wish.override is None else checked_reason(wish.override)
    with _place(wish.world, "models promote") as place:
        wanted = place.registry.version(wish.version)
        place.check(wanted)
        covered_by = require_covered(place.settings, FEATURE_NAMES, wish.backtest_days)
        champion = place.named(CHAMPION)
        found: dict[str, Any] = {"guardrails": None, "passed": True}
        failures = []
        if wish.alias == CHAMPION and champion is not None and champion.version != wish.version:
            ways = (wish.days, wish.label_delay_days, wish.guardrails)
            found = place.compare(champion, wanted, ways)
            failures = [one["words"] for one in found["guardrails"] if one["status"] == "failed"]
            if wanted.retired:
                failures.insert(0, "life: the version is retired")
        told = {
            "covered_by": covered_by, "guardrails": found["guardrails"],
            "passed": not failures, "overridden": failures if override else [],
        }  # fmt: skip
        if failures and override is None:
            content = {"name": place.registry.name, "version": wish.version, "alias": wish.alias}
            before = champion.version if champion else None
            return Answer(
                content | {"before": before, "by": None, "reason": None} | told,
                refusal=f"version {wish.version} is not promoted: {'; '.join(failures)}."
                " It goes on with --override REASON",
            )
        action: Action = "promote" if wish.alias == CHAMPION else "shadow"
        why = (wish.by, override or wish.reason)
        moved = place.move(action, wish.alias, wanted, why, tuple(failures))
        return Answer(moved.content | told, moved.lines)


class _Place:
    """A registry with what stands beside it. ``kafka`` is "" where no broker is known."""

    def __init__(self, settings: Settings, registry: Registry, kafka: str) -> None:
        self.settings = settings
        self.registry = registry
        self._kafka = kafka

    def named(self, alias: str) -> Version | None:
        """The version that ``alias`` names."""
        return next((one for one in self.registry.versions() if alias in one.aliases), None)

    def check(self, wanted: Version) -> None:
        """Raise BadModel unless the doors would serve ``wanted``, checked as they check it."""
        from features.catalogue import FEATURE_NAMES, catalogue_digest
        from models.signature import ModelKeys, keys_folder
        from models.source import Catalogue, ModelRef, ModelSource

        state = self.settings.state
        catalogue = Catalogue(FEATURE_NAMES, catalogue_digest())
        source = ModelSource(
            self.settings.mlflow, self.registry.name, state / "cache" / "models", catalogue,
            ModelKeys(keys_folder(state)),
        )  # fmt: skip
        source.load(
            ModelRef(
                name=wanted.name, version=wanted.version, run_id=wanted.run_id,
                bundle=wanted.bundle, signature=wanted.signature,
            )
        )  # fmt: skip

    def compare(
        self, champion: Version, challenger: Version, ways: tuple[int, float, Path | None]
    ) -> dict[str, Any]:
        """The comparison of two versions, with the verdict of each guardrail."""
        import asyncio

        import msgspec

        from models.compare import compare, pairs_of
        from models.guardrails import read_guardrails, verdicts
        from models.shadow import ShadowBatch
        from risk.domain.clock import SystemClock
        from risk.policy import Policy

        days, delay_days, path = ways
        limits = read_guardrails(path, self.settings.state)
        now_ms = SystemClock().now_ms()
        read: tuple[list[bytes], dict[Any, Any], Policy] = ([], {}, Policy())
        if self._kafka:
            read = asyncio.run(self._read(now_ms - days * _DAY_MS))
        records, labels, policy = read
        pairs = pairs_of(
            (msgspec.json.decode(one, type=ShadowBatch) for one in records),
            (champion.model, champion.calibration), (challenger.model, challenger.calibration),
        )  # fmt: skip
        found = compare(pairs, labels, policy, now_ms, round(delay_days * _DAY_MS))
        told = verdicts(found, limits)
        return {
            "name": self.registry.name,
            "champion": champion.version,
            "challenger": challenger.version,
            **found,
            "guardrails": [msgspec.to_builtins(one) for one in told],
            "passed": all(one.status != "failed" for one in told),
        }

    async def _read(self, from_ms: int) -> tuple[list[bytes], dict[Any, Any], Policy]:
        from risk.policy import Policy
        from risk.versions.serving import policy_in
        from risk.versions.store import VersionStore
        from streams.control import Control
        from streams.shadow_reader import labels_known, shadow_records
        from streams.topics import Topics

        topics, policy = Topics(self.settings.world), Policy()
        control = Control(self._kafka, topics, VersionStore(self.settings.state / "versions"))
        try:
            await control.load()
        finally:
            await control.close()
        live = control.live.get("policy")
        version = None if live is None else control.store.get("policy", live.digest)
        if version is not None:
            policy = policy_in(version)
        records = await shadow_records(self._kafka, topics, from_ms)
        return records, await labels_known(self._kafka, topics, from_ms), policy

    def move(
        self,
        action: Action,
        alias: str,
        wanted: Version,
        why: tuple[str | None, str],
        overridden: tuple[str, ...] = (),
    ) -> Answer:
        """Write the change down, on the control topic and in the registry, and do it."""
        import asyncio
        import getpass

        from models.life import Change
        from risk.domain.clock import SystemClock

        held = self.named(alias) if alias else None
        before = held.version if held else ""
        change = Change(
            action=action, alias=alias, version=wanted.version, bundle=wanted.bundle, before=before,
            by=why[0] or getpass.getuser(), at_ms=SystemClock().now_ms(), reason=why[1],
            overridden=overridden,
        )  # fmt: skip
        if self._kafka:
            asyncio.run(self._announce(change))
        self.registry.change(change)
        content = {
            "name": self.registry.name, "version": wanted.version, "alias": alias or None,
            "before": before or None, "by": change.by, "reason": change.reason,
        }  # fmt: skip
        line = f"version {wanted.version} of {self.registry.name} is retired"
        if alias:
            moved = f"version {before or 'none'} -> {wanted.version}"
            line = f"{alias} of {self.registry.name}: {moved}"
        return Answer(content, [line])

    async def _announce(self, change: Change) -> None:
        """Put the change on the control topic, under a key of its own: compaction keeps it."""
        from streams.publish import KafkaPublisher, Outgoing
        from streams.topics import Topics

        topics = Topics(self.settings.world)
        key = f"life:model:{change.at_ms}:{change.version}".encode()
        async with KafkaPublisher(self._kafka, topics) as publisher:
            await publisher.deliver([Outgoing(topics.control, 0, key, change.text().encode())])


@contextmanager
def _place(world: str | None, command: str) -> Iterator[_Place]:
    """The registry on the running MLflow or one of our own, and Kafka where it runs."""
    import asyncio

    from models.names import model_name
    from models.registry import Registry
    from models.signature import ModelKeys, keys_folder
    from risk.cli.live_gate import has_topics
    from risk.local import parts
    from risk.settings import Settings

    settings = Settings() if world is None else Settings(world=world)
    with parts.resolve(settings, ("mlflow",), command=command) as resolved:
        live = parts.running(settings.state)
        kafka = settings.kafka or (live.kafka if live is not None else "")
        if kafka and not asyncio.run(has_topics(kafka, settings.world)):
            kafka = ""
        keys = ModelKeys(keys_folder(resolved.state))
        registry = Registry(resolved.mlflow, model_name(resolved.world), keys)
        yield _Place(resolved, registry, kafka)


def _figures(found: dict[str, Any]) -> list[str]:
    """The figures with intervals, a line each."""
    told = []
    names = ["agreement", "rank_correlation", "average_precision_gain"]
    figures = {name: found[name] for name in names}
    if found["money"] is not None:
        figures["saved_minor"] = found["money"]["saved_minor"]
    for name, figure in figures.items():
        if figure is not None and figure["value"] is not None:
            told.append(
                f"{name:<24}{figure['value']:.4f} ({figure['low']:.4f} to {figure['high']:.4f})"
            )
    if found["immature_share"] is not None:
        told.append(f"{'immature_share':<24}{found['immature_share']:.4f}")
    told += [f"{flip:<24}{count}" for flip, count in sorted(found["flips"].items())]
    return told
