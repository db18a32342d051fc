"""The catalogue of metrics: every name, what it counts, and the values its labels may take.

Labels have closed sets of values, so no id, card or account can become a label.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from risk.domain.decision import Degraded, Door
from risk.domain.errors import EVENT_ERRORS
from risk.domain.outcome import Outcome
from risk.rules.alerting import SEVERITIES

CounterName = Literal[
    "weir_decisions_total",
    "weir_decisions_repeated_total",
    "weir_decisions_unpublished_total",
    "weir_degraded_total",
    "weir_mismatches_total",
    "weir_remembered_total",
    "weir_dead_letters_total",
    "weir_late_total",
    "weir_parked_events_total",
    "weir_rule_errors_total",
    "weir_stale_epochs_total",
    "weir_stage_seconds_total",
    "weir_recoveries_total",
    "weir_recovery_unreadable_total",
    "weir_sweeper_total",
    "weir_http_responses_total",
    "weir_http_refused_total",
    "weir_parity_checked_total",
    "weir_parity_unequal_total",
    "weir_parity_unprovable_total",
    "weir_parity_damaged_total",
    "weir_parity_judged_total",
    "weir_archive_rows_total",
    "weir_versions_refused_total",
    "weir_models_refused_total",
    "weir_shadow_scored_total",
    "weir_shadow_dropped_total",
    "weir_alerts_total",
    "weir_alerts_suppressed_total",
    "weir_alerts_unknown_books_total",
    "weir_alerts_unseen_total",
    "weir_alerts_series_dropped_total",
    "weir_holds_total",
    "weir_rule_hits_total",
]
GaugeName = Literal[
    "weir_epoch",
    "weir_pending",
    "weir_parked",
    "weir_model_loaded",
    "weir_challenger_loaded",
    "weir_drift_psi",
    "weir_drift_score_psi",
    "weir_ready",
    "weir_build_info",
    "weir_parity_waiting",
    "weir_parity_proven_seconds",
    "weir_archive_lag",
    "weir_archive_holes",
    "weir_archive_damaged",
    "weir_archive_written_seconds",
    "weir_version_number",
    "weir_alerts_lag",
    "weir_alerts_seen_seconds",
    "weir_alerts_streams",
    "weir_rule_reported_hits",
    "weir_rule_precision",
    "weir_rule_recall",
    "weir_rule_cost_seconds",
]
HistogramName = Literal[
    "weir_decision_seconds",
    "weir_batch_payments",
]

DOORS: Final = get_args(Door)
# Beside what decoding refuses: content that changed, and three failures of the engine.
DEAD_LETTER_CODES: Final = (*EVENT_ERRORS, "PAYLOAD_MISMATCH", "ENGINE_ERROR")
# Why a decision cannot be proven: ``features.proof.causes`` says it in words.
PARITY_CAUSES: Final = (
    "HOLE", "VOID", "PENDING", "RETENTION", "TOO_LATE", "RATES_UNKNOWN", "FEATURES_LOST",
    "CATALOGUE_OLDER", "WINDOWS_UNKNOWN", "MODEL_UNKNOWN",
)  # fmt: skip
OUTCOMES: Final = tuple(outcome.value for outcome in Outcome)
STAGES: Final = ("observe", "judge", "decide", "publish", "acknowledge")
# What answers when the deadline (2 s over HTTP, 30 s on the stream) has passed is another
# matter than a slow answer, so both deadlines are edges of buckets.
DECISION_BUCKETS_S: Final = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
)  # fmt: skip
BATCH_BUCKETS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric. ``labels`` maps a label to its allowed values; () allows any short text."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()


def _counter(meaning: str, **labels: tuple[str, ...]) -> MetricSpec:
    return MetricSpec("counter", meaning, labels)


def _gauge(meaning: str, **labels: tuple[str, ...]) -> MetricSpec:
    return MetricSpec("gauge", meaning, labels)


VERSIONED: Final = ("lists", "book", "policy")
ARCHIVED_TOPICS: Final = ("decisions", "ledger", "labels", "events")

METRICS: Final[dict[str, MetricSpec]] = {
    "weir_decisions_total": _counter("Decisions given.", door=DOORS, outcome=OUTCOMES),
    "weir_decisions_repeated_total": _counter(
        "Payments that had their decision already and got the same one again.", door=DOORS
    ),
    "weir_decisions_unpublished_total": _counter(
        "Fallback answers that Kafka did not take; they are not authoritative.", door=DOORS
    ),
    "weir_degraded_total": _counter(
        "Decisions made without a step, by step.", door=DOORS, step=get_args(Degraded)
    ),
    "weir_mismatches_total": _counter(
        "Ids that came again with other content: a mistake or tampering.", door=DOORS
    ),
    "weir_remembered_total": _counter("Remembered events published.", door=DOORS),
    "weir_dead_letters_total": _counter(
        "Events refused at the stream door, by error.",
        error=(*EVENT_ERRORS, "PAYLOAD_MISMATCH", "ENGINE_ERROR"),
    ),
    "weir_late_total": _counter("Events sent to the late topic."),
    "weir_parked_events_total": _counter(
        "Labels and outcomes that came before their payment's decision, and wait.", door=DOORS
    ),
    "weir_rule_errors_total": _counter("Rules that failed; an allow became a review."),
    "weir_stage_seconds_total": _counter(
        "Time in each step of the engine's walk, waiting included.", stage=STAGES
    ),
    "weir_stale_epochs_total": _counter("Walks started again after Redis changed its epoch."),
    "weir_recoveries_total": _counter("Recoveries of the feature memory that this process ran."),
    "weir_recovery_unreadable_total": _counter(
        "Records that a recovery could not read: Weir did not write them. Look at them."
    ),
    "weir_sweeper_total": _counter(
        "Pending claims finished by the sweeper.", kind=("decision", "ledger")
    ),
    "weir_http_responses_total": _counter(
        "HTTP answers by status class.", status=("1xx", "2xx", "3xx", "4xx", "5xx")
    ),
    "weir_http_refused_total": _counter(
        "HTTP requests refused before they reached the engine, by cause.",
        cause=("authentication", "scope", "rate", "size", "overload"),
    ),
    "weir_parity_checked_total": _counter("Decisions whose vector and score were made again."),
    "weir_parity_unequal_total": _counter(
        "Decisions that were served otherwise than history tells. Look at the first at once."
    ),
    "weir_parity_unprovable_total": _counter(
        "Decisions that history cannot prove, by cause.", cause=PARITY_CAUSES
    ),
    "weir_parity_damaged_total": _counter(
        "Records of the topics that are not what Weir wrote, and runs of offsets that are gone."
    ),
    "weir_parity_judged_total": _counter(
        "Decisions judged again by the versions that they name, by result.",
        result=("equal", "unequal", "unprovable"),
    ),
    "weir_parity_waiting": _gauge(
        "Decisions that wait for a record which they saw and nobody has published yet."
    ),
    "weir_parity_proven_seconds": _gauge(
        "Unix time up to which published decisions have been looked at."
    ),
    "weir_archive_rows_total": _counter("Records archived.", topic=ARCHIVED_TOPICS),
    "weir_archive_lag": _gauge("Records of the topics that are not in a file yet."),
    "weir_archive_holes": _gauge(
        "Runs of offsets that were gone before they were archived. Nothing brings them back."
    ),
    "weir_archive_damaged": _gauge(
        "Archived files that cannot be proven, and runs of archived offsets whose file is gone."
    ),
    "weir_archive_written_seconds": _gauge("Unix time at which the archiver last had no lag."),
    "weir_versions_refused_total": _counter(
        "Live versions that this process refused; what judged before judges on.", kind=VERSIONED
    ),
    "weir_models_refused_total": _counter(
        "Versions of the model that this process refused; what served before serves on.",
        alias=("champion", "challenger"),
    ),
    "weir_shadow_scored_total": _counter("Payments that the challenger scored, after the answer."),
    "weir_shadow_dropped_total": _counter(
        "Payments that the challenger did not score: its queue was full, or Kafka took nothing."
    ),
    "weir_alerts_total": _counter(
        "Alerts published.", type=("rule", "rate"), severity=SEVERITIES
    ),
    "weir_alerts_suppressed_total": _counter(
        "Hits held back because their group has an alert within its span."
    ),
    "weir_alerts_unknown_books_total": _counter(
        "Hits whose book is not known here; only those of the action alert became alerts."
    ),
    "weir_alerts_unseen_total": _counter(
        "Decisions that were gone or unfit before alerts looked at them."
    ),
    "weir_alerts_series_dropped_total": _counter(
        "Subjects of rate rules that made room for others; they are counted anew."
    ),
    "weir_holds_total": _counter("Values that rules of the action hold put on a list."),
    # Any short text: rules are named by the books. Who sets these keeps to a few hundred rules.
    "weir_rule_hits_total": _counter(
        "Hits of acting rules in decisions that stand, by rule; `other` beyond 500 rules.", rule=()
    ),
    "weir_rule_reported_hits": _gauge(
        "Hits of a rule, in the shadow too, in the newest report of rule performance.", rule=()
    ),
    "weir_rule_precision": _gauge("Share of fraud among its mature hits, there.", rule=()),
    "weir_rule_recall": _gauge("Share of the mature frauds that it hit, there.", rule=()),
    "weir_rule_cost_seconds": _gauge("Time that its compiled function takes, there.", rule=()),
    "weir_alerts_lag": _gauge("Decisions that alerts have not looked at yet."),
    "weir_alerts_seen_seconds": _gauge(
        "Unix time at which alerts had last looked at every decision."
    ),
    "weir_alerts_streams": _gauge("Open streams of alerts at this API process."),
    "weir_version_number": _gauge(
        "How often a kind of version was made live, as far as this process follows.",
        kind=VERSIONED,
    ),
    "weir_epoch": _gauge("Epoch of the feature memory; 0 while its gate is closed."),
    "weir_parked": _gauge("Labels and outcomes in this worker's share that wait for a payment."),
    "weir_pending": _gauge("Claims that are not acknowledged yet."),
    "weir_model_loaded": _gauge("1 while a model serves, 0 while decisions are made without."),
    "weir_challenger_loaded": _gauge("1 while a challenger scores in the shadow."),
    # Any short text: the only caller names features of the catalogue, which this layer lies below.
    "weir_drift_psi": _gauge(
        "How far a feature of the newest payments lies from training (PSI; over 0.2 is far).",
        feature=(),
    ),
    "weir_drift_score_psi": _gauge("The same of the score."),
    "weir_ready": _gauge("1 while /readyz answers 200."),
    "weir_build_info": _gauge(
        "Always 1; the labels name the version and the process.",
        version=(), process=("api", "worker", "run", "prove", "alerts"),
    ),
    "weir_decision_seconds": MetricSpec(
        "histogram",
        "From the arrival at the door to the acknowledged decision.",
        {"door": DOORS},
        DECISION_BUCKETS_S,
    ),
    "weir_batch_payments": MetricSpec(
        "histogram", "Payments handed to the engine at once.", {"door": DOORS}, BATCH_BUCKETS
    ),
}  # fmt: skip
