"""The names of everything that Weir keeps in Redis.

Keys are ``{prefix}{b00}:tenant:kind:identifier``. The braces are Redis's hash tag, so that
everything of a bucket lies in one slot; a single node has one bucket, fixed at creation.
Tenants and kinds have no colon, so no identifier can reach into another's keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from risk.domain.kinds import ENTITY_KINDS

_BUCKET = "{b00}"
_EVENT = "e"


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names of one world; ``prefix`` is ``streams.topics.redis_prefix(world)``."""

    prefix: str

    @property
    def epoch(self) -> bytes:
        """``17`` where the gate is open for epoch 17, ``closed:17`` while it is not."""
        return self._name("epoch")

    @property
    def lock(self) -> bytes:
        """The fencing token of the recovery that is under way."""
        return self._name("recovery")

    @property
    def pending(self) -> bytes:
        """Sorted set of event keys that are claimed or decided, by arrival in ms."""
        return self._name("pending")

    @property
    def watermarks(self) -> bytes:
        """Hash ``topic:partition`` -> ``offset:epoch`` of the last acknowledged record."""
        return self._name("acked")

    def event(self, tenant: str, event_key: str) -> bytes:
        """Where the claim, then the decision, then the receipt of an event stands."""
        return self._name(f"{tenant}:{_EVENT}:{event_key}")

    def log(self, tenant: str, kind: str, identifier: str) -> bytes:
        """The log of one entity."""
        return self._name(f"{tenant}:{kind}:{identifier}")

    def parse_log(self, key: bytes) -> tuple[str, str, str] | None:
        """(tenant, kind, identifier) of a key made by ``log``; None for any other key."""
        parts = key.decode()[len(self.prefix) + len(_BUCKET) + 1 :].split(":", 2)
        if len(parts) < 3 or parts[1] not in ENTITY_KINDS:
            return None
        return parts[0], parts[1], parts[2]

    def parse_event(self, key: bytes) -> tuple[str, str]:
        """(tenant, event key) of a key made by ``event``."""
        tenant, _, event_key = key.decode()[len(self.prefix) + len(_BUCKET) + 1 :].split(":", 2)
        return tenant, event_key

    def _name(self, rest: str) -> bytes:
        return f"{self.prefix}{_BUCKET}:{rest}".encode()


def watermark_field(topic: str, partition: int) -> str:
    """The field of a partition in the hash of watermarks."""
    return f"{topic}:{partition}"
