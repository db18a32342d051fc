"""Slow and obvious: every feature of the catalogue, written from its sentence alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from statistics import median

from features.records import AMOUNT_UNKNOWN, Facts
from risk.domain.event import Payment
from risk.domain.kinds import RECORD_KINDS
from risk.domain.times import to_ms

Answer = tuple[float, bool]  # the value, and whether the tail may be too short for it

MINUTE = 60_000
HOUR, DAY = 60 * MINUTE, 1440 * MINUTE
WINDOW = {
    "5m": 5 * MINUTE, "1h": 60 * MINUTE, "24h": 1440 * MINUTE, "7d": 10_080 * MINUTE,
    "30d": 43_200 * MINUTE,
}  # fmt: skip
PAYMENTS = {"payment", "transfer", "withdrawal", "top_up"}
SPENDING = {"payment", "transfer", "withdrawal"}
FRAUD = {"chargeback", "fraud_report", "analyst_fraud"}
MISSING = math.nan


@dataclass(frozen=True)
class Log:
    """A tail as it was meant: facts in sequence order, None for a hole.

    ``fallen`` are the records before it, in any order; None where nothing is known of them.
    """

    entries: tuple[Facts | None, ...]
    truncated: bool
    fallen: tuple[Facts, ...] | None = None


@dataclass(frozen=True)
class View:
    """What one event sees of the log of one of its entities."""

    payment: Payment
    of: Facts
    log: Log | None

    @property
    def now(self) -> int:
        return to_ms(self.payment.occurred_at)

    def seen(self, window: str, kinds: set[str]) -> list[Facts]:
        if self.log is None:
            return []
        return [
            entry
            for entry in self.log.entries
            if entry is not None
            and RECORD_KINDS[entry.kind] in kinds
            and self.now - WINDOW[window] < entry.time_ms <= self.now + 5_000
        ]

    def short(self, since_ms: float) -> bool:
        """True where records since ``since_ms`` may have been dropped."""
        if self.log is None or not self.log.truncated:
            return False
        held = [entry.time_ms for entry in self.log.entries if entry is not None]
        return not held or since_ms < held[0]

    def answer(self, window: str, value: float) -> Answer:
        if self.log is None:
            return MISSING, False
        return value, self.short(self.now - WINDOW[window])

    def all(self, window: str, kinds: set[str]) -> tuple[list[Facts], bool]:
        """What is seen, with what tiles know of earlier records, and whether that is in doubt.

        A tile is an hour, or a day where all of it is two days older than the newest fallen
        record. It belongs to the window if at least half of it does, and counts unless it holds
        a record that is too new for the payment.
        """
        seen, since, until = self.seen(window, kinds), self.now - WINDOW[window], self.now + 5_000
        if self.log is None or not self.short(since):
            return seen, False
        if self.log.fallen is None or WINDOW[window] < DAY:
            return seen, True
        newest = max((one.time_ms for one in self.log.fallen), default=0)
        days_until, kept_from = ((newest - days * DAY) // DAY * DAY for days in (2, 31))
        doubt = since < kept_from or (since < days_until and WINDOW[window] <= 2 * DAY)
        tiles: dict[tuple[int, int], list[Facts]] = {}
        for one in self.log.fallen:
            width = DAY if one.time_ms < days_until else HOUR
            begin = one.time_ms // width * width
            inside = kept_from <= begin <= until and begin + width // 2 > since
            if inside and RECORD_KINDS[one.kind] in kinds:
                tiles.setdefault((begin, one.kind), []).append(one)
        for held in tiles.values():
            if all(one.time_ms <= until for one in held):
                seen += held
            else:
                doubt = True
        return seen, doubt

    def age(self, entry: Facts) -> int:
        return max(0, self.now - entry.time_ms)

    def last(self, of: list[Facts]) -> Facts | None:
        """The latest by time, then by sequence."""
        newest = None
        for entry in of:
            if newest is None or entry.time_ms >= newest.time_ms:
                newest = entry
        return newest

    def counted(self, window: str, kinds: set[str]) -> Answer:
        found, doubt = self.all(window, kinds)
        return (MISSING, False) if self.log is None else (float(len(found)), doubt)

    def known(self, window: str, kinds: set[str]) -> tuple[list[int], bool]:
        """The known amounts of ``all``."""
        found, doubt = self.all(window, kinds)
        return [one.amount_base for one in found if one.amount_base != AMOUNT_UNKNOWN], doubt

    def summed(self, window: str, kinds: set[str]) -> Answer:
        amounts, doubt = self.known(window, kinds)
        return (MISSING, False) if self.log is None else (float(sum(amounts)), doubt)

    def over_known(self, above: float, window: str) -> Answer:
        """A number of the tail over how many amounts are known, also before the tail."""
        if self.log is None:
            return MISSING, False
        amounts, doubt = self.known(window, SPENDING)
        return divided(self.answer(window, above), (float(len(amounts)), doubt))

    def over_all(self, above: float, window: str, kinds: set[str]) -> Answer:
        """A number of the tail over how many records there are, also before the tail."""
        return divided(self.answer(window, above), self.counted(window, kinds))

    def amounts(self, window: str, kinds: set[str]) -> list[int]:
        return [e.amount_base for e in self.seen(window, kinds) if e.amount_base != AMOUNT_UNKNOWN]

    def different(self, window: str, field: str) -> Answer:
        values = {value_of(entry, field) for entry in self.seen(window, PAYMENTS)}
        return self.answer(window, float(len(values - {0})))

    def since_last(self, kinds: set[str]) -> Answer:
        newest = self.last(self.seen("30d", kinds))
        if newest is None:
            return self.answer("30d", MISSING)
        return self.age(newest) / 1000, self.short(newest.time_ms)

    def since_first(
        self, field: str | None = None, kinds: frozenset[str] | set[str] = frozenset(PAYMENTS)
    ) -> Answer:
        own = value_of(self.of, field) if field else None
        if own == 0:
            return MISSING, False
        ages = [
            self.age(entry)
            for entry in self.seen("30d", set(kinds))
            if field is None or value_of(entry, field) == own
        ]
        return self.answer("30d", max(ages) / 1000 if ages else MISSING)

    def new(self, field: str) -> Answer:
        own = value_of(self.of, field)
        if own == 0:
            return MISSING, False
        seen = {value_of(entry, field) for entry in self.seen("30d", PAYMENTS)}
        return self.answer("30d", 0.0 if own in seen else 1.0)


def value_of(entry: Facts, field: str | None) -> int:
    if field == "country":
        return entry.country
    roles = ("account", "card", "device", "ip", "merchant")
    return entry.hashes[roles.index(str(field))]


def divided(above: Answer, below: Answer) -> Answer:
    doubt = above[1] or below[1]
    if math.isnan(above[0]) or math.isnan(below[0]) or below[0] == 0:
        return MISSING, doubt
    return above[0] / below[0], doubt


def spread(amounts: list[int]) -> float:
    if len(amounts) < 2:
        return MISSING
    clamped = [min(amount, 10**8) for amount in amounts]
    mean = Fraction(sum(clamped), len(clamped))
    return math.sqrt(sum((amount - mean) ** 2 for amount in clamped) / len(clamped))


def haversine_km(one: Facts, other: Facts) -> float:
    def radians(of: Facts) -> tuple[float, float]:
        lat = (of.lat - 1) * 180 / 65534 - 90
        lon = (of.lon - 1) * 360 / 65534 - 180
        return math.radians(lat), math.radians(lon)

    (lat, lon), (other_lat, other_lon) = radians(one), radians(other)
    half = math.sin((lat - other_lat) / 2) ** 2
    half += math.cos(lat) * math.cos(other_lat) * math.sin((lon - other_lon) / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(min(1.0, half)))


def expected(payment: Payment, of: Facts, logs: dict[str, Log]) -> dict[str, Answer]:
    """Every feature by name."""
    kinds = ("account", "card", "device", "ip", "merchant", "beneficiary")
    views = {kind: View(payment, of, logs.get(kind)) for kind in kinds}
    answers: dict[str, Answer] = {}
    families = (
        _velocity,
        _amount,
        _counterparties,
        _recency,
        _geography,
        _timing,
        _others,
        _chosen,
    )
    for family in (*families, _reputation, _flow):
        answers.update(family(views, of))
    return answers | {name: (value, False) for name, value in _payment(payment, of).items()}


def _velocity(views: dict[str, View], of: Facts) -> dict[str, Answer]:
    windows = {
        "account": ("5m", "1h", "24h", "7d", "30d"), "card": ("5m", "1h", "24h", "7d", "30d"),
        "device": ("1h", "24h", "7d"), "ip": ("5m", "1h", "24h"), "merchant": ("1h", "24h"),
    }  # fmt: skip
    answers = {
        f"{entity}_payments_{window}": views[entity].counted(window, PAYMENTS)
        for entity, some in windows.items()
        for window in some
    }
    for name in ("account_1h", "account_24h", "card_1h", "card_24h", "ip_1h"):
        entity, window = name.split("_")
        answers[f"{entity}_declines_{window}"] = views[entity].counted(window, {"declined"})
    for entity in ("card", "merchant"):
        declined = views[entity].counted("24h", {"declined"})
        both = views[entity].counted("24h", {"declined", "authorised"})
        answers[f"{entity}_decline_share_24h"] = divided(declined, both)
    answers["account_top_ups_24h"] = views["account"].counted("24h", {"top_up"})
    for entity in ("account", "card"):
        approved = views[entity].counted("24h", {"authorised"})
        answers[f"{entity}_approvals_24h"] = approved
        share = divided(approved, views[entity].counted("30d", {"authorised"}))
        answers[f"{entity}_approvals_over_usual_24h"] = share[0] * 30, share[1]
    answers["account_withdrawals_24h"] = views["account"].counted("24h", {"withdrawal"})
    answers["account_transfers_24h"] = views["account"].counted("24h", {"transfer"})
    return answers


def _amount(views: dict[str, View], of: Facts) -> dict[str, Answer]:
    sums = {"account": ("1h", "24h", "7d", "30d"), "card": ("1h", "24h", "7d")}
    answers: dict[str, Answer] = {}
    for entity, windows in {**sums, "beneficiary": ("24h",)}.items():
        for window in windows:
            answers[f"{entity}_amount_sum_{window}"] = views[entity].summed(window, SPENDING)
    known = of.amount_base != AMOUNT_UNKNOWN
    own: Answer = (float(of.amount_base) if known else MISSING, False)
    for entity, window in (("account", "30d"), ("card", "30d"), ("merchant", "7d")):
        view = views[entity]
        earlier, doubt = view.known(window, SPENDING)
        mean: Answer = (sum(earlier) / len(earlier) if earlier else MISSING, doubt)
        wide = view.answer(window, spread(view.amounts(window, SPENDING)))
        answers[f"{entity}_amount_mean_{window}"] = mean
        answers[f"{entity}_amount_max_{window}"] = (
            float(max(earlier)) if earlier else MISSING,
            doubt,
        )
        answers[f"{entity}_amount_spread_{window}"] = wide
        answers[f"{entity}_amount_ratio_{window}"] = divided(own, mean)
        answers[f"{entity}_amount_zscore_{window}"] = divided((own[0] - mean[0], mean[1]), wide)
    account = views["account"]
    not_above = sum(amount <= of.amount_base for amount in account.amounts("30d", SPENDING))
    rank = account.over_known(not_above if known else MISSING, "30d")
    if not known:  # then nothing is looked at but how many amounts there are
        rank = MISSING, account.known("30d", SPENDING)[1]
    answers["account_amount_rank_30d"] = rank
    for entity in ("card", "merchant"):
        small = sum(amount <= 500 for amount in views[entity].amounts("1h", SPENDING))
        answers[f"{entity}_small_payments_1h"] = views[entity].answer("1h", float(small))
    answers["account_top_up_sum_24h"] = account.summed("24h", {"top_up"})
    return answers


def _counterparties(views: dict[str, View], of: Facts) -> dict[str, Answer]:
    named = """
        account_devices_24h account_devices_7d account_cards_24h account_ips_24h
        account_merchants_24h account_countries_7d card_accounts_30d card_devices_7d card_ips_24h
        card_merchants_1h card_merchants_24h card_countries_24h card_countries_7d
        device_accounts_24h device_accounts_7d device_cards_24h ip_accounts_1h ip_accounts_24h
        ip_cards_1h ip_cards_24h ip_devices_24h merchant_cards_1h beneficiary_accounts_7d
    """.split()
    answers: dict[str, Answer] = {}
    for name in named:
        entity, what, window = name.split("_")
        field = "country" if what == "countries" else what.removesuffix("s")
        answers[name] = views[entity].different(window, field)
    return answers


def _recency(views: dict[str, View], of: Facts) -> dict[str, Answer]:
    answers = {
        f"{entity}_since_last": views[entity].since_last(PAYMENTS)
        for entity in ("account", "card", "device", "ip", "merchant")
    }
    for entity in ("account", "device"):
        answers[f"{entity}_since_first"] = views[entity].since_first()
    fields = {
        "account": ("device", "ip", "card", "merchant", "country"),
        "card": ("device", "merchant", "country"),
    }
    for entity, some in fields.items():
        for field in some:
            view = views[entity]
            answers[f"{entity}_new_{field}"] = view.new(field) if view.log else (MISSING, False)
    answers["device_new_account"] = (
        views["device"].new("account") if views["device"].log else (MISSING, False)
    )
    answers["account_merchant_since_first"] = views["account"].since_first("merchant")
    answers["account_device_since_first"] = views["account"].since_first("device")
    card = views["card"]
    last = card.last([entry for entry in card.seen("30d", PAYMENTS) if entry.country != 0])
    if of.country == 0 or card.log is None:
        answers["card_country_changed"] = (MISSING, False)
    elif last is None:
        answers["card_country_changed"] = card.answer("30d", MISSING)
    else:
        differs = float(last.country != of.country)
        answers["card_country_changed"] = (differs, card.short(last.time_ms))
    return answers


def _geography(views: dict[str, View], of: Facts) -> dict[str, Answer]:
    answers: dict[str, Answer] = {}
    for entity in ("account", "card"):
        view = views[entity]
        last = view.last([entry for entry in view.seen("30d", PAYMENTS) if entry.lat != 0])
        if last is None:
            # Without a place of its own the distance is missing for certain; the speed also
            # needs the age of the last place, which may have been dropped.
            speed = view.answer("30d", MISSING)
            distance = (MISSING, False) if of.lat == 0 else speed
        else:
            doubt = view.short(last.time_ms)
            km = haversine_km(of, last) if of.lat else MISSING
            hours = max(view.age(last), MINUTE) / (60 * MINUTE)
            distance, speed = (km, doubt and of.lat != 0), (km / hours, doubt)
        answers[f"{entity}_distance"], answers[f"{entity}_speed"] = distance, speed
    return answers


def _timing(views: dict[str, View], of: Facts) -> dict[str, Answer]:
    answers: dict[str, Answer] = {}
    for entity, window in (("account", "7d"), ("card", "24h")):
        answers[f"{entity}_gap_mean_{window}"] = _gap(views[entity], window, 1000)
    for entity in ("account", "card"):
        view = views[entity]
        newest = view.last(view.seen("30d", PAYMENTS))
        age = view.answer("30d", float(view.age(newest)) if newest else MISSING)
        answers[f"{entity}_gap_ratio_30d"] = divided(age, _gap(view, "30d", 1))
        hour = datetime.fromtimestamp(view.now / 1000, UTC).hour
        all_hours = [
            datetime.fromtimestamp(entry.time_ms / 1000, UTC).hour
            for entry in view.seen("30d", PAYMENTS)
        ]
        near = sum((other - hour) % 24 in (0, 1, 23) for other in all_hours)
        answers[f"{entity}_hour_share_30d"] = view.over_all(near, "30d", PAYMENTS)
    return answers


def _gap(view: View, window: str, unit: int) -> Answer:
    seen = view.seen(window, PAYMENTS)
    oldest = float(max(view.age(entry) for entry in seen)) if seen else MISSING
    value, doubt = view.over_all(oldest, window, PAYMENTS)
    return value / unit, doubt


def _others(views: dict[str, View], of: Facts) -> dict[str, Answer]:
    answers = {
        f"{entity}_fraud_30d": views[entity].counted("30d", FRAUD)
        for entity in ("account", "card", "device", "ip", "merchant")
    }
    payments = views["merchant"].counted("30d", PAYMENTS)
    answers["merchant_fraud_share_30d"] = divided(answers["merchant_fraud_30d"], payments)
    account = views["account"]
    answers["account_logins_24h"] = account.counted("24h", {"login"})
    answers["account_failed_logins_1h"] = account.counted("1h", {"login_failed"})
    answers["account_failed_logins_24h"] = account.counted("24h", {"login_failed"})
    answers["account_password_resets_24h"] = account.counted("24h", {"password_reset"})
    answers["account_device_changes_24h"] = account.counted("24h", {"device_change"})
    answers["account_beneficiaries_added_24h"] = account.counted("24h", {"beneficiary_added"})
    answers["ip_failed_logins_1h"] = views["ip"].counted("1h", {"login_failed"})
    answers["account_since_password_reset"] = account.since_last({"password_reset"})
    return answers


def _chosen(views: dict[str, View], of: Facts) -> dict[str, Answer]:
    """Amounts that people choose with care, and the weekdays on which they pay."""
    account = views["account"]
    spent = account.seen("30d", SPENDING)
    rounds = sum(one.amount_minor > 0 and one.amount_minor % 1000 == 0 for one in spent)
    under = sum(900_000 <= amount < 1_000_000 for amount in account.amounts("30d", SPENDING))
    weekday = datetime.fromtimestamp(account.now / 1000, UTC).weekday()
    days = [
        datetime.fromtimestamp(one.time_ms / 1000, UTC).weekday()
        for one in account.seen("30d", PAYMENTS)
    ]
    answers = {
        "account_round_share_30d": account.over_all(rounds, "30d", SPENDING),
        "account_under_reporting_share_30d": account.over_known(under, "30d"),
        "account_weekday_share_30d": account.over_all(days.count(weekday), "30d", PAYMENTS),
    }
    own: Answer = (MISSING if of.amount_base == AMOUNT_UNKNOWN else float(of.amount_base), False)
    for entity in ("account", "card"):
        last = views[entity].amounts("30d", SPENDING)[-15:]
        middle = views[entity].answer("30d", median(last) if last else MISSING)
        if len(last) == 15:
            middle = (middle[0], False)
        answers[f"{entity}_amount_median"] = middle
        answers[f"{entity}_amount_over_median"] = divided(own, middle)
    return answers


def _reputation(views: dict[str, View], of: Facts) -> dict[str, Answer]:
    answers = {
        "beneficiary_fraud_30d": views["beneficiary"].counted("30d", FRAUD),
        "merchant_fraud_7d": views["merchant"].counted("7d", FRAUD),
        "merchant_disputes_30d": views["merchant"].counted("30d", {"chargeback"}),
        "merchant_since_fraud": views["merchant"].since_last(FRAUD),
    }
    for entity, window in (("device", "30d"), ("ip", "30d"), ("merchant", "7d")):
        view = views[entity]
        answers[f"{entity}_fraud_share_{window}"] = divided(
            view.counted(window, FRAUD), view.counted(window, PAYMENTS)
        )
    answers["merchant_dispute_share_30d"] = divided(
        answers["merchant_disputes_30d"], views["merchant"].counted("30d", PAYMENTS)
    )
    for entity in ("device", "ip", "card"):
        accounts = {value_of(one, "account") for one in views[entity].seen("30d", FRAUD)}
        others = accounts - {0, value_of(of, "account")}
        answers[f"{entity}_fraud_accounts_30d"] = views[entity].answer("30d", float(len(others)))
    answers["merchant_fraud_run"], answers["merchant_fraud_run_age"] = _run(views["merchant"])
    answers["merchant_fraud_run_clean_30d"] = _run_clean(views["merchant"])
    return answers


def _run_clean(view: View) -> Answer:
    """How late the last label of a pair of payment and label was; who had that time, and none."""
    seen = view.seen("30d", PAYMENTS | FRAUD)
    pairs = [
        (place, later.time_ms - one.time_ms)
        for place, one in enumerate(seen)
        if RECORD_KINDS[one.kind] in PAYMENTS
        for later in seen[place + 1 :]
        if RECORD_KINDS[later.kind] in FRAUD
        and value_of(later, "account") == value_of(one, "account") != 0
    ]
    if not pairs:
        return view.answer("30d", MISSING)
    place = max(place for place, _ in pairs)
    late = [late for of, late in pairs if of == place][-1]
    after = [
        one
        for one in seen[place + 1 :]
        if RECORD_KINDS[one.kind] in PAYMENTS and value_of(one, "account") != 0
    ]
    return float(sum(view.age(one) >= late for one in after)), False


def _run(view: View) -> tuple[Answer, Answer]:
    """Every payment is marked first, then the newest row of marks is cut out."""
    seen = view.seen("30d", PAYMENTS | FRAUD)
    marked: list[tuple[Facts, bool]] = []
    for place, one in enumerate(seen):
        if RECORD_KINDS[one.kind] in PAYMENTS:
            account = value_of(one, "account")
            found = any(
                RECORD_KINDS[later.kind] in FRAUD and value_of(later, "account") == account != 0
                for later in seen[place + 1 :]
            )
            marked.append((one, found))
    while marked and not marked[-1][1]:
        marked.pop()
    broken = [place for place, (_, found) in enumerate(marked) if not found]
    run = marked[broken[-1] + 1 :] if broken else marked
    length = view.answer("30d", float(len(run)))
    age = view.answer("30d", view.age(run[0][0]) / 1000 if run else MISSING)
    return ((length[0], False), (age[0], False)) if broken else (length, age)


def _flow(views: dict[str, View], of: Facts) -> dict[str, Answer]:
    account, merchant = views["account"], views["merchant"]
    out = account.summed("24h", {"transfer", "withdrawal"})
    into = account.summed("24h", {"top_up"})
    top_up = account.last(account.seen("24h", {"top_up"}))
    if top_up is None:
        share = account.answer("24h", MISSING)
    else:
        left = sum(
            one.amount_base
            for one in account.seen("24h", SPENDING)
            if one.amount_base != AMOUNT_UNKNOWN
            and top_up.time_ms <= one.time_ms < top_up.time_ms + 60 * MINUTE
        )
        known = top_up.amount_base not in (0, AMOUNT_UNKNOWN)
        value = left / top_up.amount_base if known else MISSING
        share = (value, account.short(top_up.time_ms))
    kinds = {"account_since_login_failed": "login_failed"}
    kinds["account_since_device_change"] = "device_change"
    kinds["account_since_beneficiary_added"] = "beneficiary_added"
    answers = {name: account.since_last({kind}) for name, kind in kinds.items()}
    return answers | {
        "account_beneficiary_since_added": account.since_first("merchant", {"beneficiary_added"}),
        "account_out_over_in_24h": divided(out, into),
        "account_top_up_gone_24h": share,
        "account_refunds_30d": account.counted("30d", {"refund"}),
        "merchant_refund_share_30d": divided(
            merchant.counted("30d", {"refund"}), merchant.counted("30d", PAYMENTS)
        ),
    }


def _payment(payment: Payment, of: Facts) -> dict[str, float]:
    channels = "ecom pos_chip pos_swipe pos_contactless atm moto app p2p".split()
    moment = payment.occurred_at.astimezone(UTC)
    opened = payment.account_opened_at
    age_days = math.nan if opened is None else float(max(0, (moment - opened).days))
    pair = (payment.country, payment.card_country)
    ip_pair = (payment.country, payment.ip_country)
    channel = payment.channel
    return {
        "payment_amount": MISSING if of.amount_base == AMOUNT_UNKNOWN else float(of.amount_base),
        "payment_kind": float(["payment", "transfer", "withdrawal", "top_up"].index(payment.kind))
        + 1,
        "payment_channel": float(channels.index(channel) + 1) if channel else MISSING,
        "payment_mcc": float(int(payment.mcc)) if payment.mcc else MISSING,
        "payment_hour": float(moment.hour),
        "payment_weekday": float(moment.weekday()),
        "payment_foreign": MISSING if None in pair else float(pair[0] != pair[1]),
        "payment_ip_foreign": MISSING if None in ip_pair else float(ip_pair[0] != ip_pair[1]),
        "payment_ip_card_foreign": (
            MISSING
            if None in (payment.ip_country, payment.card_country)
            else float(payment.ip_country != payment.card_country)
        ),
        "payment_round_amount": float(
            payment.amount_minor > 0 and payment.amount_minor % 1000 == 0
        ),
        "payment_under_reporting": (
            MISSING
            if of.amount_base == AMOUNT_UNKNOWN
            else float(900_000 <= of.amount_base < 1_000_000)
        ),
        "payment_card_absent": float(channel in ("ecom", "moto", "app")) if channel else MISSING,
        "payment_account_age_days": age_days,
        "payment_kyc_level": MISSING if payment.kyc_level is None else float(payment.kyc_level),
        "payment_no_device": float(payment.device is None),
        "payment_no_ip": float(payment.ip is None),
        "payment_no_card": float(payment.card is None),
    }
