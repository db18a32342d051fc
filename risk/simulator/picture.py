"""The picture of an example: its story over days, and the episode step by step."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from risk.domain.codes import CURRENCY_EXPONENT
from risk.domain.event import (
    AnyEvent,
    BeneficiaryAdded,
    Label,
    Login,
    OutcomeReport,
    Payment,
    Refund,
    Transfer,
)
from risk.simulator.example import Example
from risk.simulator.places import PLACES
from risk.simulator.population import DAY_MS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HONEST: Final = "#7a8fa6"
_FRAUD: Final = "#d1342f"
_REFUND: Final = "#2a8f3c"
_LABEL_COLOURS: Final = {
    "fraud_report": "#7b3fa0", "chargeback": "#e08a00", "analyst_fraud": "#00788a",
    "dispute_won": "#2a8f3c",
}  # fmt: skip
_MARKERS: Final = {"payment": "o", "transfer": "^", "withdrawal": "s", "top_up": "D", "refund": "v"}
_STEPS: Final = (
    "failed login", "password reset", "login", "device change", "beneficiary added",
    "top up", "payment", "transfer", "withdrawal", "refund",
)  # fmt: skip
_PER_EURO: Final = {place.currency: place.per_euro for place in PLACES}
_STYLE: Any = {
    "svg.hashsalt": "weir", "svg.fonttype": "none", "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"], "font.size": 9,
    "axes.spines.top": False, "axes.spines.right": False,
}  # fmt: skip
_TICKS: Final = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_LANES_MAX: Final = 18
_AMOUNTS_MAX: Final = 24  # more amounts than these would cover each other
_UNITS: Final = (("minutes", 60_000, 240), ("hours", 3_600_000, 72), ("days", DAY_MS, 10_000))


class _Lanes:
    """Rows of the lower panel: one per account or card, or per step where one account acts."""

    def __init__(self, example: Example) -> None:
        frauds = example.frauds
        self.by_step = len({payment.account for payment in frauds}) == 1
        self.kind = "card" if example.scenario.subject == "merchant" else "account"
        self.keys: list[str] = []
        for event in _episode(example):
            key = self.key(event)
            if key and key not in self.keys:
                self.keys.append(key)
        if self.by_step:
            self.keys.sort(key=_STEPS.index)
        del self.keys[_LANES_MAX:]

    @property
    def names(self) -> list[str]:
        if self.by_step:
            return self.keys
        return [f"{self.kind} {place}" for place in range(1, len(self.keys) + 1)]

    def key(self, event: AnyEvent) -> str | None:
        return _step(event) if self.by_step else getattr(event, self.kind)

    def place(self, event: AnyEvent) -> int | None:
        key = self.key(event)
        return self.keys.index(key) if key in self.keys else None


def draw(example: Example) -> bytes:
    """SVG of ``example``; the same bytes for the same example and version of matplotlib."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        lanes = _Lanes(example)
        if len(example.frauds) == 1:
            figure = Figure(figsize=(9.2, 3.3), layout="constrained")
            _draw_story(figure.subplots(), example)
        else:
            height = 0.26 * max(4, len(lanes.keys)) + 0.5
            figure = Figure(figsize=(9.2, 3.5 + height), layout="constrained")
            story, steps = figure.subplots(2, 1, height_ratios=(2.3, height))
            _draw_story(story, example)
            _draw_steps(steps, example, lanes)
        _draw_legend(figure, example)
        body = BytesIO()
        figure.savefig(body, format="svg", metadata={"Date": None, "Creator": None})
    return body.getvalue()


