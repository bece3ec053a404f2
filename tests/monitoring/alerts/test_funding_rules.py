"""Rules on funding, from what collectors publish to incidents and messages: spreads, intervals, unknown."""

import time
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from redis import Redis

from core.redis_client import async_redis
from markets.follow import fundings as wire
from markets.follow.fundings import Snapshot, SwapRow
from markets.models import Exchange
from markets.seed import seed
from monitoring.alerts.evaluator import HealthWatch
from monitoring.health.fundings import (
    FundingMemory,
    Fundings,
    read_remembered,
    write_remembered,
)
from monitoring.models import Alert, AlertRule, What
from tests.monitoring.alerts.test_admin import HEALTH
from tests.monitoring.alerts.test_rules_at_work import T0, S, channel, message, rule, sent, states

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_redis")]

HOUR = 3600
SETTLING = "just settled: the rate may be that of the interval before"


def swap(exchange: str, rate: float | None, hours: int | None = 8, **more: Any) -> SwapRow:
    """A row as a collector writes it, of BTC unless another coin is named."""
    coin = more.pop("coin", "BTC/USDT")
    known: dict[str, Any] = {
        "next_ts_us": T0 + HOUR * S, "is_derived": False, "cap": None, "floor": None, "settled_rate": None,
        "settled_ts_us": None, "age_ms": 1500.0, "problem": "",
    }  # fmt: skip
    interval_s = None if hours is None else hours * HOUR
    row = {"exchange": f"{exchange}:swap", "symbol": f"{coin}:USDT", "coin": coin, "rate": rate}
    return SwapRow(**row, interval_s=interval_s, **(known | more))


class Desk:
    """A monitor: what it remembers of funding, and its rules."""

    def __init__(self, memory: FundingMemory | None = None) -> None:
        self.memory = memory or FundingMemory()
        self.watch = HealthWatch()

    def says(self, at_s: float, *rows: SwapRow) -> Fundings:
        """One observation, so many seconds after the beginning."""
        now_us = T0 + round(at_s * S)
        fundings = self.memory.take([Snapshot("1/1", now_us, list(rows))], now_us, at_s)
        self.watch.judge([], now_us, 0, fundings)
        return fundings

    def knows_nothing(self, at_s: float) -> None:
        """An observation without Redis."""
        self.watch.judge([], T0 + round(at_s * S))


@pytest.fixture
def desk() -> Desk:
    seed()
    return Desk()


def spread_rule(**fields: Any) -> AlertRule:
    about: dict[str, Any] = {"what": What.FUNDING_SPREAD, "threshold": 5.0, "clear_below": 3.0}
    return rule("funding", channels=(channel(),), **(about | fields))


