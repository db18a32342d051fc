"""What passes between the engine and the feature memory (design, section 6).

Structs, because one of each is made for every payment: a frozen dataclass takes six times as
long. They hold no cycles, so the collector need not look at them.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from risk.domain.decision import Door, LogPosition
from risk.domain.event import AnyEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A decoded event as a door received it.

    ``amount_base`` is in minor units of the base currency, None without an exchange rate.
    """

    event: AnyEvent
    body: bytes
    fingerprint: bytes
    door: Door
    arrived_at_ms: int
    amount_base: int | None


class Windowed(msgspec.Struct, frozen=True, gc=False):
    """The windows that rules asked for when the vector was made: their texts and values.

    ``values`` has one float64 per name, NaN where missing.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """The event is ours to judge (or somebody's who has not decided yet).

    ``vector`` has one float64 per feature in catalogue order (NaN is missing), and is None
    for remembered events. ``inexact`` names features and windows that reach past the tail.
    """

    positions: tuple[LogPosition, ...]
    vector: NDArray[np.float64] | None
    inexact: tuple[str, ...]
    windows: Windowed | None = None


class Stored(msgspec.Struct, frozen=True, gc=False):
    """Decided, perhaps not yet published: ``body`` must be published and acknowledged."""

    body: bytes


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Decided, published and acknowledged; the bytes are in Kafka at this place."""

    outcome: str
    score: float | None
    digest: str
    partition: int
    offset: int


class Mismatch(msgspec.Struct, frozen=True, gc=False):
    """Another content was claimed under this id before."""

    fingerprint: bytes


class Lost(msgspec.Struct, frozen=True, gc=False):
    """The claim stands, but the records it may see are gone (FEATURES_LOST)."""

    position: LogPosition
    positions: tuple[LogPosition, ...]


Observed = Claimed | Stored | Receipt | Mismatch | Lost


class Publication(msgspec.Struct, frozen=True, dict=True):
    """Bytes to publish for one event. ``key`` is the Kafka key, ``event_key`` the claim's."""

    tenant: str
    event_key: str
    topic: Literal["decisions", "ledger"]
    key: bytes
    body: bytes
    outcome: str
    score: float | None

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self.body).digest()


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A publication that Kafka has confirmed."""

    publication: Publication
    partition: int
    offset: int


class Memory(Protocol):
    """The feature memory as the engine sees it. Every method takes and keeps batch order.

    Each raises StaleEpoch when Redis answers for another epoch (everything obtained from
    it must then be dropped) and Unavailable when it does not answer in time. Each works
    for the epoch that ``epoch`` has when it is called, so a caller compares it with the one
    it observed under, without an await in between.
    """

    @property
    def epoch(self) -> int: ...

    async def observe(
        self, arrivals: Sequence[Arrival], windows: tuple[str, ...] = ()
    ) -> list[Observed]:
        """Claim each event, append it to its logs, and return what it may see.

        ``windows`` are the texts of the windows that rules will read of this batch.

        Idempotent: a retry, by any worker or door, appends nothing and sees the same.
        """
        ...

    async def decide(self, publications: Sequence[Publication]) -> list[Stored | Receipt]:
        """Set-if-absent of the exact bytes; what stands for each (ours or another's).

        A Receipt says that another has published and acknowledged its decision already.
        """
        ...

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Replace the bytes by receipts, if epoch and digest are the caller's."""
        ...

    async def recover(self) -> None:
        """Wait until recovery (ours or another's) has opened a new epoch."""
        ...


class Publisher(Protocol):
    """Delivers to the decisions and ledger topics, acks=all, awaited, epoch in the header."""

    async def publish(self, publications: Sequence[Publication], epoch: int) -> list[Delivery]: ...

    async def read(self, topic: str, partition: int, offset: int) -> bytes | None:
        """The bytes at an offset, None where retention has removed them."""
        ...
