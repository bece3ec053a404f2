"""The catalogue sync of swaps: contract sizes by the exchange's own word, what is not followed, and why."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import Settings

from audit.models import Entry
from markets.models import CatalogueSync, Exchange, Instrument, Symbol
from markets.seed import seed
from markets.selection import listed as compared
from markets.selection import scan_pairs
from markets.selectors import current_revision, load_config
from markets.sync.catalogue import Catalogue, CatalogueError, ListedMarket, fetch, parse
from markets.sync.risk_tiers import tiers_of
from markets.sync.swaps import SwapTerms, instrument_multiplied, terms_of
from markets.sync.symbols import store, sync_all
from markets.upkeep import sync_runs
from simulator.server import Simulator
from tests.support.exchanges.exchange_rest import serving
from tests.support.swaps import pair

EXCHANGES = ("binance", "bybit", "mexc", "gate", "kucoin", "okx", "bitget", "bingx")
SIZES = {"okx": "0.01", "gate": "0.0001", "kucoin": "0.001", "mexc": "0.0001"}  # the simulator's, of BTC


# --- the simulator's eight dialects, through ccxt --------------------------------------------------------


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """A simulator on an event loop of its own thread, because ccxt blocks."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def call(work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(20)

    running = Simulator(symbols=25, traps=True)
    call(running.__aenter__())
    yield running
    call(running.__aexit__(None, None, None))
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(autouse=True)
def _simulated(settings: Settings) -> None:
    """Show a server's words, as of exchanges that are simulated on this machine."""
    settings.FEED = "sim"


@pytest.mark.parametrize("key", EXCHANGES)
def test_every_exchange_lists_its_swaps_in_coins(simulator: Simulator, key: str) -> None:
    found = {market.symbol: market for market in fetch(key, simulator.rest_url(f"{key}:swap"), market="swap")}

    bitcoin = found["BTC/USDT:USDT"]
    assert bitcoin.swap is not None
    assert (bitcoin.base, bitcoin.quote, bitcoin.swap.settle, bitcoin.active) == ("BTC", "USDT", "USDT", True)
    assert bitcoin.swap.contract_size == Decimal(SIZES.get(key, "1"))
    assert bitcoin.swap.not_followed == ""
    assert 0 < (bitcoin.tick_size or 0) < 10
    assert 0 < (bitcoin.lot_size or 0) <= Decimal(SIZES.get(key, "0.01"))
    assert (bitcoin.quote_volume_24h or 0) > 1_000_000
    assert "BTC/USDT" not in found


@pytest.mark.django_db
def test_spot_and_swaps_are_synced_side_by_side_and_a_second_run_changes_nothing(
    simulator: Simulator,
) -> None:
    seed(simulator.url)
    for row in Exchange.objects.all():
        row.swap_rest_url = simulator.rest_url(f"{row.key}:swap")
        row.swap_ws_url = simulator.ws_url(f"{row.key}:swap")
        row.save()

    call_command("sync_markets")

    outcomes = {(row.exchange.key, row.market): row.error for row in CatalogueSync.objects.all()}
    assert outcomes == {(key, market): "" for key in EXCHANGES for market in ("spot", "swap")}
    assert {run.job for run in sync_runs()} >= {"market sync okx", "market sync okx:swap"}
    assert Symbol.objects.get(name="BTC/USDT:USDT").enabled is False
    revision = current_revision()
    call_command("sync_markets")
    assert current_revision() in (revision, revision + 1)  # volumes move
    Symbol.objects.filter(kind="swap").update(enabled=True)
    pair("binance:swap", "okx")
    ids = {each.id for each in scan_pairs(load_config())}
    assert {"BTC/USDT|binance:swap|okx", "PEPE/USDT|binance:swap|okx"} <= ids