class TestSpread:
    def test_it_fires_for_the_best_two_and_says_where_to_be_long_and_short(self, desk: Desk) -> None:
        spread_rule()
        # 1 bp a 4 h is 2 bps per 8 h; 8 less 2 is 6.
        desk.says(0, swap("binance", 0.0001, 4), swap("bybit", 0.0008), swap("gate", 0.0005))
        incident = Alert.objects.get()
        assert (incident.title, incident.value, incident.limit) == ("BTC/USDT: funding spread", 6.0, 5.0)
        assert incident.words == "Short Bybit swap (+8.00), long Binance swap (+2.00): 6 bps per 8 h."
        assert incident.path == "/funding?search=BTC%2FUSDT"
        assert sent() == [("firing", "BTC/USDT: funding spread")]

    def test_it_is_resolved_below_its_second_threshold_only(self, desk: Desk) -> None:
        spread_rule()
        for at_s, rate in ((0, 0.0006), (2, 0.0004), (4, 0.0006), (6, 0.00029)):
            assert states() == ["firing"] * bool(at_s)
            desk.says(at_s, swap("binance", 0.0), swap("bybit", rate))
        assert states() == ["resolved"]
        assert [kind for kind, _ in sent()] == ["firing", "resolved"]
        assert Alert.objects.get().resolved_why == (
            "Short Bybit swap (+2.90), long Binance swap (+0.00): 2.9 bps per 8 h."
        )

    def test_per_year(self, desk: Desk) -> None:
        spread_rule(threshold=1000.0, clear_below=None, funding_unit="year")
        desk.says(0, swap("binance", 0.0), swap("bybit", 0.0000913))
        assert states() == []
        desk.says(2, swap("binance", 0.0), swap("bybit", 0.0001))
        assert Alert.objects.get().value == 1095.0
        assert "1,095 bps per year" in Alert.objects.get().words

    def test_two_chosen_exchanges_are_compared_and_no_others(self, desk: Desk) -> None:
        okx, gate = (Exchange.objects.get(key=key) for key in ("okx", "gate"))
        spread_rule(exchange1=okx, exchange2=gate)
        desk.says(0, swap("binance", 0.0), swap("bybit", 0.01), swap("okx", 0.0), swap("gate", 0.0001))
        assert states() == []
        desk.says(2, swap("binance", 0.0), swap("okx", -0.0001), swap("gate", -0.0009))
        assert Alert.objects.get().words.startswith("Short OKX swap (-1.00), long Gate swap (-9.00)")

    def test_only_the_coins_that_are_meant(self, desk: Desk) -> None:
        spread_rule(subject="eth/*")
        for coin in ("BTC/USDT", "ETH/USDT", "METH/USDT"):
            desk.says(0, swap("binance", 0.0, coin=coin), swap("bybit", 0.001, coin=coin))
        assert [row.subject for row in Alert.objects.all()] == ["ETH/USDT"]

    def test_it_has_to_last_and_one_monitor_after_another_makes_one_incident(self, desk: Desk) -> None:
        spread_rule(for_s=10)
        wide = swap("binance", 0.0), swap("bybit", 0.001)
        desk.says(0, *wide)
        desk.says(9, *wide)
        assert states() == []
        desk.says(10, *wide)
        Desk().says(12, *wide)
        assert sent() == [("firing", "BTC/USDT: funding spread")]


class TestUnknown:
    def test_unknown_neither_fires_nor_resolves_and_says_why(self, desk: Desk) -> None:
        spread_rule()
        settling = swap("bybit", 0.001, problem=SETTLING)
        desk.says(0, swap("binance", 0.0), settling)
        assert states() == []
        desk.says(2, swap("binance", 0.0), swap("bybit", 0.001))
        desk.says(14, swap("binance", 0.0), settling)
        incident = Alert.objects.get()
        assert (incident.state, incident.value) == ("firing", None)
        assert incident.words == f"The spread is unknown: Bybit swap: {SETTLING}."
        desk.says(16, swap("binance", 0.0), swap("bybit", 0.0))
        assert states() == ["resolved"]

    def test_known_legs_are_enough_to_fire_and_not_to_resolve(self, desk: Desk) -> None:
        """An unknown leg could only make it wider."""
        spread_rule()
        settling = swap("gate", 0.002, problem=SETTLING)
        desk.says(0, swap("binance", 0.0), swap("bybit", 0.0006), settling)
        assert states() == ["firing"]
        desk.says(2, swap("binance", 0.0), swap("bybit", 0.0001), settling)
        assert states() == ["firing"]
        desk.says(4, swap("binance", 0.0), swap("bybit", 0.0001), swap("gate", 0.0001))
        assert states() == ["resolved"]

    def test_a_leg_that_stays_unknown_is_left_out_of_the_best_two(self, desk: Desk) -> None:
        spread_rule()
        unknown = swap("gate", 0.002, None, problem="the interval is unknown")
        desk.says(0, swap("binance", 0.0), swap("bybit", 0.0006), unknown)
        for at_s, expected in ((500, "firing"), (601, "resolved")):
            desk.says(at_s, swap("binance", 0.0), swap("bybit", 0.0001), unknown)
            assert states() == [expected]

    def test_without_redis_everything_stays_as_it_is(self, desk: Desk) -> None:
        spread_rule()
        desk.says(0, swap("binance", 0.0), swap("bybit", 0.001))
        desk.knows_nothing(2)
        desk.knows_nothing(9999)
        assert states() == ["firing"]

    def test_a_coin_that_no_collector_names_is_unknown_and_after_ten_minutes_gone(self, desk: Desk) -> None:
        spread_rule()
        desk.says(0, swap("binance", 0.0), swap("bybit", 0.001))
        desk.says(300)
        assert Alert.objects.get().words.startswith("The spread is unknown: ")
        assert "no collector says anything of it" in Alert.objects.get().words
        after_restart = Desk(FundingMemory(desk.memory.remembered))
        after_restart.says(400)
        assert states() == ["firing"]
        after_restart.says(601)
        assert states() == ["resolved"]
        assert Alert.objects.get().resolved_why == "No two swaps of it are followed any more."

    def test_a_rule_that_watches_something_else_now_resolves_what_it_had_firing(self, desk: Desk) -> None:
        made = spread_rule()
        desk.says(0, swap("binance", 0.0), swap("bybit", 0.001))
        AlertRule.objects.filter(pk=made.pk).update(what=What.DISK, threshold=None, clear_below=None)
        desk.says(2, swap("binance", 0.0), swap("bybit", 0.001))
        assert states() == ["resolved"]


