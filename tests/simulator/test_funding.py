"""Funding of the simulated swaps: a rate that moves, intervals and grids, and what settling shows."""

import asyncio
import json
import time
from itertools import pairwise
from typing import Any

import aiohttp
import numpy as np
import pytest

from simulator import catalogue
from simulator.catalogue import EXCHANGES, SWAPS
from simulator.funding import FundingClock
from simulator.market import Market
from simulator.server import Simulator
from simulator.swaps import Terms, terms_of
from tests.support.exchanges.simulator_client import connect

HOUR_MS = 3_600_000
EIGHT = Terms(8, 0, 0.02, -0.02)
NOON_MS = 1_796_126_400_000 - 1_796_126_400_000 % (24 * HOUR_MS) + 12 * HOUR_MS
BTC = "BTC/USDT:USDT"


def clock(
    *, seed: int = 1, scale: float = 1.0, recomputed: bool = False, settling_s: float = 60
) -> FundingClock:
    """The funding of one market."""
    return FundingClock("gate:swap", seed, scale, recomputed=recomputed, settling_s=settling_s)


def test_the_same_seed_gives_the_same_funding_and_another_one_does_not() -> None:
    assert clock().state(BTC, EIGHT, NOON_MS) == clock().state(BTC, EIGHT, NOON_MS)
    assert clock().state(BTC, EIGHT, NOON_MS).rate != clock(seed=2).state(BTC, EIGHT, NOON_MS).rate


def test_the_next_settlement_is_on_the_grid_of_its_interval() -> None:
    for hours, offset, first, following in ((8, 0, 16, 24), (4, 0, 16, 20), (1, 0, 13, 14), (8, 7, 15, 23)):
        terms = Terms(hours, offset, 0.02, -0.02)
        state = clock().state(BTC, terms, NOON_MS + 1)
        midnight = NOON_MS - 12 * HOUR_MS
        assert (state.next_ms - midnight) / HOUR_MS == first
        assert state.following_ms is not None
        assert (state.following_ms - midnight) / HOUR_MS == following
        assert state.interval_s == hours * 3600
        assert (state.next_ms - state.previous_ms) / HOUR_MS == hours


def test_a_settlement_leaves_the_old_rate_under_the_new_time_for_a_while() -> None:
    at = NOON_MS + 4 * HOUR_MS
    before, during, after = (clock().state(BTC, EIGHT, at + ms) for ms in (-1, 59_999, 60_000))
    assert before.next_ms == at
    assert during.next_ms == after.next_ms == at + 8 * HOUR_MS
    assert [state.settling for state in (before, during, after)] == [False, True, False]
    last_minute = clock().state(BTC, EIGHT, at - 60_000).rate
    assert during.rate == pytest.approx(last_minute, abs=2e-6)  # the last one published, of the time before
    assert (during.previous_ms, during.previous_rate) == (at, during.rate)
    assert after.previous_rate == during.previous_rate


def test_where_it_is_recomputed_another_rate_is_settled_than_the_last_one_published() -> None:
    at = NOON_MS + 4 * HOUR_MS
    during = clock(recomputed=True).state(BTC, EIGHT, at + 1_000)
    assert during.previous_rate != during.rate
    assert during.previous_rate == pytest.approx(during.rate, rel=0.05)


def test_the_rate_moves_to_what_is_settled_and_stays_within_its_bounds() -> None:
    at = NOON_MS + 4 * HOUR_MS
    rates = [
        clock().state("SOL/USDT:USDT", EIGHT, at + 70_000 + ms).rate for ms in range(0, 8 * HOUR_MS, 600_000)
    ]
    assert len(set(rates)) > 40
    steps = [abs(b - a) for a, b in pairwise(rates)]
    assert max(steps) < 1e-4
    narrow = Terms(8, 0, 1e-6, -1e-6)
    assert all(
        -1e-6 <= clock().state(f"{base}/USDT:USDT", narrow, at).rate <= 1e-6 for base in ("SOL", "XRP", "ADA")
    )


def test_history_is_what_was_settled() -> None:
    at = NOON_MS + 4 * HOUR_MS
    history = clock().history(BTC, EIGHT, 0, at + 5, 4)
    assert [time_ms for time_ms, _ in history] == [at - n * 8 * HOUR_MS for n in range(4)]
    for time_ms, rate in history:
        state = clock().state(BTC, EIGHT, time_ms + 1)
        assert (state.previous_ms, state.previous_rate) == (time_ms, rate)
    assert clock().history(BTC, EIGHT, at - HOUR_MS, at, 4) == history[:1]


def test_a_scale_makes_the_intervals_pass_faster_and_keeps_their_names() -> None:
    state = clock(scale=0.001).state(BTC, EIGHT, NOON_MS + 1)
    assert state.next_ms - state.previous_ms == 28_800
    assert state.interval_h == 8