@pytest.mark.django_db
def test_a_coin_that_is_listed_by_the_thousand_and_by_itself_is_never_mixed_up(simulator: Simulator) -> None:
    """Bybit has CAT and 1000CAT, Binance 1000CAT alone, Gate CAT alone: under one name all cost the same."""
    seed(simulator.url)
    Exchange.objects.exclude(key__in=("binance", "bybit", "gate")).update(enabled=False)
    for row in Exchange.objects.filter(enabled=True):
        row.swap_rest_url = simulator.rest_url(f"{row.key}:swap")
        row.swap_ws_url = simulator.ws_url(f"{row.key}:swap")
        row.save()
    call_command("sync_markets", "--market", "swap")
    Symbol.objects.filter(base__endswith="CAT").update(enabled=True)
    for other in ("binance:swap", "gate:swap"):
        pair("bybit:swap", other)

    config = load_config()

    price = {(row.key, row.symbol.name): float(row.last_price or 0) for row in Instrument.objects.filter(
        kind="swap", symbol__base__endswith="CAT").select_related("exchange", "symbol")}  # fmt: skip
    per_coin = {
        each.counts_as: {
            each.exchange: price[each.exchange, each.symbol] / each.multiplier for each in market.values()
        }
        for name, market in compared(config).items() if name.endswith("CAT/USDT")
        for each in market.values()
    }  # fmt: skip
    assert {name: set(legs) for name, legs in per_coin.items()} == {
        "CAT/USDT": {"binance:swap", "bybit:swap", "gate:swap"}, "1000CAT/USDT": {"bybit:swap"},
    }  # fmt: skip
    for legs in per_coin.values():
        assert max(legs.values()) < 1.1 * min(legs.values())
    assert {each.id for each in scan_pairs(config) if "CAT" in each.symbol} == {
        "CAT/USDT|bybit:swap|binance:swap", "CAT/USDT|bybit:swap|gate:swap",
    }  # fmt: skip


# --- risk limits -----------------------------------------------------------------------------------------

STEPS = [
    {"from": "0", "to": "1000000", "leverage": "75"},
    {"from": "1000000", "to": "5000000", "leverage": "50"},
    {"from": "5000000", "to": "20000000", "leverage": "20"},
]


@pytest.mark.parametrize("key", EXCHANGES)
def test_risk_limits_are_known_where_the_public_is_answered_of_all_swaps_and_unknown_elsewhere(
    simulator: Simulator, key: str
) -> None:
    """Of every page: Bybit has 15 swaps on one."""
    catalogue = fetch(key, simulator.rest_url(f"{key}:swap"), market="swap")
    wanted = STEPS if key in ("gate", "bybit") else None
    assert len(catalogue) > 15
    assert catalogue.problems == []
    assert [market.swap.risk_tiers for market in catalogue if market.swap] == [wanted] * len(catalogue)


@pytest.mark.parametrize(
    "steps",
    [
        [], ["x"], [{"minNotional": 0, "maxNotional": -1, "maxLeverage": 5}],
        [{"minNotional": 5, "maxNotional": 10, "maxLeverage": 5}],  # the first steps are missing
        [{"minNotional": 0, "maxNotional": 10, "maxLeverage": None}],
        [{"minNotional": 0, "maxNotional": "NaN", "maxLeverage": 5}],
        [{"minNotional": 0, "maxNotional": 10, "maxLeverage": 5}, {"minNotional": 9, "maxNotional": 20}],
        [{"minNotional": n, "maxNotional": n + 1, "maxLeverage": 5} for n in range(201)],
    ],
)  # fmt: skip
def test_risk_limits_of_which_a_step_cannot_be_are_unknown(steps: list[Any]) -> None:
    assert tiers_of(steps) is None


def test_steps_are_plain_text_however_they_came() -> None:
    steps = [{"minNotional": 0, "maxNotional": 1e6, "maxLeverage": "12.50"}]
    assert tiers_of(steps) == [{"from": "0", "to": "1000000", "leverage": "12.50"}]


# --- contract sizes --------------------------------------------------------------------------------------


