"""Books as YAML files: a strict subset of YAML, so that what is read is what is seen.

No aliases, no tags, no duplicate keys; ``NO`` is a country, ``2026-01-31`` is text. Only
plain decimal numbers and ``true``/``false`` are other than text.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from risk.domain.errors import BadBook
from risk.rules.book import BOOK_FORMAT, Book
from risk.rules.book_shape import book_of
from risk.rules.formatter import formatted
from risk.rules.syntax import Refused

BOOK_BYTES_MAX: Final = 2 * 1024 * 1024
DEPTH_MAX: Final = 8
STARTER_BOOK: Final = Path(__file__).with_name("starter_book.yaml")
_FORMAT: Final = re.compile(r"^format:\s*(\d{1,9})\s*$", re.MULTILINE)


class _Loader(yaml.SafeLoader):
    """SafeLoader without aliases, deep nesting, duplicate keys and surprising scalars."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="an alias (*name); write the value out", problem_mark=self.mark()
            )
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=self.mark())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def mark(self) -> Any:
        return self.peek_event().start_mark  # type: ignore[no-untyped-call]

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a key is not plain text", problem_mark=key.start_mark
                )
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(null|)$"), ["n", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^-?(0|[1-9][0-9]{0,17})$"), list("-0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^-?[0-9]{1,400}\.[0-9]{1,400}$"), list("-0123456789")
)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that writes nothing as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _decimal(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    text = format(Decimal(repr(value)), "f")  # the loader reads no exponents
    return dumper.represent_scalar("tag:yaml.org,2002:float", text if "." in text else f"{text}.0")


_Dumper.add_representer(str, _text)
_Dumper.add_representer(float, _decimal)


def read_book(path: Path) -> Book:
    """The book in the file ``path``; raises BadBook where it cannot be read as one."""
    try:
        if path.stat().st_size > BOOK_BYTES_MAX:
            raise BadBook([f"{path.name}: larger than {BOOK_BYTES_MAX} bytes"])
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadBook([f"{path}: cannot be read ({error.strerror})"]) from None
    except UnicodeDecodeError as error:
        raise BadBook([f"{path.name}: byte {error.start} is not UTF-8"]) from None
    return load_book(text)


def load_book(text: str) -> Book:
    """The book in YAML ``text``; raises BadBook. Its rules are not checked yet."""
    if len(text) > BOOK_BYTES_MAX:
        raise BadBook([f"the book is larger than {BOOK_BYTES_MAX} bytes"])
    declared = _FORMAT.search(text)
    if declared and int(declared.group(1)) > BOOK_FORMAT:
        raise BadBook(
            [f"format {declared.group(1)} is newer than {BOOK_FORMAT}, which this Weir reads"]
        )
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        content = None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise BadBook([f"{place}not a rule book: {error.problem or error.context}"]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadBook([f"not YAML: {' '.join(str(error).split())}"]) from None
    return book_of(content, root)


class _Flow(dict[str, Any]):
    """A mapping that is written in one line."""


def _flow(dumper: yaml.SafeDumper, values: _Flow) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", values, flow_style=True)


_Dumper.add_representer(_Flow, _flow)


def dump_book(book: Book) -> str:
    """``book`` as YAML; ``load_book`` gives an equal book back."""
    content = msgspec.to_builtins(book)
    for rule in content["rules"]:
        for sort, examples in rule.get("examples", {}).items():
            rule["examples"][sort] = [_Flow(one) for one in examples]
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=96)
    return text


def canonical_text(book: Book) -> str:
    """``book`` as YAML in the one canonical form, every condition formatted.

    A condition that is not of the language stays as it is. Rules stand apart by an empty line.
    """
    rules = tuple(msgspec.structs.replace(one, when=_formatted(one.when)) for one in book.rules)
    head, _, body = dump_book(msgspec.structs.replace(book, rules=rules)).partition("\n- id:")
    if not body:
        return head
    text = head + "\n- id:" + body.replace("\n- id:", "\n\n- id:")
    return text.replace("\nrate_rules:\n\n- id:", "\n\nrate_rules:\n- id:")


def comments_of(text: str) -> list[int]:
    """The numbers of the lines of a book that have a comment."""
    covered = bytearray(len(text))
    for token in yaml.scan(text, Loader=_Loader):
        if isinstance(token, yaml.ScalarToken):
            start, end = token.start_mark.index, token.end_mark.index
            covered[start:end] = b"\x01" * (end - start)
    bare = [at for at, sign in enumerate(text) if sign == "#" and not covered[at]]
    return sorted({text.count("\n", 0, at) + 1 for at in bare})


def _formatted(when: str) -> str:
    try:
        return formatted(when)
    except Refused:
        return when