class TestIntervals:
    @pytest.fixture(autouse=True)
    def _rule(self, desk: Desk) -> None:
        rule("intervals", channels=(channel(),), what=What.FUNDING_INTERVAL)

    def test_a_change_is_one_message_with_both_intervals(self, desk: Desk) -> None:
        desk.says(0, swap("gate", 0.0001, 8))
        assert states() == []
        for at_s in (2, 4, 100):
            desk.says(at_s, swap("gate", 0.0001, 4))
        assert sent() == [("firing", "BTC/USDT:USDT from 8 h to 4 h on Gate swap: funding interval changed")]
        incident = Alert.objects.get()
        assert incident.words == (
            "Funding of BTC/USDT:USDT on Gate swap is settled every 4 h now, every 8 h before."
        )
        assert incident.path == "/funding?search=BTC%2FUSDT"

    def test_it_is_over_after_an_hour_without_another_message(self, desk: Desk) -> None:
        desk.says(0, swap("gate", 0.0001, 8))
        desk.says(2, swap("gate", 0.0001, 4))
        desk.says(3700, swap("gate", 0.0001, 4))
        assert states() == ["resolved"]
        assert len(sent()) == 1

    def test_each_change_is_a_message_of_its_own_also_there_and_back(self, desk: Desk) -> None:
        for number, hours in enumerate((8, 4, 8, 4)):
            desk.says(2 * number, swap("gate", 0.0001, hours))
        assert [title.partition(" on ")[0] for _, title in sent()] == [
            "BTC/USDT:USDT from 8 h to 4 h", "BTC/USDT:USDT from 4 h to 8 h", "BTC/USDT:USDT from 8 h to 4 h",
        ]  # fmt: skip

    def test_an_unknown_interval_is_no_change(self, desk: Desk) -> None:
        for number, hours in enumerate((8, None, 8)):
            desk.says(2 * number, swap("gate", 0.0001, hours))
        assert states() == []
        desk.says(8, swap("gate", 0.0001, None))
        desk.says(10, swap("gate", 0.0001, 1))
        assert Alert.objects.get().title.startswith("BTC/USDT:USDT from 8 h to 1 h")

    def test_only_the_swaps_that_are_meant(self, desk: Desk) -> None:
        AlertRule.objects.update(subject="*:USDT on gate:swap")
        for hours in (8, 4):
            desk.says(hours, swap("gate", 0.0, hours), swap("okx", 0.0, hours))
        assert Alert.objects.get().title.startswith("BTC/USDT:USDT from 8 h to 4 h on Gate")


@pytest.mark.django_db(transaction=True)
async def test_a_change_while_the_monitor_was_down_is_found_by_the_next(empty_redis: Redis) -> None:
    before = FundingMemory()
    before.take([Snapshot("1/1", T0, [swap("gate", 0.0001, 8)])], T0, 0)
    redis = async_redis()
    try:
        await write_remembered(redis, before.remembered)
        after = FundingMemory(await read_remembered(redis))
        day_us = T0 + 24 * HOUR * S
        (change,) = after.take([Snapshot("1/1", day_us, [swap("gate", 0.0001, 4)])], day_us, 1).changes
        assert (change.from_s, change.to_s, change.at_us) == (8 * HOUR, 4 * HOUR, day_us)
        empty_redis.set("monitoring:fundings", b"\xc1 of another version")
        assert await read_remembered(redis) == []
    finally:
        await redis.aclose()