def market(**values: Any) -> dict[str, Any]:
    """A linear perpetual swap as ccxt describes it."""
    return {
        "id": "BTC_USDT", "symbol": "BTC/USDT:USDT", "base": "BTC", "quote": "USDT", "settle": "USDT",
        "baseId": "BTC", "spot": False, "swap": True, "future": False, "inverse": False, "active": True,
        "contractSize": 1.0, "expiry": None, "precision": {"price": 0.1, "amount": 1}, "info": {},
        "limits": {"amount": {"min": 1, "max": 1000}, "leverage": {"max": 125}, "cost": {}},
    } | values  # fmt: skip


@pytest.mark.parametrize(
    ("exchange", "info", "size"),
    [
        ("gate", {"quanto_multiplier": "0.0001"}, "0.0001"),
        ("gate", {"quanto_multiplier": "10000000"}, "10000000"),
        ("mexc", {"contractSize": 1e-05}, "0.00001"),
        ("kucoin", {"multiplier": 0.001}, "0.001"),
        ("okx", {"ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC"}, "0.01"),
        ("okx", {"ctVal": "0.01", "ctMult": "10", "ctValCcy": "BTC"}, "0.1"),
        ("binance", {}, "1"), ("bybit", {}, "1"), ("bitget", {"sizeMultiplier": "0.001"}, "1"),
        ("bingx", {"size": "0.0001"}, "1"),
    ],
)  # fmt: skip
def test_a_contract_size_is_the_exchanges_own_word(exchange: str, info: dict[str, Any], size: str) -> None:
    terms = terms_of(exchange, market(info=info))

    assert (terms.contract_size, terms.not_followed) == (Decimal(size), "")


@pytest.mark.parametrize(
    ("exchange", "info", "said"),
    [
        ("gate", {"quanto_multiplier": "0"}, "0"),  # ccxt makes 1 of it
        ("gate", {}, "nothing"), ("gate", {"quanto_multiplier": None}, "nothing"),
        ("gate", {"quanto_multiplier": "-12"}, "-12"), ("gate", {"quanto_multiplier": "many"}, "many"),
        ("gate", {"quanto_multiplier": "NaN"}, "NaN"), ("gate", {"quanto_multiplier": "1e400"}, "1e400"),
        ("gate", {"quanto_multiplier": "1e-30"}, "1e-30"), ("gate", {"quanto_multiplier": True}, "True"),
        ("kucoin", {"multiplier": -1}, "-1"), ("mexc", {"contractSize": [1]}, "[1]"),
        ("okx", {"ctVal": "0.01", "ctValCcy": "BTC"}, "0.01 × nothing"),
        ("okx", {"ctVal": "100", "ctMult": "1", "ctValCcy": "USD"}, "100 × 1 USD"),
        ("dreamex", {"contractSize": 1}, "nothing"),
    ],
)  # fmt: skip
def test_what_is_no_contract_size_excludes_the_swap_and_is_never_one(
    exchange: str, info: dict[str, Any], said: str
) -> None:
    terms = terms_of(exchange, market(info=info, contractSize=1.0))

    assert (terms.contract_size, terms.not_followed) == (None, f"its contract size cannot be read: “{said}”")


def test_lots_and_amounts_are_in_coins() -> None:
    rows = {
        "BTC_USDT": market(info={"quanto_multiplier": "0.0001"}), "ETH_USDT": market(id="ETH_USDT", info={}),
    }  # fmt: skip

    sized, unsized = parse(rows, {}, "gate:swap")

    assert (sized.lot_size, sized.min_amount, sized.max_amount) == (
        Decimal("0.0001"), Decimal("0.0001"), Decimal("0.1"),
    )  # fmt: skip
    assert (unsized.lot_size, unsized.min_amount, unsized.max_amount) == (None, None, None)
    assert sized.swap is not None
    assert sized.swap.max_leverage == 125


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"inverse": True, "settle": "BTC", "quote": "USD"}, "inverse: it is settled in BTC"),
        ({"future": True, "swap": False, "expiry": 1774598400000}, "dated: it is delivered on 2026-03-27"),
        ({"future": True, "swap": False}, "dated: it is no perpetual swap"),
        ({"settle": "USDC", "quote": "USD"}, "it is priced in USD and settled in USDC"),
        (
            {"settle": "USD1", "quote": "USD1"},
            "it is settled in USD1, and only what is in USDT or USDC is followed",
        ),
    ],
)
def test_other_contracts_are_listed_with_the_reason_why_they_are_not_followed(
    values: dict[str, Any], reason: str
) -> None:
    assert terms_of("bybit", market(**values)).not_followed == reason