def test_terms_are_mostly_eight_hours_and_differ_between_exchanges() -> None:
    bases = [listing.base for listing in catalogue.listings(60)]
    hours = {key: [terms_of(key, base).interval_h for base in bases] for key in EXCHANGES}
    assert {hour for each in hours.values() for hour in each} == {1, 2, 4, 8}
    assert len({tuple(each) for each in hours.values()}) > 4
    assert all(each.count(8) > 25 for each in hours.values())
    assert terms_of("binance", "1000PEPE") == terms_of("binance", "PEPE")


def test_swaps_follow_spot_with_a_basis_and_leave_spot_as_it_was() -> None:
    listings = catalogue.listings(10)
    alone, both = Market(EXCHANGES, listings, 7), Market(EXCHANGES, listings, 7, SWAPS)
    for market in (alone, both):
        market.advance(300)
    assert alone.shown == both.shown
    spot, swap, index = np.array(both.shown), np.array(both.swaps_shown), np.array(both.index)
    assert np.all(np.abs(spot / index - 1) < 0.02)
    assert np.all(np.abs(swap / index - 1) < 0.02)
    assert 1e-5 < np.median(np.abs(np.array(both.marks) / index - 1)) < 30e-4
    assert not np.array_equal(spot, swap)
    again = Market(EXCHANGES, listings, 7, SWAPS)
    again.advance(300)
    assert again.swaps_shown == both.swaps_shown


def test_spot_and_swap_differ_by_more_than_fees_now_and_then() -> None:
    market = Market(EXCHANGES, catalogue.listings(20), 1, SWAPS)
    edges = []
    for second in range(600):
        market.advance(second)
        edges.append((np.max(market.swaps_shown, axis=0) / np.min(market.shown, axis=0) - 1) * 1e4 - 20 - 2)
    open_now = np.array(edges) > 0
    assert np.sum(open_now[1:] & ~open_now[:-1]) > 10
    assert open_now.mean() < 0.4


# --- on the wires ------------------------------------------------------------------------------------


async def test_okx_says_when_a_settlement_is_processed_and_when_it_is_settled() -> None:
    eight_hours_are_2_9_s = Simulator(exchanges=["okx:swap"], funding_scale=1e-4)
    async with eight_hours_are_2_9_s as sim, connect(sim, "okx:swap") as client, asyncio.timeout(30):
        arg = {"channel": "funding-rate", "instId": "BTC-USDT-SWAP"}
        await client.send({"op": "subscribe", "args": [arg]})
        rows: list[Any] = []
        while len({row["settFundingRate"] for row in rows if row["settState"] == "processing"}) < 2:
            rows.append((await client.until(lambda f: "data" in f))["data"][0])
        for old, new in pairwise(rows):
            if new["settState"] == "processing" and old["settState"] == "settled":
                assert int(new["fundingTime"]) > int(old["fundingTime"])
            assert int(new["nextFundingTime"]) - int(new["fundingTime"]) == 8 * HOUR_MS
        assert {row["settState"] for row in rows} == {"processing", "settled"}


async def test_kucoin_announces_settlements() -> None:
    eight_hours_are_2_9_s = Simulator(exchanges=["kucoin:swap"], symbols=1, funding_scale=1e-4)
    async with eight_hours_are_2_9_s as sim, connect(sim, "kucoin:swap") as client:
        await client.send({"id": "1", "type": "subscribe", "topic": "/contract/announcement"})
        begin = await client.until(lambda f: f.get("subject") == "funding.begin", 15)
        end = await client.until(lambda f: f.get("subject") == "funding.end", 15)
    assert begin["topic"] == "/contract/announcement"
    assert list(begin["data"]) == ["symbol", "fundingTime", "fundingRate", "timestamp"]
    assert begin["data"]["symbol"] == end["data"]["symbol"] == "XBTUSDTM"
    assert abs(begin["data"]["fundingTime"] - time.time() * 1000) < 15_000


async def test_gate_shows_the_next_settlement_in_seconds_after_each() -> None:
    async with Simulator(exchanges=["gate:swap"], funding_scale=1e-4) as sim:  # 8 h are 2.9 s
        address = sim.rest_url("gate:swap") + "/api/v4/futures/usdt/contracts/BTC_USDT"
        async with aiohttp.ClientSession() as http, asyncio.timeout(20):
            seen: list[int] = []
            while len(seen) < 3:
                async with http.get(address) as response:
                    row = json.loads(await response.text())
                assert row["funding_interval"] == 28_800
                if row["funding_next_apply"] not in seen:
                    seen.append(row["funding_next_apply"])
                await asyncio.sleep(0.1)
    assert seen == sorted(seen)