def test_what_was_not_seen_for_a_week_is_forgotten() -> None:
    memory = FundingMemory()
    memory.take([Snapshot("1/1", T0, [swap("gate", 0.0001, 8)])], T0, 0)
    week_us = T0 + (7 * 24 * HOUR + 1) * S
    assert memory.take([], week_us, 1).coins == {}
    assert memory.remembered == []


# --- the admin -----------------------------------------------------------------------------------

SPREAD = HEALTH | {"name": "funding", "what": "funding_spread", "threshold": "5", "funding_unit": "8h"}


def pk(key: str) -> str:
    return str(Exchange.objects.get(key=key).pk)


class TestAdmin:
    @pytest.fixture(autouse=True)
    def _desk(self, desk: Desk) -> None:
        """Exchanges to choose from."""

    def save(self, pages: Client, **fields: str) -> str:
        address = reverse("admin:monitoring_alertrule_add")
        return pages.post(address, SPREAD | fields, follow=True).content.decode()

    def test_a_rule_is_saved_and_listed_in_words(self, operator_client: Client) -> None:
        self.save(
            operator_client, subject="BTC/*", exchange1=pk("okx"), exchange2=pk("gate"), clear_below="3"
        )
        made = AlertRule.objects.get(name="funding")
        assert (made.exchange1, made.exchange2) == tuple(Exchange.objects.get(key=k) for k in ("okx", "gate"))
        shown = operator_client.get(reverse("admin:monitoring_alertrule_changelist")).content.decode()
        assert "funding spread, BTC/*, OKX and Gate, ≥ 5 bps per 8 h" in shown

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"threshold": ""}, "Enter the spread it fires at, in bps."),
            ({"threshold": "0"}, "Enter a number above 0: a spread is never negative."),
            ({"clear_below": "-1"}, "Enter a number above 0: a spread is never negative."),
            ({"clear_below": "6"}, "It would clear above its threshold"),
            ({"exchange1": "okx"}, "Choose both exchanges, or neither"),
            ({"exchange1": "okx", "exchange2": "okx"}, "A spread needs two exchanges"),
            ({"min_edge_bps": "1"}, "Only for opportunities: leave it empty."),
            ({"what": "funding_interval"}, "A change has no size: leave this empty."),
            ({"what": "disk", "exchange1": "okx"}, "Only for a funding spread: leave it empty."),
            ({"funding_unit": "month"}, "Select a valid choice."),
        ],
    )
    def test_what_does_not_belong_together_is_refused_in_words(
        self, operator_client: Client, fields: dict[str, str], words: str
    ) -> None:
        posted = {name: pk(text) if name.startswith("exchange") else text for name, text in fields.items()}
        assert words in self.save(operator_client, **posted)
        assert not AlertRule.objects.filter(name="funding").exists()

    def test_the_form_says_what_it_would_fire_for_now(
        self, operator_client: Client, empty_redis: Redis
    ) -> None:
        def preview(**fields: str) -> str:
            address = reverse("admin:monitoring_alertrule_preview")
            return operator_client.post(address, SPREAD | fields).content.decode()

        assert preview().startswith("Unknown: no monitor reports.")
        rows = [
            swap("okx", 0.0), swap("gate", 0.001), swap("okx", 0.0, coin="ETH/USDT"),
            swap("gate", None, coin="ETH/USDT", problem="the rate is unknown"),
        ]  # fmt: skip
        now_us = time.time_ns() // 1000
        empty_redis.set(wire.key_of_shard("1/1"), wire.encode(Snapshot("1/1", now_us, rows)))
        empty_redis.hset(wire.SHARDS, "1/1", now_us)
        assert preview() == "BTC/USDT. Unknown now: ETH/USDT."
        assert preview(subject="BTC*", threshold="11") == "Nothing."
        assert preview(subject="BTC*", for_s="60") == "Nothing yet; BTC/USDT will if it lasts."
        assert preview(subject="BTC*", threshold="10000", funding_unit="year") == "BTC/USDT"
        assert preview(what="funding_interval", threshold="") == "Nothing."


def test_messages_go_out_with_rates_and_the_page(desk: Desk) -> None:
    made = spread_rule()
    desk.says(0, swap("binance", 0.0), swap("bybit", 0.001))
    (delivery,) = made.channels.get().deliveries.all()
    assert message(delivery).url.endswith("/funding?search=BTC%2FUSDT")
    assert "Short Bybit swap (+10.00)" in message(delivery).words
