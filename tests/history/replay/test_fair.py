"""A replay opens and closes what ran live, also where rates are followed and coins judged by their prices."""

import random
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import pytest
from msgspec import structs

from engine.charts.spread import SpreadEngine
from engine.scan.lifecycle import opportunity_events
from engine.scan.scanner import Scanner
from history.lake.schema import collector_started
from history.replay.engine import Replay
from markets.config import FilterConfig, GateTerms, ListingConfig, MarketConfig, Opportunity, Shard
from markets.events import OpportunityEvent, Quote, SpreadPoints, StreamState
from markets.fees.book import Fees
from tests.support.scan.market import NOON_US, config, everywhere, listing

BOOT_NS = 77_777_000_000
EXCHANGES = ("binance", "bybit", "okx", "gate")
FOLLOWS = FilterConfig(1, "all", min_edge_bps=5.0, close_edge_bps=2.0, min_duration_ms=300)
Received = Quote | StreamState
Found = tuple[list[SpreadPoints], list[OpportunityEvent]]


def at(ms: float) -> tuple[int, int]:
    return NOON_US + round(ms * 1000), BOOT_NS + round(ms * 1_000_000)


def quote(ms: float, exchange: str, symbol: str, mid: float, late_us: int = 0) -> Quote:
    return Quote(exchange, symbol, mid * 0.9999, 5.0, mid * 1.0001, 5.0, None, *at(ms), late_us)


def started(ms: float = 0, shard: Shard | None = None) -> StreamState:
    return StreamState("", ("",), "up", collector_started(shard or Shard()), *at(ms))


def live(market: MarketConfig, received: Sequence[Received], seed: int = 0) -> Found:
    """Run as the collector's sink does: the scanner first, and at random moments what time brings."""
    dice, engine = random.Random(seed), SpreadEngine()
    scanner = Scanner(engine.set_rates)
    engine.configure(market)
    scanner.configure(market, lambda symbol: True, *at(0.01))
    points, events = [], []
    for event, following in zip(received, [*received[1:], None], strict=True):
        if isinstance(event, Quote):
            scanner.on_quote(event)
            engine.on_quote(event)
        elif event.exchange:
            scanner.on_state(event)
            engine.on_state(event)
        until_us = following.received_ts_us if following else event.received_ts_us + 90_000_000
        now_us = event.received_ts_us
        while (now_us := now_us + dice.randrange(1_000, 400_000)) < until_us:
            now_ns = event.received_mono_ns + (now_us - event.received_ts_us) * 1000
            scanner.tick(now_us, now_ns)
            engine.expire(now_ns, now_us)
        points += [
            SpreadPoints(d.symbol, d.exchange1, d.exchange2, d.points)
            for d in engine.collect()
            if len(d.points)
        ]
        events += opportunity_events(scanner.lifecycle.take(), Fees(market))
    return points, events


def replayed(market: MarketConfig, received: Iterable[Received], until_ms: float, *symbols: str) -> Found:
    replay = Replay(market, symbols)
    results = list(replay.run(received, at(until_ms)[0]))
    return [each for one in results for each in one.points], [each for one in results for each in one.events]


def in_order(events: Iterable[OpportunityEvent]) -> list[str]:
    return sorted(map(str, events))


def rows(found: Iterable[SpreadPoints]) -> dict[tuple[str, str, str], list[list[float]]]:
    charts: dict[tuple[str, str, str], list[list[float]]] = {}
    for each in found:
        charts.setdefault((each.symbol, each.exchange1, each.exchange2), []).extend(each.points.tolist())
    return charts


# --- what currencies are worth ---------------------------------------------------------------------


def with_rates() -> MarketConfig:
    """BTC in USDC on one exchange; ETH in BTC, whose least size is in USDT."""
    listings = [
        listing("binance", "BTC/USDC", counts_as="BTC/USDT"), listing("okx", "BTC/USDT"),
        listing("gate", "USDC/USDT"), listing("bybit", "USDC/USDT"),
        listing("okx", "ETH/BTC"), listing("gate", "ETH/BTC"),
    ]  # fmt: skip
    terms = GateTerms(min_size=10.0, jump_pct=1.0)
    charted = (Opportunity("BTC/USDT", "binance", "okx", 5000, (1,)),)
    return structs.replace(config(listings, FOLLOWS, gates=terms), opportunities=charted)


def walk(seed: int, minutes: float = 6) -> list[Received]:
    """Rates that wander, jump, pause for more than a minute, break off and come back; edges that tremble."""
    dice, ms = random.Random(seed), 1.0
    received: list[Received] = [started()]
    usdc, quiet_until = 1.0, {"gate": 0.0, "bybit": 0.0}
    while ms < minutes * 60_000:
        ms += dice.choice((0.3, 20, 90, 300, 900))
        what = dice.random()
        if what < 0.25:
            exchange = dice.choice(("gate", "bybit"))
            usdc = min(1.01, max(0.99, usdc * (1 + dice.gauss(0, 0.0004))))
            if ms >= quiet_until[exchange]:
                odd = 1.02 if dice.random() < 0.03 else 1.0
                received.append(quote(ms, exchange, "USDC/USDT", usdc * odd))
        elif what < 0.27:
            quiet_until[dice.choice(("gate", "bybit"))] = ms + 80_000
        elif what < 0.28:
            exchange = dice.choice(("gate", "bybit"))
            state: Literal["up", "down", "gap"] = dice.choice(("down", "gap", "up"))
            received.append(StreamState(exchange, ("USDC/USDT",), state, "no frame", *at(ms)))
        elif what < 0.75:
            exchange, symbol = dice.choice((("binance", "BTC/USDC"), ("okx", "BTC/USDT")))
            price = 100 * (1 + dice.gauss(0, 0.0015)) / (usdc if exchange == "binance" else 1)
            received.append(quote(ms, exchange, symbol, price, dice.choice((0, 0, 0, 400_000))))
        else:
            received.append(
                quote(ms, dice.choice(("okx", "gate")), "ETH/BTC", 0.05 * (1 + dice.gauss(0, 0.002)))
            )
    return received


