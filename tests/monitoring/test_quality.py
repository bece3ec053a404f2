"""A collector's figures of its data: rhythm, rates, lateness, clocks and rejects, from events alone."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock.clocks import STOOD_STILL
from markets.config import ExchangeConfig, InstrumentConfig, MarketConfig
from markets.events import FeedReport, Quote, SinkEvent, StreamState, Trade
from monitoring.quality.book import DataQuality
from monitoring.quality.latency import BUCKETS, bucket_of, in_words, latency
from monitoring.quality.window import Window
from monitoring.quality.wire import (
    SYMBOL_STATES,
    ExchangeQuality,
    Quality,
    SymbolQuality,
)

EXCHANGES = ("binance", "bybit", "okx")
SYMBOLS = ("BTC/USDT", "ETH/USDT")
NOON_US = 1_795_003_200_000_000
START_NS = 10**13
S = 10**9


def config(*symbols: str, exchanges: Sequence[str] = EXCHANGES) -> MarketConfig:
    return MarketConfig(
        revision=1,
        exchanges=tuple(ExchangeConfig(key, key, True, 10.0, 10.0) for key in exchanges),
        instruments=frozenset(
            InstrumentConfig(key, symbol, symbol) for key in exchanges for symbol in symbols or SYMBOLS
        ),
        opportunities=(),
    )


class Watched:
    """A shard that gets events at times of our choosing."""

    def __init__(self, configured: MarketConfig | None = None) -> None:
        self.now_ns = START_NS
        self.quality = DataQuality(self.now_ns)
        self.configure(configured or config())
        self.counts: dict[str, dict[str, int]] = {key: {} for key in EXCHANGES}
        self.rejected: dict[str, dict[tuple[str, str], int]] = {key: {} for key in EXCHANGES}
        self.spoken: list[SinkEvent] = []

    @classmethod
    def of(cls, *symbols: str) -> Self:
        """A shard of these symbols."""
        return cls(config(*symbols))

    @property
    def now_us(self) -> int:
        return NOON_US + (self.now_ns - START_NS) // 1000

    def configure(self, configured: MarketConfig) -> None:
        self.quality.configure(configured, lambda _: True, self.now_us, self.now_ns)

    def everything_up(self) -> None:
        for key in EXCHANGES:
            self.state(key, "up", *SYMBOLS)
        self.report()

    def quote(self, exchange: str, symbol: str = SYMBOLS[0], late_ms: float | None = 5.0) -> None:
        sent_us = None if late_ms is None else self.now_us - int(late_ms * 1000)
        self.spoken.append(
            Quote(exchange, symbol, 100.0, 1.0, 100.02, 1.0, sent_us, self.now_us, self.now_ns)
        )

    def trade(self, exchange: str, symbol: str = SYMBOLS[0]) -> None:
        trade = Trade(exchange, symbol, 100.0, 1.0, "buy", "1", self.now_us, self.now_us, self.now_ns)
        self.spoken.append(trade)

    def state(self, exchange: str, state: Any, *symbols: str) -> None:
        self.spoken.append(StreamState(exchange, symbols or SYMBOLS, state, "cut", self.now_us, self.now_ns))

    def report(self, *exchanges: str, state: str = "live") -> None:
        for key in exchanges or EXCHANGES:
            counts, rejected = dict(self.counts[key]), dict(self.rejected[key])
            self.spoken.append(
                FeedReport(key, state, "", 1, 4, 0, counts, rejected, self.now_ns, self.now_us, self.now_ns)
            )

    def receive(self) -> None:
        """Receive what was published."""
        self.quality.take(self.spoken, self.now_ns)
        self.spoken = []

    def go_on(self, seconds: float, *, without: str = "", every_s: float = 0.25) -> None:
        """Let everybody quote everything in this rhythm, except what is left out: an exchange, or
        `exchange SYMBOL`."""
        for _ in range(round(seconds / every_s)):
            self.now_ns += int(every_s * S)
            for key in EXCHANGES:
                for symbol in SYMBOLS:
                    if without not in (key, f"{key} {symbol}"):
                        self.quote(key, symbol)
            self.receive()
        self.report()
        self.receive()

    def wait(self, seconds: int) -> None:
        """Nobody quotes, the feeds report."""
        for _ in range(seconds):
            self.now_ns += S
            self.report()
            self.receive()

    def read(self) -> Quality:
        self.quality.assess(self.now_us, self.now_ns)
        rows = self.quality.rows(self.now_ns)
        names = tuple(self.quality.names())
        return Quality(self.now_us, tuple(self.quality.exchange_rows(self.now_ns)), names, rows)

    def symbol(self, exchange: str, symbol: str = SYMBOLS[0]) -> SymbolQuality:
        quality = self.read()
        return quality.symbol(quality.names.index((exchange, symbol)))

    def exchange(self, key: str) -> ExchangeQuality:
        return next(row for row in self.read().exchanges if row.exchange == key)


@pytest.fixture
def desk() -> Watched:
    """Three exchanges, two symbols, everything quoted four times a second for a minute."""
    watched = Watched()
    watched.everything_up()
    watched.go_on(60)
    return watched


class TestStates:
    def test_what_quotes_in_its_rhythm_is_live(self, desk: Watched) -> None:
        assert desk.exchange("okx").symbols == dict.fromkeys(SYMBOL_STATES, 0) | {"live": 2}
        assert desk.symbol("okx").gap_ms == pytest.approx(250)

    def test_one_symbol_silent_among_talking_neighbours_is_suspect_then_stale_and_recovers(
        self, desk: Watched
    ) -> None:
        desk.go_on(4.0, without="okx BTC/USDT")
        assert desk.symbol("okx").state == "live", "20 of its usual gaps have not passed"
        desk.go_on(2.0, without="okx BTC/USDT")
        assert desk.symbol("okx").state == "suspect"
        assert [row.symbol for row in desk.read().silent()] == ["BTC/USDT"]
        since_us = desk.symbol("okx").since_us
        desk.go_on(10.0, without="okx BTC/USDT")
        assert desk.symbol("okx").state == "stale"
        assert desk.symbol("okx").since_us > since_us
        desk.go_on(0.5)
        assert desk.symbol("okx").state == "live"
        assert not list(desk.read().silent())

    def test_what_a_collector_that_stood_still_could_not_believe_is_no_silence_of_an_exchange(
        self, desk: Watched
    ) -> None:
        seen_us, seen_ns = desk.now_us, desk.now_ns
        desk.now_ns += 10 * S
        for key in EXCHANGES:
            stamps = seen_us, seen_ns + 1
            desk.spoken.append(StreamState(key, SYMBOLS, "gap", f"{STOOD_STILL} for 10.0 s", *stamps))
            reason = f"{STOOD_STILL}: a book was read 9 s late"
            desk.spoken.append(StreamState(key, SYMBOLS, "gap", reason, desk.now_us, desk.now_ns))
        desk.receive()
        assert desk.symbol("okx").state == "quiet", "not live: there is nothing to show"
        assert (desk.exchange("okx").unusable, desk.exchange("okx").unusable_reason) == (0, "")
        assert desk.exchange("okx").excused_ms == 0.0
        assert desk.exchange("okx").age_ms == pytest.approx(10_000)
        desk.go_on(10.0, without="okx")
        assert desk.symbol("okx").state == "quiet", "what waits in the sender may come so late"
        desk.go_on(4.0, without="okx")
        assert desk.symbol("bybit").state == "live"
        assert desk.symbol("okx").state == "quiet", "20 of its usual gaps have not passed since"
        desk.go_on(2.0, without="okx")
        assert desk.symbol("okx").state == "suspect", "this silence is its own"
        assert desk.exchange("okx").excused_ms == pytest.approx(6_000)
        desk.go_on(0.5)
        assert desk.symbol("okx").state == "live"

    def test_a_book_that_was_withdrawn_is_not_excused_by_a_standstill_before_it(self, desk: Watched) -> None:
        desk.spoken.append(
            StreamState("okx", SYMBOLS, "gap", f"{STOOD_STILL} for 4.0 s", desk.now_us, desk.now_ns)
        )
        desk.go_on(1.0)
        desk.state("okx", "gap", *SYMBOLS)
        desk.go_on(4.0, without="okx")
        assert desk.symbol("okx").state == "suspect"
        assert desk.exchange("okx").unusable == 2

    def test_a_silence_of_everybody_is_quiet(self, desk: Watched) -> None:
        desk.wait(30)
        assert desk.exchange("okx").symbols["quiet"] == 2
        assert not list(desk.read().silent())

    def test_a_whole_exchange_silent_while_others_talk_makes_all_of_it_suspect(self, desk: Watched) -> None:
        desk.go_on(8.0, without="okx")
        assert desk.exchange("okx").symbols["suspect"] == 2
        assert desk.exchange("okx").age_ms == pytest.approx(8_000)
        assert desk.exchange("okx").heard_ms == 0, "its connections live: a report says so"
        assert desk.exchange("bybit").symbols["live"] == 2

    def test_after_an_interruption_only_a_new_quote_makes_it_live(self, desk: Watched) -> None:
        desk.state("okx", "down")
        desk.receive()
        assert (desk.symbol("okx").state, desk.symbol("okx").up) == ("down", False)
        desk.state("okx", "up")
        desk.receive()
        assert (desk.symbol("okx").state, desk.symbol("okx").up) == ("quiet", True)
        desk.now_ns += 1
        desk.quote("okx")
        desk.receive()
        assert desk.symbol("okx").state == "live"
        assert desk.symbol("okx").gaps_per_hour == 1

    def test_a_symbol_whose_quote_was_withdrawn_is_no_quiet_market(self, desk: Watched) -> None:
        desk.state("okx", "gap")
        desk.go_on(4, without="okx BTC/USDT", every_s=1)
        assert desk.symbol("okx").state == "suspect"
        desk.go_on(6, without="okx BTC/USDT", every_s=1)
        assert desk.symbol("okx").state == "stale", "which is a finding"
        desk.go_on(1)
        assert desk.symbol("okx").state == "live"

    def test_the_rhythm_of_a_slow_book_explains_no_withdrawn_quote(self, desk: Watched) -> None:
        for _ in range(20):
            desk.go_on(9, without="okx BTC/USDT")
            desk.quote("okx")
        desk.state("okx", "gap", "BTC/USDT")
        desk.go_on(4, without="okx BTC/USDT")
        assert (desk.symbol("okx").state, desk.symbol("okx", "ETH/USDT").state) == ("suspect", "live")

    @pytest.mark.parametrize("late_ms", [0, 900, 4_900])
    def test_age_counts_from_when_a_quote_would_have_come(self, desk: Watched, late_ms: int) -> None:
        desk.go_on(1, without="okx BTC/USDT")
        desk.quote("okx")
        desk.spoken[-1].late_us = late_ms * 1000  # type: ignore[union-attr]
        desk.receive()
        assert desk.symbol("okx").age_ms == late_ms
        desk.go_on(1.25, without="okx BTC/USDT")
        assert desk.symbol("okx").state == ("suspect" if late_ms > 4_000 else "live")
        desk.go_on(0.5)
        assert desk.symbol("okx").age_ms == 0
        assert desk.symbol("okx").state == "live"

    def test_quotes_that_cannot_be_used_are_no_calm(self, desk: Watched) -> None:
        """The scanner calls the leg down from the first such quote on: it is not `quiet` here for long."""
        desk.state("okx", "gap", SYMBOLS[0])
        desk.go_on(4, without="okx BTC/USDT")
        assert desk.symbol("okx").state == "suspect"
        desk.go_on(16, without="okx BTC/USDT")
        assert desk.symbol("okx").state == "stale"
        exchange = desk.exchange("okx")
        assert (exchange.unusable, exchange.unusable_reason) == (1, "cut")
        assert desk.symbol("okx", SYMBOLS[1]).state == "live"
        assert {desk.symbol(key).state for key in ("binance", "bybit")} == {"live"}

        desk.go_on(0.5)
        assert desk.symbol("okx").state == "live"
        assert (desk.exchange("okx").unusable, desk.exchange("okx").unusable_reason) == (0, "")

    def test_a_stream_that_came_up_again_is_given_time_to_quote(self, desk: Watched) -> None:
        for state in ("gap", "down", "up"):
            desk.now_ns += S // 10
            desk.state("okx", state)
        desk.go_on(0.5, without="okx")
        assert desk.exchange("okx").symbols["quiet"] == 2
        assert desk.exchange("okx").unusable == 0

    def test_what_waited_while_we_were_held_up_says_nothing_of_an_exchange_or_its_clock(
        self, desk: Watched
    ) -> None:
        held_us = desk.now_us
        desk.now_ns += 12 * S
        desk.quality.feeds.held_up(held_us, desk.now_us)
        for late_ms in range(11_900, 0, -200):
            desk.quote("okx", late_ms=float(late_ms))
        desk.receive()
        desk.go_on(14)
        row = desk.exchange("okx")
        assert row.latency is not None
        assert row.latency.max_ms < 10
        assert row.clock_offset_ms == pytest.approx(-5, abs=1)

    def test_how_long_nothing_usable_came_is_reported_beside_trades_that_do(self, desk: Watched) -> None:
        for _ in range(8):
            desk.state("okx", "gap")
            desk.trade("okx")
            desk.go_on(1, without="okx")
        row = desk.exchange("okx")
        assert row.quote_age_ms == pytest.approx(8000)
        assert row.age_ms == pytest.approx(1000)

    def test_an_interruption_does_not_count_as_a_gap_between_quotes(self, desk: Watched) -> None:
        desk.state("okx", "gap")
        desk.receive()
        desk.go_on(20.0, without="okx")
        desk.quote("okx")
        desk.receive()
        assert desk.symbol("okx").gap_ms == pytest.approx(250)

    def test_who_has_never_quoted_is_given_a_minute_before_it_is_suspect(self) -> None:
        desk = Watched()
        desk.everything_up()
        desk.go_on(50, without="okx BTC/USDT", every_s=1)
        assert desk.symbol("okx").state == "quiet"
        desk.go_on(20, without="okx BTC/USDT", every_s=1)
        assert desk.symbol("okx").state == "suspect"
        assert desk.symbol("okx").age_ms is None


class TestRates:
    def test_rates_are_of_the_last_minute_and_hour(self, desk: Watched) -> None:
        row = desk.symbol("okx")
        assert row.quotes_per_min == pytest.approx(240, rel=0.1)
        assert row.updates_per_hour == pytest.approx(240 * 60, rel=0.25), "an estimate of the hour so far"
        assert desk.exchange("okx").quotes_per_min == pytest.approx(480, rel=0.1)

    def test_they_fall_to_nothing_in_a_minute_of_silence(self, desk: Watched) -> None:
        desk.wait(70)
        assert desk.symbol("okx").quotes_per_min == 0
        assert desk.symbol("okx").updates_per_hour > 0

    def test_trades_are_counted_beside_quotes(self, desk: Watched) -> None:
        for _ in range(7):
            desk.trade("okx")
        desk.receive()
        assert desk.symbol("okx").trades_per_min == pytest.approx(7, rel=0.1)
        assert desk.symbol("bybit").trades_per_min == 0

    @given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20)), max_size=40))
    def test_a_window_holds_what_happened_within_it(self, quality: list[tuple[int, int]]) -> None:
        window = Window(3, slots=4, slot_s=1.0, dtype=np.uint32, now_ns=0)
        slot, happened = 0, []
        for place, later in quality:
            slot += later
            window.turn(slot * S)
            window.add_at(place, 1)
            happened.append((slot, place))
        recent = [place for when, place in happened if when > slot - 5]
        assert window.total().tolist() == [recent.count(place) for place in range(3)]


class TestClocksAndLateness:
    def test_percentiles_are_of_the_last_minute(self, desk: Watched) -> None:
        found = desk.exchange("okx").latency
        assert found is not None
        assert found.p50_ms == pytest.approx(5.0, rel=0.08)
        assert found.max_ms == pytest.approx(5.0, abs=0.001)
        for _ in range(100):
            desk.quote("okx", late_ms=800)
        desk.receive()
        late = desk.exchange("okx").latency
        assert late is not None
        assert late.p95_ms == pytest.approx(800, rel=0.08)
        desk.go_on(70)
        found = desk.exchange("okx").latency
        assert found is not None
        assert found.max_ms == pytest.approx(5.0, abs=0.001)

    @pytest.mark.parametrize("ahead_ms", [3_000.0, -3_000.0])
    def test_a_clock_that_is_off_shows_and_clears_within_6_s(self, desk: Watched, ahead_ms: float) -> None:
        for _ in range(25):
            desk.now_ns += S // 4
            desk.quote("okx", late_ms=5.0 - ahead_ms)
            desk.report()
            desk.receive()
        assert desk.exchange("okx").clock_offset_ms == pytest.approx(ahead_ms, abs=10)
        desk.go_on(6.25)
        assert desk.exchange("okx").clock_offset_ms == pytest.approx(-5, abs=1)

    def test_where_the_buckets_end_a_percentile_is_only_known_to_be_longer(self) -> None:
        delays_ms = np.array([118_000.0, 119_999.0, 200_000.0, 400_000.0])
        found = latency(np.bincount(bucket_of(delays_ms), minlength=BUCKETS).astype(np.int32), 400_000.0)
        assert found is not None
        assert found.p50_ms == pytest.approx(115_000, rel=0.07)
        assert (found.p95_ms, in_words(found.p95_ms)) == (120_000.0, "over 120 s")
        assert in_words(1234.5) == "1,234 ms"

    def test_a_clock_ahead_makes_no_latency_of_its_own(self, desk: Watched) -> None:
        for _ in range(300):
            desk.now_ns += S // 4
            desk.quote("okx", late_ms=5.0 - 3_000)
            desk.quote("okx", late_ms=25.0 - 3_000)
            desk.report()
            desk.receive()
        found = desk.exchange("okx").latency
        assert found is not None
        assert 0 <= found.p95_ms <= 25

    def test_an_exchange_that_sends_no_time_has_neither(self) -> None:
        desk = Watched()
        desk.everything_up()
        desk.quote("okx", late_ms=None)
        desk.receive()
        assert desk.exchange("okx").latency is None
        assert desk.exchange("okx").clock_offset_ms is None

    @given(st.lists(st.floats(0.3, 100_000), min_size=1, max_size=200))
    def test_a_percentile_is_right_to_8_percent(self, delays_ms: list[float]) -> None:
        counts = np.bincount(bucket_of(np.array(delays_ms)), minlength=BUCKETS).astype(np.int32)
        found = latency(counts, max(delays_ms))
        assert found is not None
        exact = np.percentile(delays_ms, [50, 95, 99], method="inverted_cdf")
        assert [found.p50_ms, found.p95_ms, found.p99_ms] == pytest.approx(exact.tolist(), rel=0.08)
