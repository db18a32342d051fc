"""The life of a registered model: draft, shadow, live, retired, and who changed it when and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal

import msgspec

from models.names import CHALLENGER, CHAMPION, TAG_LIFE
from risk.domain.errors import BadModel

State = Literal["draft", "shadow", "live", "retired"]
Action = Literal["publish", "shadow", "promote", "rollback", "retire"]
REASON_CHARS_MAX: Final = 500


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of what an alias names. ``before`` is the version that it named, or "".

    ``overridden`` are the guardrails that failed and were overruled, in words; ``reason`` is why.
    """

    action: Action
    alias: str
    version: str
    bundle: str
    before: str
    by: str
    at_ms: int
    reason: str = ""
    overridden: tuple[str, ...] = ()

    def text(self) -> str:
        """JSON that fits into a tag of the registry."""
        cut = tuple(one[:200] for one in self.overridden[:12])
        return msgspec.json.encode(msgspec.structs.replace(self, overridden=cut)).decode()


def state_of(aliases: Collection[str], *, retired: bool) -> State:
    """The state of a version with these aliases."""
    if CHAMPION in aliases:
        return "live"
    if CHALLENGER in aliases:
        return "shadow"
    return "retired" if retired else "draft"


def changes_in(tags: Mapping[str, str]) -> list[Change]:
    """The changes that a registered model's tags tell, oldest first; others' tags are left out."""
    found = []
    for key in sorted(key for key in tags if key.startswith(TAG_LIFE)):
        try:
            found.append(msgspec.json.decode(tags[key], type=Change))
        except msgspec.DecodeError:
            continue
    return found


def rolled_back_to(changes: list[Change], live: str) -> str:
    """The version that was live before ``live`` was; raises BadModel where there was none."""
    for change in reversed(changes):
        if (change.alias, change.version) == (CHAMPION, live) and change.action != "rollback":
            if change.before not in ("", live):
                return change.before
            break
    raise BadModel(f"nothing was live before version {live}: there is nothing to roll back to")


def checked_reason(reason: str) -> str:
    """``reason`` without blanks around; raises BadModel where it says nothing or too much."""
    said = reason.strip()
    if not 8 <= len(said) <= REASON_CHARS_MAX:
        raise BadModel(f"a reason has 8 to {REASON_CHARS_MAX} characters; it is kept for good")
    return said
