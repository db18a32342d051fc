"""`weir bench http`: the HTTP door against an endpoint that only validates and answers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import msgspec
import typer

from benchmarks import common, common_parts, common_tails
from benchmarks.common import Series
from benchmarks.common_payments import KINDS, Draw, Population
from benchmarks.http_load import Result, Task
from risk.domain.clock import SystemClock
from risk.domain.decision import decode_decision
from risk.domain.errors import Unavailable
from risk.domain.limits import TAIL_CAP
from risk.local import ports
from risk.local.process import Child, Command, log_tail, plain_environment
from risk.local.services import answers_ready, log_of, start_service
from risk.settings import Settings
from risk.storage.api_keys import create_key
from risk.tables.load import exchange_rates

WORLD: Final = "live"
PATH: Final = "/v1/decisions"
CONNECTIONS: Final = (1, 8, 32)
OPEN_CONNECTIONS: Final = 32
SEED: Final = 7
READY_S: Final = 90.0
LOAD_GRACE_S: Final = 60.0
EVIDENCE_READ: Final = 200
STAGE: Final = "weir_stage_seconds_total"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rate_per_s: float
    seconds: float
    saturation_s: float
    warm_up_s: float
    rounds: int
    accounts: int
    tail_records: float = 72.0


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load."""

    name: str
    address: str
    pid: int


@dataclass(slots=True)
class Loads:
    """Starts one load process after the other; names of payments never repeat."""

    plan: Plan
    token: str
    number: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def closed(self, target: Target, connections: int) -> Result:
        """Saturation: every connection sends as soon as it is answered."""
        return self._run(target, connections, self.plan.saturation_s, 0.0)

    def open(self, target: Target) -> Result:
        """At the fixed rate, on persistent connections."""
        return self._run(target, OPEN_CONNECTIONS, self.plan.seconds, self.plan.rate_per_s)

    def _run(self, target: Target, connections: int, seconds: float, rate_per_s: float) -> Result:
        self.number += 1
        task = Task(
            address=target.address,
            path=PATH,
            token=self.token,
            name=f"bench-{target.name}-{self.number:03d}",
            seed=SEED,
            accounts=self.plan.accounts,
            connections=connections,
            seconds=seconds,
            warm_up_s=self.plan.warm_up_s,
            rate_per_s=rate_per_s,
        )
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.http_load"],
            cwd=common.ROOT,
            input=msgspec.json.encode(task),
            capture_output=True,
            timeout=self.plan.warm_up_s + seconds + LOAD_GRACE_S,
            check=False,
        )
        if done.returncode:
            raise Unavailable("load", done.stderr.decode(errors="replace")[-500:])
        found = msgspec.json.decode(done.stdout, type=Result)
        for status, times in found.answers.items():
            if status != "200":
                self.refused[status] = self.refused.get(status, 0) + times
        return found


def http(
    report: Annotated[Path | None, typer.Option(help="Write the report there, as JSON.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, interleaved.")] = 3,
    rate: Annotated[float, typer.Option(min=1, help="Requests per second, open loop.")] = 200.0,
    seconds: Annotated[float, typer.Option(min=1, help="How long the open loop lasts.")] = 30.0,
    saturation_seconds: Annotated[
        float, typer.Option(min=0.5, help="How long each closed loop lasts.")
    ] = 6.0,
    accounts: Annotated[int, typer.Option(min=20, help="Accounts that pay.")] = 10_000,
    quick: Annotated[
        bool, typer.Option(help="A small model and short rounds: does it run?")
    ] = False,
) -> None:
    """Measure POST /v1/decisions at a fixed rate and at saturation."""
    plan = Plan(rate, seconds, saturation_seconds, 2.0, rounds, accounts)
    if quick:
        plan = Plan(100.0, 2.0, 0.7, 0.3, 1, 200)
    machine = common.machine()
    bundle = common_parts.model(quick=quick)
    with common_parts.parts() as parts:
        parts.serve(bundle, WORLD)
        settings = parts.in_world(WORLD)
        token = _token(settings)
        with _servers(settings) as (weir, empty):
            common.say("filling the logs")
            _fill(settings, plan)
            found = _measure(parts, plan, Loads(plan, token), weir, empty)
    content = {**found, "model": bundle.model_digest, "machine": machine}
    common.write_report(report, content)
    _show(content)


def _token(settings: Settings) -> str:
    _, token = create_key(
        settings,
        name="benchmark",
        scopes=("decide", "read"),
        now_ms=SystemClock().now_ms(),
        rate_per_s=100_000,
    )
    return token


