"""A recording of two exchanges, from the wire to the charts: the spreads are those polars computes."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connections
from redis import Redis

from accounts.tokens.tokens import make_token
from core.names.chart_ids import chart_id_of
from core.names.symbols import base_of, quote_of
from markets.models import Exchange, ExchangePair, Instrument, OpportunityFilter, Symbol
from markets.seed import seed
from simulator.server import Simulator
from tests.collectors.test_collect import Process
from tests.support.live import Browser, browser, daphne, database_url

pytestmark = pytest.mark.django_db(transaction=True)

REAL = Path(settings.BASE_DIR).parent / "shared/recordings/xex_perp_20250727/s2_0706-0739utc"
MINUTE_MS = 60_000
NOON_MS = 1_760_000_400_000
RECEIVED_S = 1.0
SETTLED_S = 8.0
HEADER = "timestamp,exchange,symbol,bid1_price,bid1_volume,ask1_price,ask1_volume\n"
BY_HAND = {
    # (ms after an instant, bid): the instants are 10 minutes apart
    "binance": [[(-900, 100.0), (-300, 100.5)], [(-800, 101.0), (-10, 100.2)], [(-700, 99.0)]],
    "bybit": [[(-850, 100.1), (-100, 100.0)], [(-500, 100.4)], [(-900, 99.9), (-200, 99.5)]],
}


async def replayed(folder: Path, exchanges: tuple[str, str], speed: float) -> list[tuple[float, float]]:
    """The (time in s, spread) points that a browser got while the recording was played."""
    async with Simulator(exchanges=exchanges, replay=folder, speed=speed, replay_after=2) as simulator:
        native_ids = {key: next(iter(exchange.by_native)) for key, exchange in simulator.exchanges.items()}
        (symbol,) = {listing.symbol for listing in simulator.exchanges[exchanges[0]].by_native.values()}
        token = await sync_to_async(_set_up)(simulator.url, native_ids, symbol)
        with daphne() as web:
            async with Process(DATABASE_URL=database_url()), browser(web, token) as page:
                ended_s = await _watch(page, simulator)
    chart = page.charts[chart_id_of(symbol, *exchanges[:2])]
    points = zip(chart["timestamps"], chart["spreads"], strict=True)
    return [(time_s, spread) for time_s, spread in points if spread is not None and time_s <= ended_s]


def _set_up(url: str, native_ids: Mapping[str, str], symbol: str) -> str:
    """A desk that collects this symbol on these exchanges and nothing else; returns a token."""
    seed(url)
    row, _ = Symbol.objects.get_or_create(name=symbol, base=base_of(symbol), quote=quote_of(symbol))
    Symbol.objects.update(enabled=False)
    Symbol.objects.filter(pk=row.pk).update(enabled=True)
    Exchange.objects.exclude(key__in=native_ids).update(enabled=False)
    for key, native_id in native_ids.items():
        exchange = Exchange.objects.get(key=key)
        Instrument.objects.get_or_create(exchange=exchange, symbol=row, native_id=native_id)
    OpportunityFilter.objects.update(symbols=symbol)
    ExchangePair.objects.update(tolerance_ms=None)
    token = make_token(User.objects.create_superuser("trader"), days=1)
    connections.close_all()
    return token


async def _watch(page: Browser, simulator: Simulator) -> float:
    """Apply what comes of the recording; returns when it ended, before exchanges send again what stands."""
    ending = asyncio.create_task(simulator.replay_finished())
    has_points, ended_s, settled = False, 0.0, 0.0
    while not ending.done() or not has_points or time.monotonic() < settled:
        with suppress(TimeoutError):
            message = await page.next(seconds=1)
            has_points |= any(chart["timestamps"] for chart in message["charts"])
        if not ending.done():
            ended_s, settled = time.time() + RECEIVED_S, time.monotonic() + SETTLED_S
    return ended_s


def before_each_pause(points: list[tuple[float, float]]) -> list[float]:
    """The spreads when the three excerpts ended: the last one, and those before the two longest silences."""
    times = np.array([time_s for time_s, _ in points])
    pauses = sorted(np.argsort(np.diff(times))[-2:])
    return [points[index][1] for index in (*pauses, -1)]


def computed(recordings: Sequence[Path], instants: list[int]) -> list[float]:
    """The bid–bid spread in percent at these times, from the whole recording."""
    at = pl.DataFrame({"timestamp": instants})
    for number, path in enumerate(recordings, start=1):
        bids = pl.read_csv(path).select("timestamp", pl.col("bid1_price").alias(f"bid{number}"))
        at = at.join_asof(bids.sort("timestamp", maintain_order=True), on="timestamp", strategy="backward")
    return at.select((pl.col("bid1") / pl.col("bid2") - 1) * 100).to_series().to_list()


async def test_three_spreads_of_a_recording_written_by_hand(tmp_path: Path, empty_redis: Redis) -> None:
    instants = [NOON_MS + number * 10 * MINUTE_MS for number in range(3)]
    for key, excerpts in BY_HAND.items():
        rows = [
            f"{instant + ms},{key},BTC/USDT,{bid},2.0,{bid + 0.1},3.0\n"
            for instant, quotes in zip(instants, excerpts, strict=True)
            for ms, bid in quotes
        ]
        (tmp_path / f"{key}_BTCUSDT.csv").write_text(HEADER + "".join(rows))

    spreads = before_each_pause(await replayed(tmp_path, ("binance", "bybit"), speed=400))

    assert spreads == pytest.approx([0.5, (100.2 / 100.4 - 1) * 100, (99 / 99.5 - 1) * 100], rel=0, abs=1e-12)
    files = [tmp_path / f"{key}_BTCUSDT.csv" for key in BY_HAND]
    assert spreads == pytest.approx(computed(files, instants), rel=0, abs=1e-12)


@pytest.mark.shared
async def test_three_spreads_of_a_real_market(tmp_path: Path, empty_redis: Redis) -> None:
    """Half a minute before each of three instants is played; what lies between is a pause."""
    exchanges = ("mexc", "gate")
    whole = [REAL / f"{key}_AEVOUSDT_perp.csv.gz" for key in exchanges]
    if not all(path.exists() for path in whole):
        pytest.skip(f"needs the market recordings in {REAL}, which this machine does not have")
    first_ms = max(int(pl.read_csv(path)["timestamp"][0]) for path in whole)
    instants = [first_ms + minutes * MINUTE_MS for minutes in (5, 15, 25)]
    played = 0
    for path in whole:
        rows = pl.read_csv(path, infer_schema=False)  # every number as it was written
        time_ms = rows["timestamp"].cast(pl.Int64)
        chosen = pl.any_horizontal(time_ms.is_between(end - MINUTE_MS // 2, end) for end in instants)
        spot = pl.col("symbol").str.split(":").list.first()
        excerpt = rows.filter(chosen).with_columns(spot)  # on the spot wires, as this desk has them
        excerpt.write_csv(tmp_path / path.name.removesuffix(".gz"))
        played += len(excerpt)

    points = await replayed(tmp_path, exchanges, speed=300)

    assert len(points) > played / 2 > 100, "every quote makes a point, but for those an exchange merges"
    expected = computed(whole, instants)
    assert before_each_pause(points) == pytest.approx(expected, rel=0, abs=1e-12)
