"""No opportunity on an old quote: an absolute age, and a book that stayed behind when all others moved."""

import numpy as np
import pytest
from msgspec import structs

from engine.scan.legs import Leg
from markets.config import FilterConfig, GateTerms, MarketConfig, PairConfig
from markets.events import Episode
from realtime.scanner.columns import LegColumns
from realtime.scanner.explain import explain
from realtime.scanner.table import STATES, ScanTable
from realtime.scanner.wire import Directory, LegName, ShardScan, State
from tests.support.scan.market import BOOT_NS, EXCHANGES, MS, Desk, config, everywhere

BTC = "BTC/USDT"
SLOW = "gate"
FAST = tuple(key for key in EXCHANGES if key != SLOW)
FOLLOWS = FilterConfig(1, "all", min_edge_bps=5.0, close_edge_bps=2.0, min_duration_ms=200)


def configured(
    *, pair_age_ms: int | None = None, terms: GateTerms | None = None, **more: object
) -> MarketConfig:
    market = config(everywhere(BTC), structs.replace(FOLLOWS, **more), gates=terms or GateTerms(min_size=0.0))
    pairs = tuple(PairConfig(row.exchange1, row.exchange2, None, pair_age_ms) for row in market.pairs)
    return structs.replace(market, pairs=pairs)


class Slow(Desk):
    """One exchange quotes every `gap_s`, the others every second, all at one price, for a while."""

    def __init__(self, market: MarketConfig, gap_s: int, times: int = 6) -> None:
        super().__init__(market)
        self.market = market
        self.now_s = 0
        self.run(gap_s * times + 1, dict.fromkeys(FAST, 100.0), gap_s)
        self.quote_at(SLOW, 100.0)

    def run(self, seconds: int, mids: dict[str, float], gap_s: int = 0) -> None:
        for _ in range(seconds):
            if gap_s and self.now_s % gap_s == 0:
                self.quote_at(SLOW, 100.0)
            for exchange, mid in mids.items():
                self.quote_at(exchange, mid)
            self.now_s += 1
            self.tick(self.now_s * 1000)

    def quote_at(self, exchange: str, mid: float) -> None:
        self.quote(exchange, BTC, mid * 0.99995, mid * 1.00005, at_ms=self.now_s * 1000)

    def episodes(self) -> list[Episode]:
        return [each for each in self.scanner.lifecycle.take() if each.phase != "peak"]

    def leg(self, exchange: str) -> Leg:
        return next(leg for leg in self.scanner.legs if leg.exchange == exchange)

    def table(self) -> ScanTable:
        """Table that a web process makes of it now."""
        legs, now_ns = self.scanner.legs, BOOT_NS + self.now_s * 1000 * MS
        columns = LegColumns(legs)
        columns.update(legs, now_ns)
        names = [LegName(leg.exchange, leg.listing.symbol, leg.listing.counts_as) for leg in legs]
        pairs = np.array(list(self.scanner.pair_legs()), "<i4").tobytes()
        state = State(1, 1, 0, columns.all(now_ns).tobytes())
        scan = ShardScan(Directory("1/1", 1, 1, names, pairs), state, None, 0, 100.0)
        table = ScanTable(self.market)
        table.take(scan, table.match(scan), 100.0, silent=False)
        table.identity[:] = 1
        table.refresh()
        return table


# --- an age that no rhythm explains --------------------------------------------------------------


@pytest.mark.parametrize("gap_s", [4, 20])
def test_a_quote_older_than_a_minute_opens_nothing_however_slow_its_book_is(gap_s: int) -> None:
    desk = Slow(configured(), gap_s)
    desk.run(62, dict.fromkeys(FAST, 100.0))
    desk.quote_at("binance", 100.9)
    assert [each for each in desk.episodes() if SLOW in (each.exchange1, each.exchange2)] == []


def test_what_is_open_closes_when_a_quote_gets_too_old_and_says_how_old() -> None:
    desk = Slow(configured(), gap_s=20)
    desk.quote_at(SLOW, 99.0)  # by itself: the others stay
    desk.run(70, dict.fromkeys(FAST, 100.0))
    closed = {each.reason for each in desk.episodes() if each.phase == "close"}
    assert len(closed) == 1
    assert closed.pop().startswith("freshness: the quote of gate is 60.")


