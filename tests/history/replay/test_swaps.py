"""A replay of swaps judges funding and mark prices as its collector did, though the lake has only changes."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from msgspec import structs

from engine.scan.lifecycle import opportunity_events
from engine.scan.scanner import Scanner
from history.lake.tables import Lake
from history.read.reader import LakeReader
from history.read.recorded import Recorded
from history.replay.engine import LEAD_IN_US, Replay
from history.write.swaps import Changes
from markets.config import ExchangeConfig, FilterConfig, GateTerms, ListingConfig, MarketConfig, PairConfig
from markets.events import Funding, MarkPrice, OpportunityEvent, Quote
from markets.fees.book import Fees
from tests.support.lakes.lake_data import write, write_quotes

US = 1_000_000
BEGIN_US = 1_760_000_400 * US  # 9:00 UTC
BEGIN_NS = 5_000_000_000
SYMBOL, COIN = "BTC/USDT:USDT", "BTC/USDT"
KEYS = ("bybit:swap", "gate:swap")
MARKET = MarketConfig(
    revision=1,
    exchanges=tuple(ExchangeConfig(key, key, True, 5.0, 5.0) for key in KEYS),
    instruments=frozenset(),
    opportunities=(),
    filters=(
        FilterConfig(
            1, "held", min_edge_bps=5.0, min_size=0.0, min_net_edge_bps=20.0, pair_kinds=("swap-swap",)
        ),
    ),
    listings=tuple(
        ListingConfig(key, SYMBOL, "BTC", "BTC", "USDT", COIN, 1.0, 1e6, True, "trading") for key in KEYS
    ),
    pairs=(PairConfig(*KEYS, None),),
    gates=GateTerms(min_size=0.0, max_unproven_edge_bps=1e6),
)

Event = Quote | Funding | MarkPrice


def recording() -> list[Event]:
    """An hour and a half: quotes each 2 s, funding said every minute, marks every 2 s; both seldom change."""
    events: list[Event] = []
    for second in range(0, 5400, 2):
        us, ns = BEGIN_US + second * US, BEGIN_NS + second * 1_000_000_000
        wide = second // 300 % 2
        for key, bid in zip(KEYS, (100.6 if wide else 100.1, 99.9), strict=True):
            if second % 60 == 0:
                rate = -0.002 if key == "bybit:swap" and 2400 <= second < 3000 else 0.0001
                next_us = BEGIN_US + 4 * 3600 * US
                events.append(
                    Funding(key, SYMBOL, rate, next_us, 8 * 3600, received_ts_us=us, received_mono_ns=ns)
                )
            events.append(MarkPrice(key, SYMBOL, 100.3 if second < 4500 else 103.0, None, us, us, ns))
            events.append(Quote(key, SYMBOL, bid, 1.0, bid + 0.1, 1.0, None, us, ns))
    return events


def record(lake: Lake, events: Sequence[Event]) -> None:
    changes = Changes()
    write_quotes(lake, (event for event in events if isinstance(event, Quote)))
    funding = changes.funding_rows([event for event in events if isinstance(event, Funding)])
    marks = changes.mark_rows([event for event in events if isinstance(event, MarkPrice)])
    for table, rows in (("funding", funding), ("marks", marks)):
        assert len(rows) < 20, "only what changed, and the first of an hour"
        write(lake, table, pl.DataFrame([structs.asdict(row) for row in rows], infer_schema_length=None))


def live(events: Sequence[Event]) -> list[OpportunityEvent]:
    scanner = Scanner()
    scanner.configure(MARKET, lambda symbol: True, BEGIN_US, BEGIN_NS)
    for event in events:
        if isinstance(event, Quote):
            scanner.on_quote(event)
        elif isinstance(event, Funding):
            scanner.on_funding(event)
        else:
            scanner.on_mark(event)
    return opportunity_events(scanner.lifecycle.take(), Fees(MARKET))


def replayed(lake: Lake, start_us: int, end_us: int) -> list[OpportunityEvent]:
    replay = Replay(MARKET, [COIN])
    recorded = Recorded(LakeReader(lake), replay.reads)
    found: list[OpportunityEvent] = []
    for results in replay.run(recorded.events(start_us - LEAD_IN_US, end_us), end_us):
        found += results.events
    return found


def test_a_replay_of_swaps_opens_and_closes_what_the_collector_did(tmp_path: Path) -> None:
    lake, events = Lake(str(tmp_path / "lake")), recording()
    record(lake, events)
    lived = live(events)
    assert len(lived) >= 10
    assert replayed(lake, BEGIN_US, BEGIN_US + 5400 * US) == lived


def test_a_replay_that_begins_within_an_hour_knows_what_was_said_before(tmp_path: Path) -> None:
    lake, events = Lake(str(tmp_path / "lake")), recording()
    record(lake, events)
    start_us = BEGIN_US + 1800 * US
    since = [event for event in live(events) if event.ts_us >= start_us]
    again = [event for event in replayed(lake, start_us, BEGIN_US + 5400 * US) if event.ts_us >= start_us]
    assert again == since
