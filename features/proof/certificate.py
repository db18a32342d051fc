"""The certificate of parity: what was checked, what is equal, and what cannot be proven and why."""

from __future__ import annotations

import msgspec

from features.proof.causes import Gap
from features.proof.history import Span
from features.proof.origin import Origin
from features.proof.rebuilder import Missing, Trouble
from features.proof.witness import Witness


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A payment whose rebuilt numbers are not the served ones.

    ``feature`` is a feature's name, "score", or "inexact" (the names of inexact features);
    where only the judgement differs, the field of the decision ("outcome", "reasons[0].code"),
    with both of its values as JSON. ``records`` are those that the payment saw in the logs of
    that feature.
    """

    payment_id: str
    tenant: str
    feature: str
    served: float | str | None
    rebuilt: float | str | None
    decision: Origin
    records: list[Witness]


class Unproven(msgspec.Struct, frozen=True, kw_only=True):
    """The first payment of a cause, with the place that is missing where there is one."""

    payment_id: str
    tenant: str
    decision: Origin
    place: Gap | None
    means: str


class JudgementReport(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions judged again from their evidence, and compared byte for byte.

    ``checked`` is the sum of ``equal``, ``unequal`` and ``unprovable``. One decision in
    ``every`` was judged. ``missing`` says in words which versions were not to be had.
    """

    checked: int
    equal: int
    unequal: int
    unprovable: dict[str, int]
    every: int
    missing: list[str]


class ParityReport(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate. ``checked`` is the sum of ``equal``, ``unequal`` and ``unprovable``.

    These count vectors and scores. ``judgements`` is None where nobody judged again.
    """

    from_: str = msgspec.field(name="from")
    to: str
    verdict: str
    checked: int
    equal: int
    unequal: int
    unprovable: dict[str, int]
    first_difference: Difference | None
    first_unprovable: dict[str, Unproven]
    damaged: int
    first_damaged: list[Trouble]
    missing: list[Missing]
    records: int
    void: int
    fallbacks: int
    repeated: int
    ranges: list[Span]
    history_from: str | None
    digests: dict[str, str | dict[str, int]]
    judgements: JudgementReport | None = None
