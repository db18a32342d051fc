"""Why a change of lists is refused; nothing is changed then."""

from __future__ import annotations

from risk.domain.errors import BadConfiguration


class BadList(BadConfiguration):
    """A list, an entry or a file of entries was refused. ``problems`` holds one line each."""

    code = "BAD_LIST"
    http_status = 422
    operator = "Correct what the message names; no list was changed."

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UnknownList(BadList):
    """No list has this name."""

    code = "UNKNOWN_LIST"
    http_status = 404

    def __init__(self, name: str, nearest: str) -> None:
        hint = f"; did you mean {nearest}?" if nearest else "; see `weir lists list`"
        super().__init__([f"there is no list {name!r}{hint}"])


class ListInUse(BadList):
    """Rules of the live book name the list."""

    code = "LIST_IN_USE"
    http_status = 409
    operator = "Publish a book without these rules first; the list was not changed."

    def __init__(self, name: str, rules: list[str]) -> None:
        super().__init__([f"the live book names the list {name}: {', '.join(rules)}"])
