"""Every bound of the decision path, with its reason. Sizes in bytes, times in milliseconds."""

from __future__ import annotations

EVENT_BYTES_MAX = 16 * 1024  # a full event is under 2 kB; more is a mistake or an attack
IDENTIFIER_CHARS_MAX = 128
ATTRIBUTES_MAX = 32
ATTRIBUTE_KEY_CHARS_MAX = 64
ATTRIBUTE_TEXT_CHARS_MAX = 256

AMOUNT_MINOR_MAX = 10**12 - 1  # fits the 40 bits that a record gives to an amount
AMOUNT_BASE_MAX = 2**32 - 2  # 32 bits in a record; the largest value means "no rate"
# Sums of squares clamp amounts to this, so that 256 records cannot overflow int64:
# 256 * (10**8)**2 = 2.56e18 < 9.22e18.
AMOUNT_SQUARED_CLAMP = 10**8

TIME_MS_MIN = 946_684_800_000  # 2000-01-01T00:00:00Z: before it, clocks were not set
TIME_MS_MAX = 4_102_444_800_000  # 2100-01-01T00:00:00Z: fits the 42 bits of a record
FUTURE_MS_MAX = 5 * 60 * 1000  # a payment from later than this in the future is refused
LATENESS_MS_MAX = 24 * 60 * 60 * 1000  # live world: older events go to the late topic
SKEW_MS_MAX = 5_000  # records this much newer than the event count as age 0

BATCH_PAYMENTS_MAX = 64  # per Redis call, so that HTTP never queues behind a long script
WALK_PAYMENTS_MAX = 256  # one walk under backlog: the broker's cost is per request, not per record
TAIL_CAP = 256  # records of a log that a feature may see
LOG_SLACK = 64  # a log is trimmed in steps of this many records
HORIZON_MS = 30 * 24 * 60 * 60 * 1000  # the longest window
# What fell off a log's tail is kept by tiles: a window of 24 h, of a payment 24 h late, begins
# in an hour's tile, and the longest window of such a payment in a tile that is still there.
# Both are whole days, because tiles are dropped and joined by the day.
HOUR_TILES_MS = 2 * 24 * 60 * 60 * 1000
TILES_KEPT_MS = HORIZON_MS + LATENESS_MS_MAX
TILE_WINDOW_MS_MIN = 24 * 60 * 60 * 1000  # shorter windows need records
# TTL >= longest window + label delay + allowed lateness + lag (design, section 4), in seconds.
LOG_TTL_S = (30 + 10 + 1 + 4) * 24 * 60 * 60
# Receipts must outlive the retention of the events topic (45 days) plus an outage.
RECEIPT_TTL_S = 48 * 24 * 60 * 60

EVENT_DEADLINE_MS = 30_000  # stream door: after this the worker leaves and is restarted
HTTP_DEADLINE_MS = 2_000  # HTTP door: after this the configured fallback is answered
SWEEP_AFTER_MS = 5_000  # a pending claim older than this is looked at by the sweeper