def test_a_swap_whose_last_settlement_is_announced_keeps_its_name_and_says_when() -> None:
    announced = market(
        symbol="BTC/USDT:USDT-260327", expiry=1774598400000, info={"deliveryTime": "1774598400000"}
    )

    (found,) = parse({"BTCUSDT": announced}, {}, "bybit:swap")

    assert found.symbol == "BTC/USDT:USDT"
    assert found.swap is not None
    assert found.swap.expires_at == datetime(2026, 3, 27, 8, tzinfo=UTC)


@pytest.mark.parametrize("never", ["4133404800000", "0", "-1", "", "never", None])
def test_a_last_settlement_that_means_never_is_none(never: Any) -> None:
    assert terms_of("binance", market(info={"deliveryDate": never})).expires_at is None


def test_a_volume_of_okx_that_is_in_coins_is_said_in_quote_currency() -> None:
    rows = {"BTC-USDT-SWAP": market(info={"ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC"})}
    ticker = {"last": 100.0, "baseVolume": 900.0, "info": {"vol24h": "900", "volCcy24h": "9"}}

    (found,) = parse(rows, {"BTC-USDT-SWAP": ticker}, "okx:swap")

    assert found.quote_volume_24h == 900


# --- multiplied contracts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "coin"),
    [
        ("1000PEPE", ("PEPE", 1000)), ("1000000MOG", ("MOG", 1_000_000)), ("10000SATS", ("SATS", 10_000)),
        ("1000CAT", ("CAT", 1000)), ("1MBABYDOGE", ("BABYDOGE", 1_000_000)), ("kPEPE", ("PEPE", 1000)),
        ("1INCH", None), ("1000", None), ("PEPE", None), ("KAS", None), ("100X", None), ("2000X", None),
        ("MOG1000", None), ("", None),
    ],
)  # fmt: skip
def test_names_of_multiplied_contracts(base: str, coin: tuple[str, int] | None) -> None:
    assert instrument_multiplied(base) == coin


# --- what is stored --------------------------------------------------------------------------------------

BASES = ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA")


def listed(base: str, size: str | None = "12", **changes: Any) -> ListedMarket:
    terms = SwapTerms(
        "USDT", None if size is None else Decimal(size),
        "" if size else "its contract size cannot be read: “0”",
    )  # fmt: skip
    values: dict[str, Any] = {
        "native_id": f"{base}_USDT", "symbol": f"{base}/USDT:USDT", "base": base, "quote": "USDT",
        "active": True, "status": "trading", "tick_size": Decimal("0.01"), "lot_size": Decimal(12),
        "min_notional": None, "quote_volume_24h": Decimal(1_000_000), "swap": terms,
    }  # fmt: skip
    return ListedMarket(**(values | changes))


def catalogue(*more: ListedMarket) -> list[ListedMarket]:
    return [*(listed(base) for base in BASES), *more]


@pytest.fixture
def gate(db: None) -> Exchange:
    seed()
    return Exchange.objects.get(key="gate")


def swaps(gate: Exchange) -> dict[str, Instrument]:
    rows = Instrument.objects.filter(exchange=gate, kind="swap").select_related("symbol", "counts_as")
    return {row.native_id: row for row in rows}


def spot_rows(gate: Exchange) -> list[Any]:
    return list(Instrument.objects.filter(exchange=gate, kind="spot").order_by("pk").values())


