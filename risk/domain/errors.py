"""The errors of Weir, each named for the question its catcher asks.

WeirError                       anything Weir refuses or cannot do, with a stable code
├── InvalidEvent                the sender must change the event (dead letter, HTTP 400/413/422)
├── PayloadMismatch             same payment id, other content (HTTP 409)
├── StaleEpoch                  Redis restarted: drop everything, wait for recovery, observe again
├── FeaturesLost                the claimed prefix of a log is no longer held
├── Unavailable                 a part (Kafka, Redis, MLflow, SQL) cannot be reached
├── DeadlineExceeded            the time allowed for a decision is spent
├── BadModel                    a model that may not serve
├── BadBook                     a rule book that may not be published
├── BadVersion                  a stored version that is not what its digest says
│   └── BookRefused             a change of the live book that may not be made as it is asked for
├── BadConfiguration            a setting, a mapping or a start-up condition is wrong
└── AlreadyRunning              this state folder is in use (exit code 3)
"""

from __future__ import annotations


class WeirError(Exception):
    """Base of all errors; ``code`` is stable, ``operator`` says what to do about it."""

    code = "WEIR_ERROR"
    http_status = 500
    operator = "Read the log line that carries this code."


class InvalidEvent(WeirError):
    """An event was refused. ``field`` is a JSON pointer (``""`` is the whole body).

    ``code`` is one of ``risk.domain.errors.EVENT_ERRORS``.
    """

    http_status = 422
    operator = "Correct what the detail names and send it again; nothing was remembered."

    def __init__(self, code: str, reason: str, field: str = "") -> None:
        super().__init__(f"{code}: {reason}" + (f" (at {field})" if field else ""))
        if code not in EVENT_ERRORS:
            raise ValueError(f"unknown event error code {code}")
        self.code = code
        self.reason = reason
        self.field = field
        self.http_status = EVENT_ERRORS[code][0]


# code -> (HTTP status, what it means)
EVENT_ERRORS: dict[str, tuple[int, str]] = {
    "INVALID_JSON": (400, "The body is not JSON."),
    "INVALID_UTF8": (400, "The body is not UTF-8."),
    "TOO_LARGE": (413, "The body is larger than an event may be."),
    "TOO_DEEP": (422, "The body is nested deeper than an event may be."),
    "UNKNOWN_TYPE": (422, "The event type is not one that Weir knows."),
    "UNSUPPORTED_VERSION": (422, "The schema version is not one that Weir reads."),
    "UNKNOWN_FIELD": (422, "The event has a field that its type does not have."),
    "MISSING_FIELD": (422, "A required field is missing."),
    "WRONG_TYPE": (422, "A field has the wrong type."),
    "OUT_OF_RANGE": (422, "A value is outside its allowed range or form."),
    "UNKNOWN_CURRENCY": (422, "The currency is not an ISO 4217 code."),
    "UNKNOWN_COUNTRY": (422, "The country is not an ISO 3166 code."),
    "CARD_NUMBER": (422, "An identifier looks like a card number and is refused."),
    "INVALID_TIME": (422, "A time is absurd: before the year 2000 or in the future."),
    "INCONSISTENT": (422, "Two fields of the event contradict each other."),
    "UNRESOLVED_PAYMENT": (422, "No payment of this id is known, so it has no entities."),
}


class PayloadMismatch(WeirError):
    """The payment id was decided before, with other content."""

    code = "PAYLOAD_MISMATCH"
    http_status = 409
    operator = "The producer reused a payment id. The first content stands; look for tampering."

    def __init__(self, event_id: str) -> None:
        super().__init__(f"payment {event_id} was seen before with other content")
        self.event_id = event_id


class StaleEpoch(WeirError):
    """Redis answers for another epoch: what was read from it may be gone."""

    code = "STALE_EPOCH"
    http_status = 503
    operator = "None: recovery is running, the door starts again at observe."


class FeaturesLost(WeirError):
    """The log prefix that a claim named has been trimmed."""

    code = "FEATURES_LOST"
    http_status = 503
    operator = "A retry came later than the log holds; the decision is made without features."


class Unavailable(WeirError):
    """A part cannot be reached; ``part`` names it."""

    code = "UNAVAILABLE"
    http_status = 503
    operator = "Run `weir doctor`; the part named in the message does not answer."

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(f"{part} cannot be reached: {reason}")
        self.part = part


class DeadlineExceeded(WeirError):
    """The deadline of a decision passed."""

    code = "DEADLINE_EXCEEDED"
    http_status = 503
    operator = "A part is slow; the configured fallback was answered."


class BadModel(WeirError):
    """A model was refused; the one that serves stays."""

    code = "BAD_MODEL"
    http_status = 409
    operator = "Train again or promote another version; the serving model was not touched."


class BadBook(WeirError):
    """A rule book was refused; the live one stays. ``problems`` holds one line each."""

    code = "BAD_BOOK"
    http_status = 422
    operator = "Correct the rules named in the message; the live book was not touched."

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class BadVersion(WeirError):
    """A version (book, policy, list, table) is damaged or unfit; what is live stays."""

    code = "BAD_VERSION"
    http_status = 409
    operator = "The live version was not touched. Publish the version again from its source."


class BookRefused(BadVersion):
    """This may not be done to a book; nothing was changed. ``code`` is one of ``BOOK_REFUSALS``."""

    operator = "Nothing was changed. Do what the message says, then try again."

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.http_status = BOOK_REFUSALS[code]
        self.code = code


# code -> HTTP status
BOOK_REFUSALS: dict[str, int] = {
    "FOUR_EYES": 403,
    "UNKNOWN_BOOK": 404,
    "UNKNOWN_PROPOSAL": 404,
    "NOT_APPROVED": 409,
    "NOT_COVERED": 409,
    "ALREADY_DONE": 409,
    "LIVE_CHANGED": 409,
    "EVIDENCE_STALE": 409,
    "SIGNATURE_MISMATCH": 409,
    "EVIDENCE_UNFIT": 422,
    "EVIDENCE_MISMATCH": 422,
}


class BadConfiguration(WeirError):
    """A setting, mapping or start-up condition is wrong; the message names it and the fix."""

    code = "BAD_CONFIGURATION"
    operator = "Correct the setting named in the message."


class AlreadyRunning(WeirError):
    """Another run holds this state folder."""

    code = "ALREADY_RUNNING"
    operator = "Stop the other run, or give this one a folder of its own with WEIR_HOME."
