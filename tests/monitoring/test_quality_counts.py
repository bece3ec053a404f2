"""Data quality: what cannot be used, configurations, minutes, and where buckets end."""

# ruff: noqa: F811 - fixtures come by import

import pytest
from django.core.exceptions import ValidationError
from msgspec import structs

from monitoring.health.assess import assess
from monitoring.health.limits import HealthLimits
from monitoring.health.observed import Limits
from monitoring.models import AlertRule, What
from monitoring.quality.latency import Latency
from monitoring.quality.wire import (
    MINUTE_ROW,
    NO_SPREAD,
    ExchangeQuality,
    Quality,
)
from tests.monitoring.test_quality import S, Watched, config, desk  # noqa: F401 - a fixture
from tests.support.observed import NOW, WELL


class TestWhatCannotBeUsed:
    def test_frames_and_reconnects_are_counted_per_minute_and_forgotten(self, desk: Watched) -> None:
        desk.counts["okx"] = {
            "malformed": 30, "unknown_kind": 3, "lost": 8, "failed_connects": 4,
            "empty_side": 1, "one_sided": 1, "late": 2, "frozen": 3, "out_of_order": 7,
            "bad_funding": 1, "bad_next": 2, "bad_interval": 3, "bad_mark": 4,
        }  # fmt: skip
        desk.now_ns += 1 * S
        desk.report()
        desk.receive()
        row = desk.exchange("okx")
        assert (row.malformed_per_min, row.unknown_per_min) == (30, 3)
        assert row.reconnects_per_min == 12
        assert (row.empty_per_min, row.late_per_min, row.out_of_order_per_min) == (2, 5, 7)
        assert row.bad_terms_per_min == 10
        assert row.bad_frames_per_min == 43
        assert desk.exchange("bybit").bad_frames_per_min == 0
        desk.wait(62)
        assert desk.exchange("okx").bad_frames_per_min == desk.exchange("okx").reconnects_per_min == 0

    def test_rejected_quotes_are_reported_by_symbol(self, desk: Watched) -> None:
        desk.rejected["okx"] = {
            ("BTC/USDT", "rejected_crossed"): 5, ("ETH/USDT", "rejected_zero"): 2,
            ("ETH/USDT", "empty_side"): 3, ("ETH/USDT", "frozen"): 4, ("ETH/USDT", "out_of_order"): 1,
            ("ETH/USDT", "bad_next"): 9,
        }  # fmt: skip
        desk.report()
        desk.receive()
        btc, eth = desk.symbol("okx"), desk.symbol("okx", "ETH/USDT")
        assert (btc.crossed_per_min, btc.zero_per_min) == (5, 0)
        assert (eth.crossed_per_min, eth.zero_per_min) == (0, 2)
        assert (btc.refused_per_min, eth.refused_per_min) == (0, 8)

    def test_a_feed_that_counts_again_from_zero_is_no_negative_rate(self, desk: Watched) -> None:
        desk.counts["okx"] = {"malformed": 30}
        desk.report()
        desk.counts["okx"] = {"malformed": 1}
        desk.report()
        desk.receive()
        assert desk.exchange("okx").malformed_per_min == 0

    def test_since_when_connections_are_as_they_are(self, desk: Watched) -> None:
        desk.now_ns += S
        down_us = desk.now_us
        desk.report("okx", state="down")
        desk.now_ns += S
        desk.report("okx", state="down")
        desk.receive()
        assert (desk.exchange("okx").state, desk.exchange("okx").since_us) == ("down", down_us)


class TestConfiguration:
    def test_what_stays_keeps_what_is_known_of_it(self, desk: Watched) -> None:
        before = desk.symbol("okx", "ETH/USDT")
        desk.configure(config("AAA/USDT", "ETH/USDT"))
        after = desk.symbol("okx", "ETH/USDT")
        assert after == before
        assert desk.symbol("okx", "AAA/USDT").state == "down"
        assert ("okx", "BTC/USDT") not in desk.read().names

    def test_events_of_what_is_no_longer_wanted_are_passed_over(self, desk: Watched) -> None:
        desk.quote("okx", "LTC/USDT")
        desk.quote("okx")
        desk.quote("nowhere")
        desk.receive()
        assert desk.quality.unknown == 2
        assert desk.symbol("okx").age_ms == 0

    def test_an_exchange_that_is_not_collected_here_is_not_reported(self, desk: Watched) -> None:
        for _ in range(12):
            desk.now_ns += S
            desk.report("binance", "bybit")
            desk.receive()
        assert [row.exchange for row in desk.read().exchanges] == ["binance", "bybit"]
        assert {exchange for exchange, _ in desk.read().names} == {"binance", "bybit"}


class TestMinutes:
    def test_a_minute_says_what_each_instrument_did(self, desk: Watched) -> None:
        desk.read()
        desk.quality.take_minute(desk.now_ns)
        desk.go_on(30)
        desk.go_on(4.5, without="okx BTC/USDT")
        desk.go_on(25.5)
        desk.rejected["okx"] = {("BTC/USDT", "rejected_zero"): 300}
        desk.report()
        desk.receive()
        quality = desk.read()
        rows = desk.quality.take_minute(desk.now_ns)
        assert rows.dtype == MINUTE_ROW
        row = rows[quality.names.index(("okx", "BTC/USDT"))]
        assert row["quotes"] == (30 + 25.5) * 4
        assert row["longest_gap"] == 47, "4.75 s in tenths, rounded down"
        assert row["spread"] == 20 - 1 or row["spread"] == 20, "100.00 to 100.02, in tenths of a bps"
        assert row["rejected"] == 255, "as many as fit"

    def test_a_minute_without_a_quote_has_no_spread_and_all_of_it_is_gap(self, desk: Watched) -> None:
        desk.read()
        desk.quality.take_minute(desk.now_ns)
        desk.now_ns += 60 * S
        row = desk.quality.take_minute(desk.now_ns)[0]
        assert (row["quotes"], row["spread"]) == (0, NO_SPREAD)
        assert row["longest_gap"] == 600


class TestWhereBucketsEnd:
    """A percentile at the end of the buckets is only known to be longer, wherever it is shown."""

    @pytest.mark.parametrize(
        ("p95_ms", "limit_ms", "said"),
        [(119_000.0, 118_000.0, "119,000 ms"), (120_000.0, 120_000.0, "over 120 s"), (90.0, 120_000.0, "")],
    )
    def test_a_limit_where_they_end_is_passed_by_what_is_beyond(
        self, p95_ms: float, limit_ms: float, said: str
    ) -> None:
        exchange = ExchangeQuality("okx", "live", NOW, latency=Latency(1.0, p95_ms, p95_ms, 400_000.0, 9))
        now = structs.replace(WELL, quality=Quality(at_us=NOW, exchanges=(exchange,)))
        found = [each for each in assess(now, Limits(latency_p95_ms=limit_ms)) if each.kind == "latency"]
        assert [said in each.words for each in found] == [True] * bool(said)

    def test_no_limit_or_threshold_beyond_them_can_be_entered(self) -> None:
        with pytest.raises(ValidationError, match="120000"):
            HealthLimits(latency_p95_ms=120_001).clean_fields()
        HealthLimits(latency_p95_ms=120_000).clean_fields()
        rule = AlertRule(name="late", what=What.LATENCY, threshold=150_000)
        with pytest.raises(ValidationError, match="not measured exactly"):
            rule.clean()
        AlertRule(name="late", what=What.LATENCY, threshold=120_000).clean()
        AlertRule(name="lag", what=What.LOOP_LAG, threshold=150_000).clean()