def test_a_sync_of_swaps_touches_no_spot_row_and_the_other_way_round(gate: Exchange) -> None:
    before = spot_rows(gate)

    report = store(gate, catalogue(), market="swap")

    assert (report.exchange, report.listed, len(report.added)) == ("gate:swap", 6, 6)
    assert spot_rows(gate) == before
    row = swaps(gate)["BTC_USDT"]
    assert (row.symbol.name, row.symbol.kind, row.symbol.enabled) == ("BTC/USDT:USDT", "swap", False)
    assert (row.settle, row.contract_size, row.lot_size) == ("USDT", Decimal(12), Decimal(12))
    with pytest.raises(CatalogueError, match="it says 0 swap markets are trading where 6 were"):
        store(gate, [listed("NEW", active=False)], market="swap")
    again = list(Instrument.objects.filter(exchange=gate).order_by("pk").values_list("pk", "active"))
    store(gate, catalogue(), market="swap")
    assert list(Instrument.objects.filter(exchange=gate).order_by("pk").values_list("pk", "active")) == again


def test_risk_limits_that_could_not_be_read_this_time_are_as_they_were(gate: Exchange) -> None:
    for tiers, kept in ((STEPS, STEPS), (None, STEPS), (STEPS[:1], STEPS[:1])):
        store(
            gate, catalogue(listed("X", swap=SwapTerms("USDT", Decimal(1), risk_tiers=tiers))), market="swap"
        )
        assert swaps(gate)["X_USDT"].risk_tiers == kept
    assert swaps(gate)["BTC_USDT"].risk_tiers is None


def test_a_contract_size_that_changes_takes_effect_and_is_on_record(gate: Exchange) -> None:
    store(gate, catalogue(), market="swap")
    Symbol.objects.filter(name="ADA/USDT:USDT").update(enabled=True)
    revision = current_revision()
    assert sizes() == {"ADA/USDT:USDT": 12.0}

    report = store(gate, [*catalogue()[:-1], listed("ADA", "120")], market="swap")

    assert sizes() == {"ADA/USDT:USDT": 120.0}
    assert report.revision == current_revision() == revision + 1
    assert report.news() == {"another contract size": ["ADA_USDT: 12 → 120"]}
    row = swaps(gate)["ADA_USDT"]
    assert (row.contract_size_before, row.contract_size) == (Decimal(12), Decimal(120))
    assert row.contract_size_since is not None
    entry = Entry.objects.filter(kind="contract_size_changed").get()
    assert entry.words == "gate:swap ADA_USDT: 12 → 120"
    assert store(gate, [*catalogue()[:-1], listed("ADA", "120")], market="swap").news() == {}
    assert swaps(gate)["ADA_USDT"].contract_size_since == row.contract_size_since


def sizes() -> dict[str, float | None]:
    return {row.symbol: row.contract_size for row in load_config().instruments if row.exchange == "gate:swap"}


def test_a_contract_size_that_can_no_longer_be_read_takes_the_swap_out_and_says_so(gate: Exchange) -> None:
    store(gate, catalogue(), market="swap")
    Symbol.objects.filter(name="ADA/USDT:USDT").update(enabled=True)

    report = store(gate, [*catalogue()[:-1], listed("ADA", None)], market="swap")

    assert sizes() == {}
    assert report.problems == ["contract sizes: 1 cannot be read, not followed: ADA_USDT"]
    assert "ADA_USDT" in CatalogueSync.objects.get(exchange=gate, market="swap").error
    row = swaps(gate)["ADA_USDT"]
    assert (row.contract_size, row.active) == (None, True)
    assert row.not_followed == "its contract size cannot be read: “0”"
    assert report.news() == {"another contract size": ["ADA_USDT: 12 → unknown"]}
    assert store(gate, [*catalogue()[:-1], listed("ADA", None)], market="swap").news() == {}
    report = store(gate, [*catalogue()[:-1], listed("ADA", "120")], market="swap")
    assert report.news() == {"another contract size": ["ADA_USDT: 12 → 120"]}
    assert sizes() == {"ADA/USDT:USDT": 120.0}


def test_a_multiplied_contract_counts_as_its_coin_from_the_start(gate: Exchange) -> None:
    store(gate, catalogue(listed("1000PEPE"), listed("10000SATS")), market="swap")

    aliases = {row.native_id: row for row in swaps(gate).values() if row.counts_as}
    assert {name: (str(row.counts_as), int(row.multiplier)) for name, row in aliases.items()} == {
        "1000PEPE_USDT": ("PEPE/USDT:USDT", 1000), "10000SATS_USDT": ("SATS/USDT:USDT", 10_000),
    }  # fmt: skip
    assert Symbol.objects.get(name="SATS/USDT").kind == "spot"  # pins and cases go by the coin's name


