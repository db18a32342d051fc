"""Rules in CEL (C++) and in rule-engine, over prepared payments.

Runs in the rivals' environment: it imports nothing of Weir. Takes a JSON file on its command
line, answers {engine: {us, hits}} on standard output; ``hits`` are counts by rule.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rule_engine
from cel_expr_python import cel

Payments = list[dict[str, Any]]
Answer = Callable[[dict[str, Any]], list[bool]]


def cel_answers(rules: list[str], sample: dict[str, Any]) -> Answer:
    """All rules as one list expression, the form in which CEL is fastest."""
    kinds = {bool: cel.Type.BOOL, str: cel.Type.STRING, float: cel.Type.DOUBLE}
    env = cel.NewEnv(variables={name: kinds[type(value)] for name, value in sample.items()})
    expression = env.compile(f"[{', '.join(rules)}]")

    def answer(payment: dict[str, Any]) -> list[bool]:
        hits: list[bool] = expression.eval(data=payment).plain_value()
        return hits

    return answer


def rule_engine_answers(rules: list[str], sample: dict[str, Any]) -> Answer:
    """One typed rule each."""
    kinds = {
        bool: rule_engine.DataType.BOOLEAN,
        str: rule_engine.DataType.STRING,
        float: rule_engine.DataType.FLOAT,
    }
    types = {name: kinds[type(value)] for name, value in sample.items()}
    context = rule_engine.Context(type_resolver=rule_engine.type_resolver_from_dict(types))
    made = [rule_engine.Rule(rule, context=context) for rule in rules]

    def answer(payment: dict[str, Any]) -> list[bool]:
        return [rule.matches(payment) for rule in made]

    return answer


def measured(answer: Answer, payments: Payments, rounds: int) -> dict[str, Any]:
    """The least CPU time of a payment, and how many payments each rule hits."""
    answers = [answer(payment) for payment in payments]
    best_s = float("inf")
    for _ in range(rounds):
        began_s = time.process_time()
        for payment in payments:
            answer(payment)
        best_s = min(best_s, time.process_time() - began_s)
    hits = [sum(map(bool, one)) for one in zip(*answers, strict=True)]
    return {"us": best_s / len(payments) * 1e6, "hits": hits}


def main() -> None:
    """Measure each engine."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    given = json.loads(parser.parse_args().file.read_text())
    payments: Payments = given["payments"]
    made = {
        "cel-expr-python": cel_answers(given["cel"], payments[0]),
        "rule-engine": rule_engine_answers(given["rule_engine"], payments[0]),
    }
    few = {"rule-engine": payments[: given["few"]]}
    found = {
        name: measured(answer, few.get(name, payments), given["rounds"])
        for name, answer in made.items()
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