def _draw_story(axes: Axes, example: Example) -> None:
    """Amounts over days, honest and fraudulent, and when each label arrived."""
    declined = _declined(example)
    for payment in sorted(example.payments, key=lambda each: example.truth.is_fraud(each.id)):
        fraud = example.truth.is_fraud(payment.id)
        colour = _FRAUD if fraud else _HONEST
        axes.plot(
            _days(example, payment), _euro(payment.amount_minor, payment.currency),
            marker=_MARKERS[payment.kind], markersize=6 if fraud else 4, linestyle="none",
            markerfacecolor="white" if payment.id in declined else colour,
            markeredgecolor=colour, markeredgewidth=1.0, alpha=1.0 if fraud else 0.75,
        )  # fmt: skip
    frauds = {payment.id for payment in example.frauds}
    for event in example.events:
        if isinstance(event, Refund) and event.payment_id in frauds:
            _mark_refund(axes, _days(example, event), _euro(event.amount_minor, event.currency))
    for label in example.labels:
        if label.payment_id in frauds:
            axes.axvline(
                _days(example, label), color=_LABEL_COLOURS[label.label], linewidth=1.2,
                linestyle=(0, (4, 2)), zorder=0,
            )  # fmt: skip
    _scale_amounts(axes, [_euro(each.amount_minor, each.currency) for each in example.payments])
    axes.grid(axis="y", color="#e4e8ec", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_ylabel("amount (EUR)")
    axes.set_xlabel("days since the first fraudulent payment")
    axes.set_title(_whose(example), loc="left", fontsize=9.5)


def _scale_amounts(axes: Axes, amounts: list[float]) -> None:
    """A logarithmic axis with room and at least two numbers on it."""
    from matplotlib.ticker import LogLocator, NullFormatter

    least, most = min(amounts) / 1.5, max(amounts) * 1.5
    axes.set_yscale("log")
    axes.set_ylim(least, most)
    narrow = most / least < 100
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_steps(axes: Axes, example: Example, lanes: _Lanes) -> None:
    """The episode alone, step by step or account by account."""
    frauds, declined = example.frauds, _declined(example)
    unit, unit_ms = _unit(frauds)
    numbers = len(frauds) <= _AMOUNTS_MAX
    crowded = _crowded(frauds, lanes)

    def at(event: AnyEvent) -> float:
        return (event.occurred_at_ms - example.played_ms) / unit_ms

    for event in _episode(example):
        row = lanes.place(event)
        if row is None:
            continue
        if isinstance(event, Payment):
            axes.plot(
                at(event), row, marker=_MARKERS[event.kind], markersize=7, linestyle="none",
                markerfacecolor="white" if event.id in declined else _FRAUD,
                markeredgecolor=_FRAUD, zorder=3,
            )  # fmt: skip
            if numbers:
                beside = event.id in crowded
                axes.annotate(
                    _short(_euro(event.amount_minor, event.currency)), (at(event), row),
                    (6, -3) if beside else (0, 6), textcoords="offset points",
                    ha="left" if beside else "center", fontsize=7, color=_FRAUD, zorder=4,
                )  # fmt: skip
        elif isinstance(event, Refund):
            _mark_refund(axes, at(event), row)
        else:
            failed = isinstance(event, Login) and not event.succeeded
            axes.plot(
                at(event), row, marker="x" if failed else "|", markersize=6, color="#444444",
                linestyle="none", zorder=2,
            )  # fmt: skip
    _draw_flows(axes, example, lanes, at)
    axes.set_yticks(range(len(lanes.keys)), lanes.names)
    axes.set_ylim(len(lanes.keys) - 0.5, -0.8)
    axes.margins(x=0.04)
    axes.grid(axis="y", color="#e4e8ec", linewidth=0.6)
    axes.set_axisbelow(True)
    if _is_late(frauds):
        _stretch_begin(axes)
        unit += " (logarithmic)"
    axes.set_xlabel(f"{unit} since the first fraudulent payment")
    title = "The episode" + (" (amounts in EUR)" if numbers else "")
    axes.set_title(title, loc="left", fontsize=9.5)


def _crowded(frauds: list[Payment], lanes: _Lanes) -> set[str]:
    """Payments close behind another of their row, with room to the right for the amount."""
    close_ms = (frauds[-1].occurred_at_ms - frauds[0].occurred_at_ms) / 20
    found: set[str] = set()
    last: dict[int, Payment] = {}
    for payment in frauds:
        row = lanes.place(payment)
        if row is None:
            continue
        before = last.get(row)
        last[row] = payment
        if before and payment.occurred_at_ms - before.occurred_at_ms < close_ms:
            found.discard(before.id)
            found.add(payment.id)
    return found


def _is_late(frauds: list[Payment]) -> bool:
    """True where most of the episode is a wait before the last payments."""
    times = [payment.occurred_at_ms - frauds[0].occurred_at_ms for payment in frauds]
    return len(frauds) >= 8 and times[len(times) * 3 // 4] < times[-1] / 6


def _stretch_begin(axes: Axes) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xscale("symlog", linthresh=2, linscale=0.6)
    axes.set_xlim(-0.3, axes.get_xlim()[1] * 1.15)
    axes.set_xticks([tick for tick in _TICKS if tick < axes.get_xlim()[1]])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def _draw_flows(
    axes: Axes, example: Example, lanes: _Lanes, at: Callable[[AnyEvent], float]
) -> None:
    """Arrows from payer to receiver where both are accounts of the episode."""
    for payment in example.frauds:
        receiver = example.payees.get(payment.beneficiary or "")
        if isinstance(payment, Transfer) and receiver in lanes.keys and not lanes.by_step:
            axes.annotate(
                "", (at(payment), lanes.keys.index(receiver)),
                (at(payment), lanes.keys.index(payment.account)),
                arrowprops={"arrowstyle": "->", "color": _FRAUD, "alpha": 0.55},
            )  # fmt: skip


def _draw_legend(figure: Figure, example: Example) -> None:
    """What the marks of this picture mean, below it."""
    from matplotlib.lines import Line2D

    def mark(marker: str, colour: str, name: str, *, hollow: bool = False) -> Line2D:
        return Line2D(
            [], [], marker=marker, linestyle="none", color=colour, label=name,
            markerfacecolor="white" if hollow else colour,
        )  # fmt: skip

    frauds = {payment.id for payment in example.frauds}
    handles = [
        mark(_MARKERS[kind], "#333333", kind.replace("_", " "))
        for kind in _MARKERS
        if kind != "refund" and any(payment.kind == kind for payment in example.payments)
    ]
    handles.append(mark("s", _FRAUD, "fraud"))
    if any(payment.id not in frauds for payment in example.payments):
        handles.append(mark("s", _HONEST, "honest"))
    if _declined(example):
        handles.append(mark("o", "#333333", "declined", hollow=True))
    episode = _episode(example)
    if any(isinstance(event, Refund) for event in episode):
        handles.append(mark("v", _REFUND, "refund", hollow=True))
    if any(isinstance(event, Login) and not event.succeeded for event in episode):
        handles.append(mark("x", "#444444", "failed login"))
    if any(not isinstance(event, Payment | Refund) for event in episode):
        handles.append(mark("|", "#444444", "other activity"))
    for label, colour in _LABEL_COLOURS.items():
        if any(each.label == label and each.payment_id in frauds for each in example.labels):
            name = f"label: {label.replace('_', ' ')}"
            handles.append(Line2D([], [], color=colour, linestyle=(0, (4, 2)), label=name))
    columns = min(6, len(handles))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def _episode(example: Example) -> list[AnyEvent]:
    """The fraudulent payments, their refunds, and what their source did just before and between."""
    frauds = example.frauds
    ids = {payment.id for payment in frauds}
    sources = {(payment.account, payment.device) for payment in frauds if payment.device}
    receivers = {payment.beneficiary for payment in frauds}
    from_ms, to_ms = frauds[0].occurred_at_ms - 3_600_000, frauds[-1].occurred_at_ms
    shown: list[AnyEvent] = []
    for event in example.events:
        if isinstance(event, Label | OutcomeReport):
            continue
        if isinstance(event, Payment | Refund):
            if event.id in ids or getattr(event, "payment_id", None) in ids:
                shown.append(event)
        elif (event.account, event.device) in sources:
            prepares = isinstance(event, BeneficiaryAdded) and event.beneficiary in receivers
            if prepares or from_ms <= event.occurred_at_ms <= to_ms:
                shown.append(event)
    return shown


def _step(event: AnyEvent) -> str:
    """What happened, in words."""
    if isinstance(event, Login) and not event.succeeded:
        return "failed login"
    return event.kind.replace("_", " ")


def _unit(frauds: list[Payment]) -> tuple[str, int]:
    """Name and milliseconds of the unit that suits the length of the episode."""
    length_ms = frauds[-1].occurred_at_ms - frauds[0].occurred_at_ms
    return next((name, ms) for name, ms, most in _UNITS if length_ms / ms < most)


def _whose(example: Example) -> str:
    """Title of the story: how many entities of what kind."""
    subject = example.scenario.subject
    count = len({getattr(payment, subject) for payment in example.frauds})
    return (
        f"All payments of the {subject}"
        if count == 1
        else (f"All payments of the {count} {subject}s that take part")
    )


def _mark_refund(axes: Axes, x: float, y: float) -> None:
    axes.plot(
        x, y, marker="v", markersize=6, linestyle="none", color=_REFUND,
        markerfacecolor="white", zorder=3,
    )  # fmt: skip


def _declined(example: Example) -> set[str]:
    return {
        event.payment_id
        for event in example.events
        if isinstance(event, OutcomeReport) and event.result == "declined"
    }


def _short(euro: float) -> str:
    return f"{euro:,.0f}" if euro >= 20 or euro == round(euro) else f"{euro:.2f}"


def _days(example: Example, event: AnyEvent) -> float:
    return (event.occurred_at_ms - example.played_ms) / DAY_MS


def _euro(amount_minor: int, currency: str) -> float:
    return float(amount_minor / 10 ** CURRENCY_EXPONENT[currency] / _PER_EURO[currency])