def test_of_1000x_and_x_the_multiplied_one_counts_as_itself(gate: Exchange) -> None:
    store(gate, catalogue(listed("1000PEPE"), listed("PEPE")), market="swap")

    assert swaps(gate)["1000PEPE_USDT"].counts_as is None


def test_of_two_multiplied_contracts_of_a_coin_one_counts_as_it(gate: Exchange) -> None:
    store(gate, catalogue(listed("1000PEPE"), listed("1000000PEPE")), market="swap")

    assert [name for name, row in swaps(gate).items() if row.counts_as] == ["1000000PEPE_USDT"]


def test_what_an_operator_decided_of_a_multiplied_contract_stays(gate: Exchange) -> None:
    store(gate, catalogue(listed("1000PEPE")), market="swap")
    Instrument.objects.filter(native_id="1000PEPE_USDT").update(counts_as=None, multiplier=1)

    store(gate, catalogue(listed("1000PEPE")), market="swap")

    assert swaps(gate)["1000PEPE_USDT"].counts_as is None


def test_a_delisted_swap_is_no_longer_collected(gate: Exchange) -> None:
    store(gate, catalogue(), market="swap")

    report = store(gate, catalogue()[:-1], market="swap")

    assert report.delisted == ["ADA_USDT"]
    assert swaps(gate)["ADA_USDT"].delisted_at is not None


def test_an_answer_with_damaged_rows_costs_those_rows(gate: Exchange) -> None:
    contract = {
        "type": "direct", "quanto_multiplier": "12", "order_price_round": "0.01", "order_size_min": 1,
        "order_size_max": 1000, "status": "trading", "leverage_max": "50", "create_time": 1700000000,
        "mark_price": "1", "order_price_deviate": "0.2",
    }  # fmt: skip
    rows: list[Any] = [{"name": f"{base}_USDT", **contract} for base in BASES]
    answers = {
        "/api/v4/futures/usdt/contracts": [*rows, {"name": 7}, "what"],
        "/api/v4/futures/btc/contracts": [],
        "/api/v4/futures/usdt/tickers": [{"contract": "BTC_USDT", "last": "100", "volume_24h_quote": "7"}],
    }
    with serving(answers) as url:
        Exchange.objects.filter(pk=gate.pk).update(swap_rest_url=url)
        gate.refresh_from_db()
        (report,) = sync_all([gate], keys=["gate:swap"])

    row = swaps(gate)["BTC_USDT"]
    assert report.error == ""
    assert (row.contract_size, row.quote_volume_24h, row.max_leverage) == tuple(map(Decimal, (12, 7, 50)))
    assert row.listed_at == datetime.fromtimestamp(1700000000, UTC)
    assert "markets: " in "; ".join(report.problems)


def test_an_exchange_that_is_led_elsewhere_for_spot_is_not_asked_for_swaps(gate: Exchange) -> None:
    Exchange.objects.update(rest_url="http://127.0.0.1:9", ws_url="ws://127.0.0.1:9")

    assert list(sync_all(list(Exchange.objects.all()), keys=["gate:swap"])) == []
    assert Exchange.objects.get(key="gate").markets == ("spot",)


def test_the_sync_of_swaps_that_are_followed_no_longer_is_not_late(gate: Exchange) -> None:
    store(gate, catalogue(), market="swap")
    assert "market sync gate:swap" in {run.job for run in sync_runs()}

    Exchange.objects.update(rest_url="http://127.0.0.1:9", ws_url="ws://127.0.0.1:9")

    assert "market sync gate:swap" not in {run.job for run in sync_runs()}


def test_nothing_but_an_error_is_stored_of_an_exchange_without_swaps(gate: Exchange) -> None:
    with pytest.raises(CatalogueError, match="it lists no swap market at all"):
        store(gate, Catalogue(), market="swap")
