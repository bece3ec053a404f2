"""A replay makes the points and events that ran live, bit for bit, and the same again."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from engine.charts.points import Points
from history.lake.tables import Lake
from history.read.reader import LakeReader
from history.read.recorded import Recorded
from history.replay.engine import LEAD_IN_US, Replay, between, computable
from markets.config import MarketConfig, Shard
from markets.events import OpportunityEvent, Quote, SpreadPoints, StreamState
from tests.support.lakes.lake_data import write_quotes, write_states
from tests.support.lakes.recorded_session import EXCHANGES, NOON_US, SYMBOLS, Session, config, live, session

HOUR_US = 3_600_000_000
THOUSAND = "1000DOGE/USDT"
END_US = NOON_US + 5 * HOUR_US


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def record(lake: Lake, *sessions: Session, commits: int = 3) -> None:
    """Keep what was received, in several commits per table."""
    for each in sessions:
        for number in range(commits):
            write_quotes(lake, each.quotes[number::commits])  # files overlap in time, as two shards' do
        write_states(lake, each.states)


def replayed(
    lake: Lake, start_us: int = NOON_US, end_us: int = END_US, terms: MarketConfig | None = None
) -> tuple[list[SpreadPoints], list[OpportunityEvent]]:
    """Everything a replay makes of the range."""
    replay = Replay(terms or config(), SYMBOLS)
    recorded = Recorded(LakeReader(lake), replay.reads)
    points, events = [], []
    for results in replay.run(recorded.events(start_us - LEAD_IN_US, end_us), end_us):
        shown = between(results, start_us, end_us)
        points += shown.points
        events += shown.events
    return points, events


def thousands(terms: MarketConfig) -> MarketConfig:
    """Recording where OKX lists 1000DOGE instead of DOGE."""
    listings = tuple(
        structs.replace(each, symbol=THOUSAND, multiplier=1000.0)
        if (each.exchange, each.symbol) == ("okx", "DOGE/USDT")
        else each
        for each in terms.listings
    )
    return structs.replace(terms, listings=listings)


def in_thousands(event: Quote | StreamState) -> Quote | StreamState:
    """Quote as OKX says it then."""
    if event.exchange != "okx":
        return event
    if isinstance(event, StreamState):
        return structs.replace(
            event, symbols=tuple(THOUSAND if each == "DOGE/USDT" else each for each in event.symbols)
        )
    if event.symbol != "DOGE/USDT":
        return event
    prices, sizes = (event.bid * 1000, event.ask * 1000), (event.bid_size / 1000, event.ask_size / 1000)
    return structs.replace(
        event, symbol=THOUSAND, bid=prices[0], ask=prices[1], bid_size=sizes[0], ask_size=sizes[1]
    )


def by_chart(found: Iterable[SpreadPoints]) -> dict[tuple[str, str, str], Points]:
    """One array per chart."""
    parts: dict[tuple[str, str, str], list[Points]] = {}
    for each in found:
        parts.setdefault((each.symbol, each.exchange1, each.exchange2), []).append(each.points)
    return {chart: np.concatenate(rows) for chart, rows in parts.items()}


def assert_same(found: Iterable[SpreadPoints], expected: Iterable[SpreadPoints]) -> None:
    """The same charts, and every number the same to the last bit."""
    charts, wanted = by_chart(found), by_chart(expected)
    assert charts.keys() == wanted.keys()
    for chart, rows in wanted.items():
        np.testing.assert_array_equal(charts[chart], rows, err_msg=str(chart))


def in_order(events: Iterable[OpportunityEvent]) -> list[str]:
    return sorted(map(str, events))


class TestEqualToLive:
    @pytest.mark.parametrize("seed", range(3))
    def test_points_and_events_are_those_that_ran_live(self, lake: Lake, seed: int) -> None:
        received = session(3000, seed=seed)
        record(lake, received)
        ran = live(received, seed=seed)
        points, events = replayed(lake)
        assert_same(points, ran.points)
        assert in_order(events) == in_order(ran.events)
        assert sum(np.isnan(rows[:, 1]).sum() for rows in by_chart(points).values()) > 10
        assert len(events) > 100

    def test_a_collector_that_was_restarted_began_again_and_so_does_the_replay(self, lake: Lake) -> None:
        """After a reboot the monotonic clock starts from zero, too."""
        before = session(500, seed=1)
        after = session(500, seed=2, start_us=NOON_US + 600_000_000, boot_ns=9_000_000)
        record(lake, before, after)
        points, events = replayed(lake)
        ran = live(before, after)
        assert_same(points, ran.points)
        assert in_order(events) == in_order(ran.events)

    def test_a_killed_collector_leaves_no_gap_it_did_not_see(self, lake: Lake) -> None:
        killed = Session(session(200, seed=1).received[:150])
        after = session(300, seed=2, start_us=NOON_US + 600_000_000, boot_ns=9_000_000)
        record(lake, killed, after)
        assert_same(replayed(lake)[0], live(killed, after).points)

    def test_a_part_is_what_live_stored_of_it(self, lake: Lake) -> None:
        """The engine is fed from a quarter of an hour before, so bands and pairs are the same at once."""
        received = session(30_000, seed=4)
        record(lake, received)
        start_us = NOON_US + 8 * 60_000_000
        end_us = start_us + 60_000_000 + 123
        wanted = [between_rows(each, start_us, end_us) for each in live(received).points]
        assert sum(map(len, (each.points for each in wanted))) > 500
        assert_same(replayed(lake, start_us, end_us)[0], [each for each in wanted if len(each.points)])

    def test_a_restart_of_one_shard_leaves_the_other_alone(self, lake: Lake) -> None:
        """Two machines, whose monotonic clocks have nothing to do with each other."""
        btc, doge = SYMBOLS[:1], SYMBOLS[1:]
        steady = session(2000, seed=1, shard=Shard(2, 2), symbols=btc)
        first = session(500, seed=2, shard=Shard(1, 2), symbols=doge, boot_ns=10**15)
        second = session(
            500, seed=3, shard=Shard(1, 2), symbols=doge, boot_ns=7, start_us=NOON_US + 20_000_000
        )
        record(lake, steady, first, second)
        points, _ = replayed(lake)
        assert_same(points, [*live(steady).points, *live(first, second).points])

    @pytest.mark.parametrize("stamped", [True, False])
    def test_what_a_collector_lost_is_a_gap_of_every_exchange(self, lake: Lake, stamped: bool) -> None:
        received = session(300, seed=1)
        record(lake, received)
        at = received.quotes[150]
        stamps = at.received_ts_us + 1, at.received_mono_ns + 1
        lost = StreamState("", SYMBOLS, "gap", "disk full", *stamps)
        if not stamped:
            lost.received_mono_ns = None  # type: ignore[assignment]
        write_states(lake, [lost], dropped=12)
        everywhere = [StreamState(key, SYMBOLS, "gap", "disk full", *stamps) for key in EXCHANGES]
        after = received.received.index(at) + 1
        seen = Session([*received.received[:after], *everywhere, *received.received[after:]])
        assert_same(replayed(lake)[0], live(seen).points)

    def test_an_alias_is_compared_under_the_symbol_it_counts_as(self, lake: Lake) -> None:
        """OKX lists a thousand DOGE as one."""
        terms = thousands(config())
        received = session(1500, seed=5)
        received = Session([in_thousands(event) for event in received.received])
        record(lake, received)
        ran = live(received, terms=terms)
        points, events = replayed(lake, terms=terms)
        assert_same(points, ran.points)
        assert in_order(events) == in_order(ran.events)
        of_alias = {
            event.filter_id for event in events if (event.symbol, event.exchange2) == ("DOGE/USDT", "okx")
        }
        assert of_alias == {1, 2}


class TestWhatToCompute:
    def test_charts_and_what_a_filter_follows(self) -> None:
        terms = config()
        assert computable(terms) == frozenset(SYMBOLS)
        uncharted = structs.replace(terms, opportunities=())
        assert computable(uncharted) == frozenset(SYMBOLS)
        assert computable(structs.replace(uncharted, filters=())) == frozenset()

    def test_what_says_a_rate_is_read_too(self) -> None:
        terms = config()
        listings = tuple(
            structs.replace(each, quote="USDC") if each.exchange == "okx" else each for each in terms.listings
        )
        rate = structs.replace(terms.listings[0], symbol="USDC/USDT", native_id="USDCUSDT", quote="USDT")
        replay = Replay(structs.replace(terms, listings=(*listings, rate)), SYMBOLS)
        assert replay.reads == {*SYMBOLS, "USDC/USDT"}


class TestWhatIsSkipped:
    def test_quotes_of_symbols_that_are_not_fed_are_counted_by_symbol(self, lake: Lake) -> None:
        received = session(300)
        record(lake, received)
        recorded = Recorded(LakeReader(lake), frozenset(SYMBOLS[:1]))
        assert {event.symbol for event in recorded.events(NOON_US, END_US) if isinstance(event, Quote)} == {
            SYMBOLS[0]
        }
        assert dict(recorded.skipped) == {
            SYMBOLS[1]: sum(quote.symbol == SYMBOLS[1] for quote in received.quotes)
        }

    def test_quotes_without_sizes_and_monotonic_stamp_make_points_without_sizes(self, lake: Lake) -> None:
        imported = [
            structs.replace(quote, bid_size=None, ask_size=None, received_mono_ns=None)
            for quote in session(300).quotes
        ]
        write_quotes(lake, imported)
        found = by_chart(replayed(lake)[0])
        valid = np.concatenate([rows[~np.isnan(rows[:, 1])] for rows in found.values()])
        assert len(valid) > 200
        assert np.isnan(valid[:, 6:8]).all()
        assert not np.isnan(np.delete(valid, (6, 7), axis=1)).any()


def between_rows(each: SpreadPoints, start_us: int, end_us: int) -> SpreadPoints:
    times = each.points[:, 0]
    rows = each.points[(times >= start_us) & (times < end_us)]
    return SpreadPoints(each.symbol, each.exchange1, each.exchange2, rows)