@contextmanager
def _servers(settings: Settings) -> Iterator[tuple[Target, Target]]:
    """The API as `weir api` runs it, and the empty endpoint; both answer when this enters."""
    started: list[Child] = []
    try:
        ours, theirs = ports.pick(None), ports.pick(None)
        started.append(start_service("api", ["api", "--port", str(ours)], settings))
        argv = (sys.executable, "-m", "benchmarks.http_empty", str(theirs))
        environment = {**plain_environment(), "PYTHONPATH": str(common.ROOT)}
        log = log_of("empty", settings.state)
        started.append(Child.start(Command("empty", argv, log, environment, common.ROOT)))
        targets = []
        for name, port, child in zip(("weir", "empty"), (ours, theirs), started, strict=True):
            address = f"http://127.0.0.1:{port}"
            _wait(child, address)
            targets.append(Target(name, address, child.pid))
        yield targets[0], targets[1]
    finally:
        for child in started:
            child.stop()


def _wait(child: Child, address: str) -> None:
    child.wait_ready(lambda: answers_ready(address), READY_S)
    if not child.running:
        raise Unavailable(child.command.name, log_tail(child.command.log))


def _fill(settings: Settings, plan: Plan) -> int:
    """Give every entity a past, at the epoch that the API has opened."""
    population = Population(SEED, plan.accounts)
    now_ms = SystemClock().now_ms()
    rates = exchange_rates(settings.rates, settings.base_currency)
    past = past_of(population, plan.tail_records, now_ms)
    epoch = asyncio.run(common_tails.open_world(settings))
    return common_tails.fill(
        settings.redis, settings.world, epoch, common_tails.logs(population, past, SEED, rates)
    )


def past_of(population: Population, tail_records: float, now_ms: int) -> Draw:
    """A past in which the next payments see ``tail_records`` on average over their entities."""
    low, high = 0.1, tail_records * 2
    while high - low > 0.02 * tail_records:
        middle = (low + high) / 2
        if mean_tail(population, population.past(SEED, middle, now_ms), now_ms) < tail_records:
            low = middle
        else:
            high = middle
    return population.past(SEED, (low + high) / 2, now_ms)


def mean_tail(population: Population, past: Draw, now_ms: int) -> float:
    """Records that a payment sees in each of its logs, on average."""
    import numpy as np

    draw = population.draw(np.random.default_rng(SEED), np.full(2_000, now_ms))
    lengths = []
    for kind in KINDS:
        held = np.bincount(past.entity[kind], minlength=int(draw.entity[kind].max()) + 1)
        lengths.append(np.minimum(held[draw.entity[kind]], TAIL_CAP).mean())
    return float(np.mean(lengths))


def _measure(
    parts: common_parts.Parts, plan: Plan, loads: Loads, weir: Target, empty: Target
) -> dict[str, Any]:
    common.say(f"{plan.rate_per_s:g} a second for {plan.seconds:g} s")
    calm = {target.name: loads.open(target) for target in (empty, weir)}
    series = Series()
    costs = _Costs(parts, weir)
    for number, name in common.interleaved(("empty", "weir"), plan.rounds):
        target = weir if name == "weir" else empty
        for connections in CONNECTIONS:
            costs.start(name == "weir")
            found = loads.closed(target, connections)
            costs.end(name == "weir", sum(found.answers.values()))
            series.add(f"{name}-{connections}", found.per_s)
            series.add(f"{name}-p99-{connections}", found.p99)
            common.say(
                f"round {number + 1}: {name}, {connections} connections: "
                f"{found.per_s:,.0f}/s, p99 {found.p99:.1f} ms"
            )
        series.add(name, max(series.values[f"{name}-{each}"][-1] for each in CONNECTIONS))
    return {
        "empty_per_s": series.median("empty"),
        "weir_per_s": series.median("weir"),
        "ratio_saturation": series.ratio("weir", "empty"),
        "ratios": series.ratios("weir", "empty"),
        "ranges": {"empty_per_s": series.span("empty"), "weir_per_s": series.span("weir")},
        "saturation": {str(each): _at(series, each) for each in CONNECTIONS},
        "latency_ms": {"rate_per_s": plan.rate_per_s, **_latency(calm["weir"])},
        "empty_latency_ms": {"rate_per_s": plan.rate_per_s, **_latency(calm["empty"])},
        **costs.report(),
        "tail_records": _tail_records(loads.token, weir, plan),
        "refused": loads.refused,
        "rounds": plan.rounds,
        "accounts": plan.accounts,
    }