@pytest.mark.parametrize(
    ("pair_ms", "filter_ms", "gates_ms", "lasts_s"),
    [
        (None, None, 60_000.0, 60), (10_000, None, 60_000.0, 10), (10_000, 30_000.0, 60_000.0, 30),
        (None, 5_000.0, 60_000.0, 5), (90_000, None, 60_000.0, 90), (None, None, 20_000.0, 20),
    ],
)  # fmt: skip
def test_the_limit_is_the_filters_or_else_the_pairs_or_else_the_gates(
    pair_ms: int | None, filter_ms: float | None, gates_ms: float, lasts_s: int
) -> None:
    terms = GateTerms(min_size=0.0, max_age_ms=gates_ms)
    desk = Slow(configured(pair_age_ms=pair_ms, terms=terms, max_age_ms=filter_ms), gap_s=20)
    desk.quote_at(SLOW, 99.0)
    desk.run(100, dict.fromkeys(FAST, 100.0))
    lengths = {
        (each.closed_us - each.started_us) / 1e6 for each in desk.episodes() if each.closed_us is not None
    }
    assert lengths
    assert all(lasts_s <= length <= lasts_s + 0.3 for length in lengths)


# --- left behind ---------------------------------------------------------------------------------


@pytest.mark.parametrize("gap_s", [4, 20])
@pytest.mark.parametrize("move", [1.01, 0.99, 1.004])
def test_a_slow_book_that_did_not_follow_when_all_others_moved_is_not_believed(
    gap_s: int, move: float
) -> None:
    desk = Slow(configured(), gap_s)
    desk.run(5, dict.fromkeys(FAST, 100.0))
    desk.run(30, dict.fromkeys(FAST, 100.0 * move))
    assert [each for each in desk.episodes() if SLOW in (each.exchange1, each.exchange2)] == []


def test_one_exchange_that_leaves_all_others_is_an_opportunity_against_the_slow_book_too() -> None:
    desk = Slow(configured(), gap_s=20)
    desk.run(5, dict.fromkeys(FAST, 100.0))
    desk.run(5, {"binance": 101.0, "bybit": 100.0, "okx": 100.0})
    opened = [each for each in desk.episodes() if SLOW in (each.exchange1, each.exchange2)]
    assert [each.phase for each in opened] == ["open"]


def test_a_slow_book_that_moves_by_itself_is_an_opportunity_for_as_long_as_nobody_else_moves() -> None:
    desk = Slow(configured(), gap_s=20)
    desk.quote_at(SLOW, 99.0)
    desk.run(30, dict.fromkeys(FAST, 100.0))
    assert {each.phase for each in desk.episodes()} == {"open"}


def test_between_two_exchanges_the_one_that_moved_alone_makes_no_edge_with_a_slow_book() -> None:
    market = configured(min_duration_ms=0)
    only = tuple(each for each in market.listings if each.exchange in (SLOW, "binance"))
    desk = Slow(structs.replace(market, listings=only), gap_s=20)
    desk.run(5, {"binance": 100.0})
    desk.run(20, {"binance": 101.01})
    assert desk.episodes() == []


def test_within_the_floor_nobody_is_suspected() -> None:
    desk = Slow(configured(), gap_s=20)
    desk.run(1, dict.fromkeys(FAST, 100.0))
    desk.run(1, dict.fromkeys(FAST, 101.0))
    assert {each.phase for each in desk.episodes() if SLOW in (each.exchange1, each.exchange2)} == {"open"}
    desk.run(3, dict.fromkeys(FAST, 101.0))
    assert {each.reason for each in desk.episodes()} == {
        "freshness: gate did not follow when the others moved 100.0 bps"
    }


def test_the_next_quote_clears_the_suspicion() -> None:
    desk = Slow(configured(), gap_s=20)
    desk.run(5, dict.fromkeys(FAST, 100.0))
    desk.run(5, dict.fromkeys(FAST, 101.0))
    assert not [each for each in desk.episodes() if SLOW in (each.exchange1, each.exchange2)]
    desk.quote_at(SLOW, 100.0)
    desk.run(1, dict.fromkeys(FAST, 101.0))
    assert {each.phase for each in desk.episodes() if SLOW in (each.exchange1, each.exchange2)} == {"open"}


# --- the same in the scanner's table and in words ------------------------------------------------


