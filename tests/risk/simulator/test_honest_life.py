"""What honest people do in a world: the habits that features must not take for fraud."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise

from risk.domain.event import (
    AnyEvent,
    BeneficiaryAdded,
    Login,
    OutcomeReport,
    Payment,
    Refund,
    TopUp,
    Transfer,
    Withdrawal,
)
from risk.simulator.cast import Cast
from risk.simulator.households import household
from risk.simulator.merchants import RETURNED, Market
from risk.simulator.population import Account, Population
from risk.simulator.seasons import DAY_MS, HOUR_MS, day_of, days_since
from risk.simulator.world import MERCHANTS_MIN, World, new_script

START_MS = 1_780_000_000_000  # Thursday, 28 May 2026
COUNT = 900
DAYS = 50


@cache
def life() -> list[AnyEvent]:
    """Everything but the payments of thieves."""
    world = World(21, COUNT, START_MS)
    return [event for event in world.events(DAYS) if not world.truth.is_fraud(event.id)]


@cache
def payments() -> list[Payment]:
    return [event for event in life() if isinstance(event, Payment)]


@cache
def people() -> dict[str, Account]:
    market = Market(21, MERCHANTS_MIN + COUNT // 10)
    population = Population(21, COUNT, market, START_MS)
    return {population.account(number).id: population.account(number) for number in range(COUNT)}


def ours() -> list[Payment]:
    """Payments of the accounts that the population has; thieves open others."""
    return [payment for payment in payments() if payment.account in people()]


def kilometres(one: Payment, two: Payment) -> float:
    """Great-circle distance of two payments that have a place."""
    lat1, lon1, lat2, lon2 = map(
        math.radians, (one.lat or 0, one.lon or 0, two.lat or 0, two.lon or 0)
    )
    half = math.sin((lat2 - lat1) / 2) ** 2
    half += math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 12_742 * math.asin(math.sqrt(half))


def test_nobody_is_in_two_cities_within_hours() -> None:
    seen: dict[str, Payment] = {}
    journeys = 0
    for payment in ours():
        if payment.lat is None:
            continue
        before = seen.get(payment.account)
        if before is not None and kilometres(before, payment) > 150:
            journeys += 1
            assert payment.occurred_at_ms - before.occurred_at_ms > 3 * HOUR_MS
        seen[payment.account] = payment
    assert journeys > 100


def test_travellers_pay_at_the_destination_and_roam() -> None:
    abroad = [
        payment
        for payment in ours()
        if payment.lat is not None and payment.country != people()[payment.account].place.country
    ]
    assert 0.01 < len(abroad) / len(ours()) < 0.12
    assert any(isinstance(payment, Withdrawal) for payment in abroad)
    online = [payment for payment in ours() if payment.ip_country is not None]
    roaming = [
        payment
        for payment in online
        if payment.ip_country != people()[payment.account].place.country
    ]
    assert 0.005 < len(roaming) / len(online) < 0.1


def test_families_share_devices_and_nobody_else_does() -> None:
    users: dict[str, set[str]] = defaultdict(set)
    for event in life():
        if isinstance(event, Login | Payment) and event.device and event.account in people():
            users[event.device].add(event.account)
    shared = 0
    for device, accounts in users.items():
        if len(accounts) < 2 or not any(people()[one].tablet == device for one in accounts):
            continue
        shared += 1
        homes = {household(people()[account].number, COUNT) for account in accounts}
        assert len(homes) == 1
    assert shared > 50


def test_mobile_addresses_are_shared_by_strangers() -> None:
    users: dict[str, set[str]] = defaultdict(set)
    for payment in ours():
        if payment.ip is not None:
            users[payment.ip].add(payment.account)
    crowded = [ip for ip, accounts in users.items() if len(accounts) >= 4]
    assert len(crowded) > 20
    assert all(".250." in ip for ip in crowded if len(users[ip]) > 10)


def test_salaries_come_on_pay_days_and_are_spent() -> None:
    salaries = [
        payment for payment in ours() if isinstance(payment, TopUp) and payment.device is None
    ]
    assert len(salaries) > 0.5 * COUNT
    for salary in salaries:
        assert day_of(salary.occurred_at_ms).weekday < 5
        assert people()[salary.account].payday in day_of(salary.occurred_at_ms).paydays
    spent: dict[bool, int] = Counter()
    for payment in ours():
        account = people()[payment.account]
        if payment.merchant is None or payment.currency != "EUR" or not account.payday:
            continue
        since = days_since(day_of(payment.occurred_at_ms).day, account.payday)
        if since < 5 or since >= 25:
            spent[since < 5] += min(payment.amount_minor, 20_000)
    assert spent[True] > 1.2 * spent[False]


def test_pay_of_an_employer_comes_as_transfers_to_people() -> None:
    payees = {account.payee: account for account in people().values()}
    runs: dict[tuple[str, int], list[Transfer]] = defaultdict(list)
    for payment in ours():
        if isinstance(payment, Transfer) and payment.device is None:
            employee = payees.get(payment.beneficiary or "")
            if employee is not None and people()[payment.account].persona.title == "business":
                runs[payment.account, payment.occurred_at_ms // DAY_MS].append(payment)
    assert any(len(run) >= 3 for run in runs.values())


def test_subscriptions_cost_the_same_each_month() -> None:
    charges: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for payment in ours():
        if payment.channel == "ecom" and payment.device is None and payment.merchant:
            key = (payment.account, payment.merchant, payment.amount_minor)
            charges[key].append(payment.occurred_at_ms)
    monthly = [times for times in charges.values() if len(times) == 2]
    assert len(monthly) > 200
    assert all(27 < (later - first) / DAY_MS < 32 for first, later in monthly)


def test_a_payee_is_stored_before_it_is_paid_often_days_before() -> None:
    stored = {
        (event.account, event.beneficiary): event.occurred_at_ms
        for event in life()
        if isinstance(event, BeneficiaryAdded) and event.account in people()
    }
    waits: dict[tuple[str, str | None], int] = {}
    for payment in ours():
        pair = (payment.account, payment.beneficiary)
        if isinstance(payment, Transfer) and pair in stored:
            waits.setdefault(pair, payment.occurred_at_ms - stored[pair])
    assert min(waits.values()) > 0
    days_later = sum(wait > DAY_MS for wait in waits.values())
    assert 0.25 < days_later / len(waits) < 0.9


def test_people_pay_people_they_know() -> None:
    payees = {account.payee for account in people().values()}
    transfers = [payment for payment in ours() if isinstance(payment, Transfer)]
    between = [payment for payment in transfers if payment.beneficiary in payees]
    assert 0.3 < len(between) / len(transfers) < 0.8
    pairs = Counter((payment.account, payment.beneficiary) for payment in between)
    assert sum(count > 1 for count in pairs.values()) > 0.3 * len(pairs)


def test_shops_with_a_price_list_ask_its_prices() -> None:
    market = Market(21, MERCHANTS_MIN + COUNT // 10)
    listed = {
        shop.id: set(shop.prices)
        for shop in [*market.online, *(shop for local in market.shops for shop in local)]
        if shop.prices
    }
    asked = 0
    for payment in ours():
        prices = listed.get(payment.merchant or "")
        if prices:
            asked += 1
            assert payment.amount_minor in prices or payment.amount_minor / 2 in prices
    assert asked > 0.2 * len(ours())


def test_newcomers_open_their_account_in_the_world_and_are_checked_later() -> None:
    first: dict[str, AnyEvent] = {}
    levels: dict[str, list[int]] = defaultdict(list)
    for event in life():
        if event.account in people():
            first.setdefault(event.account, event)
            if isinstance(event, Payment) and event.kyc_level is not None:
                levels[event.account].append(event.kyc_level)
    newcomers = [
        account
        for account in people().values()
        if START_MS < account.opened_at.timestamp() * 1000 < START_MS + (DAYS - 1) * DAY_MS
    ]
    assert len(newcomers) > 5
    assert any(len(set(levels[account.id])) == 2 for account in newcomers)
    for account in newcomers:
        event = first[account.id]
        assert isinstance(event, Login)
        assert abs(event.occurred_at_ms - account.opened_at.timestamp() * 1000) < 2
        assert levels[account.id] == sorted(levels[account.id])
        assert levels[account.id][0] == 0


def test_sundays_are_quiet_and_fridays_are_not() -> None:
    per_weekday = Counter(day_of(payment.occurred_at_ms).weekday for payment in ours())
    assert per_weekday[6] < 0.8 * per_weekday[4]


def test_clothes_come_back_and_burgers_do_not() -> None:
    bought = Counter(payment.mcc for payment in ours() if payment.mcc)
    by_id = {payment.id: payment for payment in ours()}
    returned = Counter(
        by_id[event.payment_id].mcc
        for event in life()
        if isinstance(event, Refund) and event.payment_id in by_id
    )
    assert returned["5814"] == 0
    assert abs(returned["5651"] / bought["5651"] - RETURNED["5651"]) < 0.03
    results = Counter(event.result for event in life() if isinstance(event, OutcomeReport))
    assert set(results) == {"authorised", "declined", "settled", "refunded"}


def test_a_long_world_keeps_only_what_is_to_come() -> None:
    script = new_script(5, 300, START_MS)
    cast = Cast(script, START_MS)
    waiting: list[int] = []
    now_ms = START_MS
    for day in range(90):
        while now_ms < START_MS + (day + 1) * DAY_MS:
            count = cast.act(now_ms)
            now_ms += int(count / cast.payments_per_ms(now_ms))
            while cast.next_hour_ms < now_ms:
                cast.play_hour()
        for event in script.agenda.before(now_ms):
            assert event.occurred_at_ms < now_ms
        waiting.append(len(script.agenda))
    weeks = [max(waiting[day : day + 15]) for day in range(30, 90, 15)]
    assert all(later < 1.6 * earlier for earlier, later in pairwise(weeks))
    assert max(waiting) < 1_500
