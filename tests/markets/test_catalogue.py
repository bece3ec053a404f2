"""`sync_markets` against the simulated exchanges: real ccxt, real REST, all eight dialects."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings
from redis import Redis

from core.redis_client import async_redis, redis_client
from markets.follow.runtime import CollectorStatus, report_status
from markets.models import CatalogueSync, Exchange, Instrument, Symbol
from markets.seed import seed
from markets.selectors import current_revision, load_config
from markets.sync.catalogue import CatalogueError, fetch
from markets.sync.symbols import SyncReport
from markets.tasks import LOCK, RESIZED, RESIZED_EVERY_S, sync_markets, sync_resized
from simulator.server import Simulator


@pytest.fixture(autouse=True)
def _simulated(settings: Settings) -> None:
    """Show a server's words: those of exchanges, and of such as are simulated on this machine."""
    settings.FEED = "sim"


class Running:
    """A simulator on an event loop of its own thread, because ccxt blocks."""

    def __init__(self, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.simulator = Simulator(**options)
        self.call(self.simulator.__aenter__())

    def call(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def stop(self) -> None:
        self.call(self.simulator.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture(scope="module")
def simulated() -> Iterator[Running]:
    running = Running(symbols=25)
    yield running
    running.stop()


@pytest.fixture
def desk(db: None, simulated: Running) -> None:
    seed(simulated.simulator.url)


def table(output: str) -> dict[str, list[str]]:
    """The cells of the printed table by exchange, without the seconds and the remark."""
    lines = [line.split() for line in output.splitlines()]
    return {cells[0]: cells[1:5] for cells in lines if len(cells) >= 6}


def sync(*arguments: str) -> str:
    out = StringIO()
    call_command("sync_markets", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_all_eight_exchanges_are_synced_and_a_second_run_changes_nothing(desk: None) -> None:
    output = sync()

    assert Instrument.objects.filter(active=True).count() == 8 * 25
    assert Symbol.objects.count() == 25
    assert Symbol.objects.filter(enabled=True).count() == 20
    rows = table(output)
    for key in Exchange.objects.values_list("key", flat=True):
        assert rows[key] == ["25", "5", "0", "0"]
    before = list(Instrument.objects.values_list("pk", "native_id", "active", "quote_volume_24h"))
    assert "revision" not in sync()
    after = list(Instrument.objects.values_list("pk", "native_id", "active", "quote_volume_24h"))
    assert [row[:3] for row in after] == [row[:3] for row in before]


@pytest.mark.parametrize(
    ("key", "native_id"),
    [
        ("binance", "BTCUSDT"), ("bybit", "BTCUSDT"), ("mexc", "BTCUSDT"), ("gate", "BTC_USDT"),
        ("kucoin", "BTC-USDT"), ("okx", "BTC-USDT"), ("bitget", "BTCUSDT"), ("bingx", "BTC-USDT"),
    ],
)  # fmt: skip
def test_every_exchange_gives_names_steps_and_volume(simulated: Running, key: str, native_id: str) -> None:
    markets = {market.symbol: market for market in fetch(key, simulated.simulator.rest_url(key))}

    bitcoin = markets["BTC/USDT"]
    assert (bitcoin.native_id, bitcoin.base, bitcoin.quote, bitcoin.active) == (
        native_id,
        "BTC",
        "USDT",
        True,
    )
    assert 0 < (bitcoin.tick_size or 0) < 10
    assert 0 < (bitcoin.lot_size or 0) < 1
    assert (bitcoin.quote_volume_24h or 0) > 1_000_000


@pytest.mark.django_db
def test_one_exchange_that_does_not_answer_stops_no_other_and_fails_the_command(desk: None) -> None:
    Exchange.objects.filter(key="gate").update(rest_url="http://127.0.0.1:1/gate")
    out = StringIO()

    with pytest.raises(CommandError, match="1 of 8 exchanges failed; their rows stay as they were"):
        call_command("sync_markets", stdout=out)

    assert table(out.getvalue())["gate"] == ["–"] * 4
    assert "gate GET http://127.0.0.1:1/gate" in CatalogueSync.objects.get(exchange__key="gate").error
    assert CatalogueSync.objects.filter(error="", listed=25).count() == 7


@pytest.mark.django_db
def test_exchanges_can_be_named_even_disabled_ones(desk: None) -> None:
    Exchange.objects.filter(key="okx").update(enabled=False)

    sync("--exchange", "okx", "gate", "--exchange", "mexc")

    synced = CatalogueSync.objects.values_list("exchange__key", flat=True)
    assert sorted(synced) == ["gate", "mexc", "okx"]


@pytest.mark.django_db
def test_volumes_that_moved_reach_collectors_once_for_all_exchanges(desk: None) -> None:
    sync("--exchange", "okx", "gate")
    Instrument.objects.update(quote_volume_24h=1)
    before = current_revision()

    sync("--exchange", "okx", "gate")

    assert current_revision() == before + 1
    volumes = {row.volume for row in load_config().listings if row.exchange in ("okx", "gate")}
    assert 1 not in volumes


@pytest.mark.django_db
def test_an_unknown_exchange_is_named_with_those_that_are_known(desk: None) -> None:
    with pytest.raises(CommandError, match=r"no exchange called nope\. Known: binance, bingx"):
        sync("--exchange", "nope")


@pytest.mark.django_db
def test_an_empty_desk_says_what_to_do() -> None:
    with pytest.raises(CommandError, match=r"No exchange is enabled: run `manage.py seed`"):
        sync()


def test_an_exchange_ccxt_does_not_know_is_refused_in_words() -> None:
    with pytest.raises(CatalogueError, match="ccxt has no exchange “exchange1”"):
        fetch("exchange1")


@pytest.mark.django_db
def test_the_hourly_task_syncs_what_is_enabled(desk: None) -> None:
    Exchange.objects.filter(key="okx").update(enabled=False)

    sync_markets()

    assert CatalogueSync.objects.filter(error="").count() == 7
    assert not redis_client().exists(LOCK)


@pytest.mark.django_db
def test_the_hourly_task_leaves_the_field_to_one_that_runs(desk: None) -> None:
    with redis_client().lock(LOCK, timeout=30):
        sync_markets()

    assert not CatalogueSync.objects.exists()


@pytest.mark.django_db
def test_a_contract_size_that_collectors_find_changed_is_synced_and_asked_for_once_in_a_while(
    desk: None, empty_redis: Redis
) -> None:
    resized = [{"symbol": "ADA/USDT:USDT", "was": 12.0, "said": "120", "since_us": 1}]
    feeds: dict[str, dict[str, Any]] = {
        "gate:swap": {"resized": resized},
        "okx:swap": {"resized": []},
        "okx": {},
    }
    report(CollectorStatus("1/2", exchanges={}))
    sync_resized()
    assert not CatalogueSync.objects.exists(), "nothing was said to have changed"

    report(CollectorStatus("2/2", exchanges=feeds))
    sync_resized()
    assert list(CatalogueSync.objects.values_list("exchange__key", flat=True)) == ["gate"]

    CatalogueSync.objects.all().delete()
    report(CollectorStatus("2/2", exchanges=feeds))
    sync_resized()
    assert not CatalogueSync.objects.exists(), "its list may have the old size still: not every minute"
    assert 0 < int(str(empty_redis.ttl(RESIZED.format(exchange="gate")))) <= RESIZED_EVERY_S


def report(status: CollectorStatus) -> None:
    async def reported() -> None:
        async with async_redis() as redis:
            await report_status(redis, status)

    asyncio.run(reported())


@pytest.mark.django_db
def test_exchanges_that_fail_are_asked_again_soon_at_growing_pauses_and_not_for_ever(
    desk: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[tuple[tuple[list[str], int], int]] = []
    asked: list[set[str]] = []

    def fail(exchanges: list[Exchange]) -> list[SyncReport]:
        asked.append({exchange.key for exchange in exchanges})
        return [
            SyncReport(each.key, error="503" if each.key in ("okx", "gate") else "") for each in exchanges
        ]

    monkeypatch.setattr("markets.sync.symbols.sync_all", fail)
    monkeypatch.setattr(
        sync_markets, "apply_async", lambda args, countdown, expires: queued.append((args, countdown))
    )
    sync_markets()
    for _ in range(4):
        sync_markets(*queued[-1][0])

    assert len(asked[0]) == 8
    assert asked[1:] == [{"okx", "gate"}] * 4
    assert queued == [((["gate", "okx"], 1), 60), ((["gate", "okx"], 2), 120), ((["gate", "okx"], 3), 240)]