@pytest.mark.parametrize(
    ("mids", "pause_s", "words"),
    [
        (101.0, 5, "but the others moved 100.0 bps since its last quote, more than the edge of 78.8 bps"),
        (100.9, 62, "s is over the limit of 60 s"),
    ],
)
def test_the_table_and_the_explanation_agree_with_the_gatekeeper(
    mids: float, pause_s: int, words: str
) -> None:
    desk = Slow(configured(), gap_s=20)
    desk.run(pause_s, dict.fromkeys(FAST, 100.0))
    desk.run(1, dict.fromkeys(FAST, mids))
    table = desk.table()
    for row, pair in enumerate(table.pairs):
        concerns = SLOW in (pair.pair.exchange1, pair.pair.exchange2)
        assert (STATES[table.state[row]] == "silent") is concerns
        assert bool(table.blocked[row]) is concerns
        way = desk.scanner.directions[row * 2 + (0 if table.sell_first[row] else 1)]
        asked = desk.scanner.gatekeeper.blocked(way, FOLLOWS, BOOT_NS + desk.now_s * 1000 * MS)
        assert asked.startswith("freshness") is concerns
    row = table.row["BTC/USDT|binance|gate"]
    found = explain(table, row, BOOT_NS + desk.now_s * 1000 * MS)
    gate = next(gate for gate in found.directions[0].gates if gate.name == "freshness")
    assert words in gate.words
    assert gate.verdict == "fail"
    assert "never older than 60 s" in gate.threshold
    assert next(leg.state for leg in found.legs if leg.exchange == SLOW) == "silent"


# --- whom to believe when others disagree --------------------------------------------------------


def slow_episodes(desk: Slow) -> list[Episode]:
    return [each for each in desk.episodes() if SLOW in (each.exchange1, each.exchange2)]


def listed(*exchanges: str) -> MarketConfig:
    market = configured()
    return structs.replace(
        market, listings=tuple(each for each in market.listings if each.exchange in exchanges)
    )


def test_a_third_book_that_is_as_slow_vouches_for_nothing() -> None:
    """Both slow books still say what was true before the one that is quick moved by 1 %."""
    desk = Slow(listed(SLOW, "okx", "binance"), gap_s=20, times=1)
    desk.run(19, {"binance": 100.0})
    desk.quote_at("okx", 100.0)
    desk.run(5, {"binance": 100.0})
    desk.run(10, {"binance": 101.0})
    assert desk.episodes() == []
    desk.quote_at(SLOW, 100.0)  # says so after the move: now it is an opportunity
    desk.run(1, {"binance": 101.0})
    assert [each.phase for each in slow_episodes(desk)] == ["open"]


def test_a_sibling_that_is_wrong_suspects_nobody() -> None:
    """Gate dropped by itself a moment ago; Binance goes mad, OKX stays."""
    desk = Slow(listed(SLOW, "okx", "binance"), gap_s=20)
    desk.quote_at(SLOW, 99.5)
    desk.run(5, {"binance": 100.0, "okx": 100.0})
    assert {each.phase for each in slow_episodes(desk)} == {"open"}
    desk.run(10, {"binance": 104.0, "okx": 100.0})
    closed = [each for each in slow_episodes(desk) if each.phase == "close"]
    assert "okx" not in {each.sell_on for each in closed}


def test_a_sibling_that_goes_away_is_no_move_of_the_others() -> None:
    """OKX stands 1 % above all others; when its line breaks, nothing has moved."""
    desk = Slow(configured(), gap_s=20)
    desk.run(5, {"binance": 100.0, "bybit": 100.0, "okx": 101.0})
    desk.quote_at(SLOW, 99.5)
    desk.run(5, {"binance": 100.0, "bybit": 100.0, "okx": 101.0})
    desk.episodes()
    desk.state("okx", "down", BTC, at_ms=desk.now_s * 1000)
    desk.run(5, {"binance": 100.0, "bybit": 100.0})
    assert {each.reason for each in slow_episodes(desk)} == {"okx: stream down: no frame"}


@pytest.mark.parametrize("siblings", [1, 2, 3])
def test_however_many_siblings_there_are_the_book_that_did_not_follow_them_is_left_behind(
    siblings: int,
) -> None:
    fast = FAST[:siblings]
    desk = Slow(listed(SLOW, *fast), gap_s=20)
    desk.run(5, dict.fromkeys(fast, 100.0))
    desk.run(10, dict.fromkeys(fast, 101.0))
    assert desk.episodes() == []


def test_a_frame_says_that_a_silent_leg_is_left_behind_though_it_said_nothing() -> None:
    desk = Slow(configured(), gap_s=20)
    columns = LegColumns(desk.scanner.legs)
    desk.run(5, dict.fromkeys(FAST, 100.0))
    columns.update(desk.scanner.take_changed(), BOOT_NS + desk.now_s * 1000 * MS)
    slow = desk.leg(SLOW).index
    for mid, expected in ((101.0, [100.0]), (101.0, []), (101.5, [150.0])):
        desk.run(1, dict.fromkeys(FAST, mid))
        indices, rows = columns.update(desk.scanner.take_changed(), BOOT_NS + desk.now_s * 1000 * MS)
        assert rows["moved_bps"][indices == slow].tolist() == pytest.approx(expected)
    desk.now_s += 10
    every = columns.all(BOOT_NS + desk.now_s * 1000 * MS)
    assert np.isnan(every["moved_bps"]).all(), "nobody talks any more"
