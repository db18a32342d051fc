"""The language as a page for people and as data for editors, both made from the code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from risk.domain.kinds import ENTITY_KINDS, RECORD_KIND_CODE
from risk.domain.limits import HORIZON_MS
from risk.rules.functions import FUNCTIONS, Function, Parameter
from risk.rules.schema import FIELDS, SCORE, TYPE_OF_DTYPE, Declared
from risk.rules.syntax import DEPTH_MAX, NODES_MAX, TEXT_BYTES_MAX, Type
from risk.rules.windows import (
    COST_US,
    KIND_GROUPS,
    OTHERS,
    UNITS_MS,
    WINDOW_FUNCTIONS,
    WINDOWS_MAX,
    WindowFunction,
    default_kinds,
    span_text,
)

EDITOR_FORMAT: Final = 1
GRAMMAR: Final = """\
condition  = condition "or" condition | condition "and" condition | "not" condition
           | comparison | membership | call | flag | "True" | "False" | "(" condition ")"
comparison = value ("<" | "<=" | ">" | ">=" | "==" | "!=") value ...   as in  1 < amount <= 10
membership = value ["not"] "in" ( "(" literal "," ... ")" | "[" literal "," ... "]" | LIST )
value      = literal | NAME | call | window | "-" value | "(" value ")"
           | value ("+" | "-" | "*" | "/" | "%") value
call       = FUNCTION "(" argument "," ... ")"
window     = "count" "(" ENTITY "," span ["," kind] ")"
           | ("sum" | "max" | "avg") "(" ENTITY "," span "," "amount" ["," kind] ")"
           | "distinct" "(" ENTITY "," span "," OTHERS ["," kind] ")"
kind       = "kind" "=" ( text | "(" text "," ... ")" )
literal    = decimal number | text in "..." or '...' without escapes | "True" | "False"
span       = text of a number and s, m, h or d, as "90m"
"""
_HEAD: Final = """\
# The rule language

Made by `weir rules reference`; do not edit.

A rule is one condition: the expression subset of Python. It is parsed, never run as Python: only
what stands in the grammar below is accepted. Types are checked before a rule is saved. A rule has
at most {bytes} bytes, {nodes} parts and a depth of {depth}.

## Grammar

```
{grammar}```

`not` binds more than `and`, `and` more than `or`. Line breaks are free.

## Missing values

A missing value makes a comparison *unknown*, and unknown stays unknown under `not` (Kleene
logic): `unknown and False` is false, `unknown or True` is true, everything else with an unknown
part is unknown. A rule that is unknown does not hit; the decision's findings count it. Dividing by
0 gives unknown. Use `is_missing(x)` and `coalesce(x, 0)` to say what a missing value means.
"""
_WINDOWS: Final = """\
A window looks at the log of one of the payment's own entities, as far back as `{horizon}`. It is
computed from the same tails, by the same kernel and over the same records as the features, when
the payment is observed. Its value stands in the decision's evidence, beside the vector, and parity
proves it. It is unknown where the payment has no such entity.

The span `(t - span, t]` ends at the payment's own time; the payment itself is not counted. Where
the log of an entity is longer than its tail and the span reaches past it, the window is named in
the evidence's `inexact`, as features are.

Without `kind`, attempts count: {attempts}. `distinct(..., merchants)` looks at {merchants},
`distinct(..., beneficiaries)` at {beneficiaries}. `kind` names one or more kinds of record.