def _at(series: Series, connections: int) -> dict[str, Any]:
    names = {"empty": f"empty-{connections}", "weir": f"weir-{connections}"}
    return {
        "empty_per_s": series.median(names["empty"]),
        "weir_per_s": series.median(names["weir"]),
        "ratio": series.ratio(names["weir"], names["empty"]),
        "weir_p99_ms": series.median(f"weir-p99-{connections}"),
        "empty_p99_ms": series.median(f"empty-p99-{connections}"),
        "ranges": {
            "empty_per_s": series.span(names["empty"]),
            "weir_per_s": series.span(names["weir"]),
        },
    }


def _latency(found: Result) -> dict[str, float]:
    return {
        "p50": found.p50,
        "p99": found.p99,
        "p999": found.p999,
        "slowest": found.slowest,
        "sent": found.sent,
        "sent_late_p99": found.late_ms[1],
    }


class _Costs:
    """CPU and time in stages while Weir is under closed loops."""

    def __init__(self, parts: common_parts.Parts, weir: Target) -> None:
        self._pids = {"api": weir.pid, "redis": parts.redis.pid, "kafka": parts.kafka.pid}
        self._address = weir.address
        self._spent: dict[str, float] = {}
        self._before: dict[str, float] = {}
        self._decisions = 0

    def start(self, counts: bool) -> None:
        """Before a closed loop."""
        self._before = self._now() if counts else {}

    def end(self, counts: bool, decisions: int) -> None:
        """After it."""
        if counts:
            for name, value in self._now().items():
                self._spent[name] = self._spent.get(name, 0.0) + value - self._before[name]
            self._decisions += decisions

    def report(self) -> dict[str, Any]:
        """Microseconds for each decision."""
        each = {
            name: round(value / max(1, self._decisions) * 1e6, 1)
            for name, value in self._spent.items()
        }
        return {
            "cpu_us_per_decision": each["api"],
            "redis_us_per_decision": each["redis"],
            "kafka_us_per_decision": each["kafka"],
            "stages_us": {
                name.partition("=")[2].strip('"'): value
                for name, value in each.items()
                if name.startswith(STAGE)
            },
        }

    def _now(self) -> dict[str, float]:
        found = {name: common_parts.cpu_s(pid) for name, pid in self._pids.items()}
        for line in httpx.get(f"{self._address}/metrics", timeout=10).text.splitlines():
            if line.startswith(STAGE + "{"):
                labels, _, value = line.removeprefix(STAGE + "{").partition("} ")
                found[f"{STAGE} {labels}"] = float(value)
        return found


def _tail_records(token: str, weir: Target, plan: Plan) -> float:
    """What payments see now, by the positions in the evidence of ``EVIDENCE_READ`` of them."""
    from benchmarks.http_load import requests

    task = Task(
        address=weir.address, path=PATH, token=token, name="bench-tails", seed=SEED,
        accounts=plan.accounts, connections=1, seconds=0, warm_up_s=0,
    )  # fmt: skip
    lengths: list[int] = []
    with httpx.Client(base_url=weir.address, timeout=10) as client:
        for _, whole in zip(range(EVIDENCE_READ), requests(task), strict=False):
            answer = client.post(
                f"{PATH}?evidence=true",
                content=whole.partition(b"\r\n\r\n")[2],
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            evidence = decode_decision(answer.raise_for_status().content).evidence
            assert evidence is not None
            lengths += [each.sequence - each.tail_from for each in evidence.positions]
    return round(sum(lengths) / len(lengths), 1)


def _show(content: dict[str, Any]) -> None:
    rows = [
        (f"{connections} connections, requests/s", at["empty_per_s"], at["weir_per_s"], at["ratio"])
        for connections, at in content["saturation"].items()
    ]
    rows.append(
        ("best, requests/s", content["empty_per_s"], content["weir_per_s"],
         content["ratio_saturation"])
    )  # fmt: skip
    for name in ("p50", "p99", "p999"):
        calm = content["latency_ms"]["rate_per_s"]
        theirs, ours = content["empty_latency_ms"][name], content["latency_ms"][name]
        rows.append((f"{name} at {calm:g}/s, ms", theirs, ours, None))
    common.show("POST /v1/decisions", ("", "empty", "weir", "ratio"), rows)


if __name__ == "__main__":
    common.run(http)