@pytest.mark.parametrize("seed", range(4))
def test_rates_are_followed_as_they_were_live_to_the_last_bit(seed: int) -> None:
    received = walk(seed)
    points, events = replayed(with_rates(), received, 8 * 60_000, "BTC/USDT", "ETH/BTC")
    ran_points, ran = live(with_rates(), received, seed)
    assert in_order(events) == in_order(ran)
    assert len(ran) > 60
    assert {event.symbol for event in ran} == {"BTC/USDT", "ETH/BTC"}
    for chart, wanted in rows(ran_points).items():
        np.testing.assert_array_equal(np.array(rows(points)[chart]), np.array(wanted))


def test_what_ends_because_its_rate_got_old_ends_then_though_nothing_is_quoted() -> None:
    received: list[Received] = [
        started(), quote(10, "gate", "USDC/USDT", 1.0), quote(1100, "okx", "BTC/USDT", 100.6),
        quote(1200, "binance", "BTC/USDC", 100.0), quote(58_000, "binance", "BTC/USDC", 100.0),
        quote(58_100, "okx", "BTC/USDT", 100.6), quote(115_000, "binance", "BTC/USDC", 100.0),
    ]  # fmt: skip
    market = structs.replace(with_rates(), filters=(structs.replace(FOLLOWS, min_duration_ms=0),))
    _, events = replayed(market, received, 120_000, "BTC/USDT")
    assert in_order(events) == in_order(live(market, received)[1])
    closed = [(each.ts_us - NOON_US) / 1e6 for each in events if each.event == "close"]
    assert closed[-1] == pytest.approx(60.5, abs=0.6)


# --- whether coins are the same ----------------------------------------------------------------------


OTHERS = tuple(f"C{n}/USDT" for n in range(12))
X = "X/USDT"


def coins(seed: int, ratio: float, share: float, beta: float, minutes: int = 16) -> list[Received]:
    """A dozen coins with the market, and X, whose two sides share this much of what is its own."""
    dice = np.random.default_rng(seed)
    received: list[Received] = [started()]
    prices, one, two = np.full(len(OTHERS), 100.0), 100.0 * ratio, 100.0
    for step in range(minutes * 30):
        common, own, other = dice.normal(0, 1e-3), dice.normal(0, 4e-4), dice.normal(0, 4e-4)
        prices *= 1 + common + dice.normal(0, 4e-4, len(OTHERS))
        one *= 1 + beta * common + own
        two *= 1 + beta * common + share * own + (1 - share) * other
        for n, symbol in enumerate(OTHERS):
            for place, exchange in enumerate(("binance", "bybit")):
                received.append(quote(2000 * step + 10 + n + place / 10, exchange, symbol, prices[n]))
        received.append(quote(2000 * step + 100, "binance", X, one))
        received.append(quote(2000 * step + 101, "bybit", X, two))
    return received


def of_coins() -> MarketConfig:
    listings: list[ListingConfig] = everywhere(X, *OTHERS)
    return config(listings, FOLLOWS, pairs=[("binance", "bybit")], gates=GateTerms(min_size=0.0))


@pytest.mark.parametrize(
    ("ratio", "share", "beta", "opens"),
    [
        (1.05, 1.0, 1.0, True), (1.05, 1.0, 2.0, True), (1.05, 0.0, 2.0, False), (1.3, 0.0, 1.0, False),
        (1.3, 1.0, 1.0, False), (1.001, 1.0, 0.5, False),
    ],
)  # fmt: skip
def test_a_replay_of_all_coins_proves_and_doubts_as_live_did(
    ratio: float, share: float, beta: float, opens: bool
) -> None:
    received = coins(1, ratio, share, beta)
    _, events = replayed(of_coins(), received, 17 * 60_000, X, *OTHERS)
    assert in_order(events) == in_order(live(of_coins(), received)[1])
    assert any(event.event == "open" and event.symbol == X for event in events) is opens


# --- no look-ahead -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cut_ms", [30_000, 61_300, 100_000, 200_007])
def test_what_comes_later_changes_nothing_before(cut_ms: int) -> None:
    received = walk(5)
    until = at(cut_ms)[0]
    before = [event for event in received if event.received_ts_us < until]
    points, events = replayed(with_rates(), received, 8 * 60_000, "BTC/USDT", "ETH/BTC")
    cut_points, cut = replayed(with_rates(), before, cut_ms, "BTC/USDT", "ETH/BTC")
    assert in_order(cut) == in_order(event for event in events if event.ts_us < until)
    for chart, found in rows(cut_points).items():
        wanted = [row for row in rows(points)[chart] if row[0] < until]
        np.testing.assert_array_equal(np.array(found), np.array(wanted))