A book may read {most} different windows. A book with none costs nothing.
"""


class Described(Declared, Protocol):
    """A feature with the words that people read."""

    @property
    def unit(self) -> str: ...

    @property
    def sentence(self) -> str: ...


def markdown(features: Sequence[Described]) -> str:
    """The reference page."""
    head = _HEAD.format(bytes=TEXT_BYTES_MAX, nodes=NODES_MAX, depth=DEPTH_MAX, grammar=GRAMMAR)
    windows = _WINDOWS.format(
        horizon=span_text(HORIZON_MS),
        attempts=_words(default_kinds("")),
        merchants=_words(default_kinds("merchants")),
        beneficiaries=_words(default_kinds("beneficiaries")),
        most=WINDOWS_MAX,
    )
    groups = [f"`{name}` ({_words(kinds)})" for name, kinds in KIND_GROUPS.items()]
    return "\n".join(
        [
            head,
            "## Functions\n",
            "Every function is total: a missing argument gives unknown, but for `is_missing` and"
            " `coalesce`.\n",
            *_table(("function", "gives", "meaning", "example"), map(_function_row, _functions())),
            "\n## Windows\n",
            windows,
            *_table(
                ("window", "gives", "meaning", "cost for 72 records", "example"),
                map(_window_row, WINDOW_FUNCTIONS.values()),
            ),
            f"\nEntities: {_words(ENTITY_KINDS)}.",
            f"\nOthers, for `distinct`: {_words(OTHERS)}.",
            f"\nKinds: {_words(RECORD_KIND_CODE)}. Groups: {', '.join(groups)}.",
            f"\nUnits of spans: {_words(UNITS_MS)}.",
            "\n## Fields of the payment\n",
            *_table(
                ("name", "type", "unit", "meaning"),
                ((f"`{one.name}`", one.type, one.unit, one.sentence) for one in FIELDS),
            ),
            f"\n`{SCORE}` is the model's calibrated probability, 0 to 1; missing without a model.",
            "\n## Features\n\nThe features of [the catalogue](features.md) are"
            " names of the language: flags are conditions, the others numbers.\n",
        ]
    )


def editor_data(features: Sequence[Described], lists: Iterable[str] = ()) -> dict[str, Any]:
    """What an editor needs to complete, check and explain as somebody types.

    Keys: format, names (name, type, unit, sentence, source, values), functions (name,
    parameters, result, sentence, example), windows (name, field, result, sentence, example,
    cost_us), entities, others, kinds, kind_groups, spans, operators, words, lists, limits.
    """
    fields = [
        {
            "name": one.name, "type": one.type, "unit": one.unit, "sentence": one.sentence,
            "source": "payment", "values": sorted(one.values) if one.values else [],
        }
        for one in FIELDS
    ]  # fmt: skip
    score = {
        "name": SCORE, "type": Type.NUMBER, "unit": "probability", "source": "model",
        "sentence": "The model's calibrated probability of fraud, 0 to 1.", "values": [],
    }  # fmt: skip
    catalogue = [
        {
            "name": one.name, "type": TYPE_OF_DTYPE[one.dtype], "unit": one.unit,
            "sentence": one.sentence, "source": "catalogue", "values": [],
        }
        for one in features
    ]  # fmt: skip
    return {
        "format": EDITOR_FORMAT,
        "names": [*fields, score, *catalogue],
        "functions": [_function_data(one) for one in _functions()],
        "windows": [
            {**one._asdict(), "cost_us": COST_US[one.name]} for one in WINDOW_FUNCTIONS.values()
        ],
        "entities": list(ENTITY_KINDS),
        "others": list(OTHERS),
        "kinds": list(RECORD_KIND_CODE),
        "kind_groups": {name: list(kinds) for name, kinds in KIND_GROUPS.items()},
        "spans": {"units": list(UNITS_MS), "most": span_text(HORIZON_MS)},
        "operators": ["<", "<=", ">", ">=", "==", "!=", "+", "-", "*", "/", "%"],
        "words": ["and", "or", "not", "in", "True", "False"],
        "lists": sorted(lists),
        "limits": {"bytes": TEXT_BYTES_MAX, "parts": NODES_MAX, "depth": DEPTH_MAX},
    }


def signature(function: Function) -> str:
    """How a function is called.

    >>> signature(FUNCTIONS["ratio"])
    'ratio(part, whole, [default])'
    """
    return f"{function.name}({', '.join(map(_shown, function.parameters))})"


def _functions() -> list[Function]:
    return list(FUNCTIONS.values())


def _shown(parameter: Parameter) -> str:
    text = parameter.name + (", ..." if parameter.repeated else "")
    return f"[{text}]" if parameter.optional else text


def _function_data(function: Function) -> dict[str, Any]:
    return {
        "name": function.name,
        "signature": signature(function),
        "parameters": [
            {
                "name": one.name, "types": list(one.types), "literal": one.literal,
                "optional": one.optional, "repeated": one.repeated,
            }
            for one in function.parameters
        ],
        "result": function.result or "as its arguments",
        "sentence": function.sentence,
        "example": function.example,
    }  # fmt: skip


def _function_row(one: Function) -> tuple[str, ...]:
    result = one.result or "as its arguments"
    return f"`{signature(one)}`", result, one.sentence, f"`{one.example}`"


def _window_row(one: WindowFunction) -> tuple[str, ...]:
    inner = f", {one.field}" if one.field else ""
    call = f'`{one.name}(entity, "span"{inner}, [kind=...])`'
    return call, one.result, one.sentence, f"{COST_US[one.name]} us", f"`{one.example}`"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
