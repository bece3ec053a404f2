"""`manage.py decode EXCHANGE --market swap`: units of sizes, mark prices, funding, what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from collectors.display import guessed_swap
from collectors.exchanges.bingx import inflated
from core.names.market_keys import exchange_of
from markets.models import Exchange, Instrument, Symbol
from tests.collectors.codecs.test_fuzz import places
from tests.collectors.decode.test_command import VISIBLE, Decoded, line, numbers, run
from tests.support.exchanges.codec_frames import SWAPS
from tests.support.exchanges.swap_frames import SAID, SWAP_QUOTES, SWAP_TRADES

pytestmark = pytest.mark.django_db

IN_CONTRACTS = ("mexc", "gate", "kucoin", "okx")


@pytest.mark.parametrize("market", SWAPS)
@pytest.mark.parametrize("way", [(), ("--as-collector",)])
def test_sizes_of_swaps_are_in_the_frames_own_unit_which_is_named(
    market: str, way: tuple[str, ...], tmp_path: Path
) -> None:
    exchange = exchange_of(market)
    frames = [line(SWAP_QUOTES[market]), line(SWAP_TRADES[market])]

    quote, trade = Decoded(exchange, frames, tmp_path, "--market", "swap", *way).events

    unit, sizes = ("contract", [40, 60, 5]) if exchange in IN_CONTRACTS else ("base", [2, 3, 0.25])
    assert {name: value for name, value in quote.items() if "size" not in name} == {
        "type": "quote", "exchange": exchange, "symbol": "BTC/USDT:USDT", "bid": "101.5", "ask": "101.6",
        "exchange_ts_us": 1700000000123000, "unit": unit,
    }  # fmt: skip
    assert {name: value for name, value in trade.items() if name != "size"} == {
        "type": "trade", "exchange": exchange, "symbol": "BTC/USDT:USDT", "price": "101.55", "side": "sell",
        "trade_id": "42", "exchange_ts_us": 1700000000123000, "unit": unit,
    }  # fmt: skip
    assert [float(size) for size in (quote["bid_size"], quote["ask_size"], trade["size"])] == sizes


@pytest.mark.parametrize("market", SWAPS)
def test_with_a_contract_size_they_are_in_coins(market: str, tmp_path: Path) -> None:
    frames = [line(SWAP_QUOTES[market]), line(SWAP_TRADES[market])]
    options = ("--market", "swap", "--contract-size", "0.05")
    quote, trade = Decoded(exchange_of(market), frames, tmp_path, *options).events
    assert (quote["unit"], trade["unit"]) == ("base", "base")
    sizes = [float(size) for size in (quote["bid_size"], quote["ask_size"], trade["size"])]
    assert sizes == [2.0, 3.0, 0.25]


@pytest.mark.parametrize("size", ["0", "-1", "NaN", "Infinity", "abc", "", "1e400", "1e-400", "1_0"])
def test_a_contract_size_that_is_none_is_an_error_that_says_what_to_give(size: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=f"--contract-size '{size}': give the coins in one contract"):
        Decoded("gate", [], tmp_path, "--market", "swap", f"--contract-size={size}")


def test_mark_prices_and_funding_are_printed_with_all_their_fields(tmp_path: Path) -> None:
    frames = [line(SAID["gate:swap"][0]), line(SAID["okx:swap"][2])]
    gate = Decoded("gate", frames[:1], tmp_path, "--market", "swap")
    assert gate.events == [
        {"type": "mark", "exchange": "gate", "symbol": "BTC/USDT:USDT", "mark": "100.51", "index": "100.49",
         "exchange_ts_us": 1700000000123000},
        {"type": "funding", "exchange": "gate", "symbol": "BTC/USDT:USDT", "rate": "0.0001",
         "next_ts_us": 1700006400000000, "interval_s": 28800, "settled_rate": None, "settled_ts_us": None,
         "cap": None, "floor": None, "exchange_ts_us": 1700000000123000},
    ]  # fmt: skip
    assert "gate: mark 1, funding 1" in gate.err
    (okx,) = Decoded("okx", frames[1:], tmp_path, "--market", "swap").events
    assert okx == {
        "type": "funding", "exchange": "okx", "symbol": "BTC/USDT:USDT", "rate": "0.0001",
        "next_ts_us": 1700006400000000, "interval_s": 14400, "settled_rate": "0.00008",
        "settled_ts_us": 1699992000000000, "cap": "0.00375", "floor": "-0.00375",
        "exchange_ts_us": 1700000000123000,
    }  # fmt: skip


IN_COIN = {
    "binance": '{"stream":"btcusd_perp@bookTicker","data":{"e":"bookTicker","u":9,"s":"BTCUSD_PERP",'
    '"b":"100.5","B":"3","a":"100.6","A":"1","T":1700000000001,"E":1700000000002,"st":2}}',
    "bybit": '{"topic":"orderbook.1.BTCUSD","type":"snapshot","ts":1700000000001,"data":{"s":"BTCUSD",'
    '"b":[["100.5","3"]],"a":[["100.6","1"]],"u":2,"seq":1}}',
    "okx": '{"arg":{"channel":"bbo-tbt","instId":"BTC-USD-SWAP"},"data":[{"asks":[["100.6","1","0","1"]],'
    '"bids":[["100.5","3","0","1"]],"ts":"1700000000001","seqId":1}]}',
    "gate": '{"time":1700000000,"channel":"futures.book_ticker","event":"update","result":{"t":1700000000001,'
    '"u":2,"s":"BTC_USD","b":"100.5","B":3,"a":"100.6","A":1}}',
    "kucoin": '{"topic":"/contractMarket/tickerV2:XBTUSDM","subject":"tickerV2","data":{"symbol":"XBTUSDM",'
    '"sequence":9,"bestBidSize":3,"bestBidPrice":"100.5","bestAskPrice":"100.6","bestAskSize":1,'
    '"ts":1700000000001000000}}',
    "bitget": '{"action":"snapshot","arg":{"instType":"COIN-FUTURES","channel":"books1","instId":"BTCUSD"},'
    '"data":[{"asks":[["100.6","1"]],"bids":[["100.5","3"]],"ts":"1700000000001"}],"ts":1700000000002}',
    "mexc": '{"symbol":"BTC_USD","data":{"asks":[[100.6,1,1]],"bids":[[100.5,3,1]],"version":5},'
    '"channel":"push.depth.full","ts":1700000000001}',
    "bingx": '{"code":0,"dataType":"BTC-USD@bookTicker","data":{"e":"bookTicker","u":1,"E":1700000000001,'
    '"T":1700000000001,"s":"BTC-USD","b":"100.5","B":"3","a":"100.6","A":"1"}}',
}


@pytest.mark.parametrize("exchange", IN_COIN)
def test_a_swap_margined_in_its_own_coin_is_never_in_coins_and_said_not_to_be_followed(
    exchange: str, tmp_path: Path
) -> None:
    """Bitget counts coins there too."""
    frames = [line(IN_COIN[exchange])] * 2
    decoded = Decoded(exchange, frames, tmp_path, "--market", "swap")
    unit = "base" if exchange == "bitget" else "contract"
    assert [(each["symbol"], each["bid_size"], each["unit"]) for each in decoded.events] == [
        ("BTC/USD:BTC", "3", unit)
    ] * 2
    words = "BTC/USD:BTC is margined in its own coin: collectors do not follow it"
    assert decoded.err.count(words) == 1

    sized = Decoded(exchange, frames, tmp_path, "--market", "swap", "--contract-size", "100")
    assert len(sized.events) == (2 if exchange == "bitget" else 0)
    assert ("not in coins 2" in sized.err) == (exchange != "bitget")
    assert words in sized.err


def test_a_frame_of_all_markets_is_one_event_after_another(tmp_path: Path) -> None:
    row = json.loads(str(SAID["binance:swap"][0]))["data"]
    other = row | {"s": "BTCUSD_PERP", "st": 2}
    for frame in ([row, other], {"stream": "!markPrice@arr@1s", "data": [row, other]}):
        decoded = Decoded("binance", [line(frame)], tmp_path, "--market", "swap")
        assert [(each["type"], each["symbol"]) for each in decoded.events] == [
            ("mark", "BTC/USDT:USDT"), ("funding", "BTC/USDT:USDT"),
            ("mark", "BTC/USD:BTC"), ("funding", "BTC/USD:BTC"),
        ]  # fmt: skip
        assert decoded.events[0]["mark"] == "100.51"
    others = [[{"e": "24hrMiniTicker", "s": "BTCUSDT"}], {"stream": "!markPrice@arr", "data": []}]
    ignored = Decoded("binance", list(map(line, others)), tmp_path, "--market", "swap")
    assert "binance: unknown_kind 2" in ignored.err


def test_what_a_collector_multiplied_is_printed_without_the_noise_of_floats(tmp_path: Path) -> None:
    """3 contracts of 0.1 coins are 0.30000000000000004 as float64."""
    frame = line(str(SWAP_QUOTES["gate:swap"]).replace('"B":40', '"B":3'))
    options = ("--market", "swap", "--contract-size", "0.1", "--as-collector")
    (quote,) = Decoded("gate", [frame], tmp_path, *options).events
    assert (quote["bid_size"], quote["ask_size"]) == ("0.3", "6.0")


def test_the_first_line_of_each_kind_that_is_refused_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    frame = json.loads(str(SAID["gate:swap"][0]))
    (row,) = frame["result"]
    bad = [
        row | {"funding_next_apply": 1_600_000_000},
        row | {"funding_rate": "7"},
        row | {"mark_price": "0"},
    ]
    lines = [line(frame | {"result": [each]}) for each in (row, *bad, bad[0])]
    decoded = Decoded("gate", lines, tmp_path, "--market", "swap")
    assert decoded.err.splitlines() == [
        "line 2: bad_next: the next settlement has passed or cannot be: unknown",
        "line 3: bad_funding: a funding rate, cap or floor cannot be: unknown",
        "line 4: bad_mark: a mark or index price cannot be: unknown",
        "gate: mark 5, funding 4, bad_next 2, bad_funding 1, bad_mark 1",
    ]


def test_answers_of_rest_about_funding_are_read_and_other_answers_passed_over(tmp_path: Path) -> None:
    row = {"symbol": "BTC_USDT", "fundingRate": 0.0001, "maxFundingRate": 0.003, "minFundingRate": -0.003,
           "collectCycle": 4, "nextSettleTime": 1700006400000, "timestamp": 1700000000123}  # fmt: skip
    lines = [
        line({"success": True, "code": 0, "data": [row]}, channel="rest_funding"),
        line([{"symbol": "BTC_USDT"}], channel="rest_symbols"),
    ]
    decoded = Decoded("mexc", lines, tmp_path, "--market", "swap")
    assert [(each["rate"], each["interval_s"], each["cap"]) for each in decoded.events] == [
        ("0.0001", 14_400, "0.003")
    ]
    assert "mexc: funding 1, answers of REST 1" in decoded.err
    adjusted = [{"symbol": "ETHUSDT", "fundingIntervalHours": 1, "adjustedFundingRateCap": "0.02"}]
    (funding,) = Decoded(
        "binance", [line(adjusted, channel="rest_funding")], tmp_path, "--market", "swap"
    ).events
    assert (funding["symbol"], funding["interval_s"], funding["cap"]) == ("ETH/USDT:USDT", 3600, "0.02")
    bybit = Decoded("bybit", [line({"data": []}, channel="rest_funding")], tmp_path, "--market", "swap")
    assert "bybit: unknown_kind 1" in bybit.err, "its channels say all of it"


def test_symbols_of_swaps_are_those_the_database_has_of_swaps(tmp_path: Path) -> None:
    gate = Exchange.objects.create(key="gate", name="Gate", taker_fee_bps=10, maker_fee_bps=10)
    for name, kind in (("X/USDT", "spot"), ("1000X/USDT:USDT", "swap")):
        symbol = Symbol.objects.create(name=name, base="X", quote="USDT", kind=kind)
        Instrument.objects.create(
            exchange=gate, symbol=symbol, native_id="X_USDT", kind=kind, contract_size=1
        )
    frame = line(str(SWAP_QUOTES["gate:swap"]).replace("BTC_USDT", "X_USDT"))
    (quote,) = Decoded("gate", [frame], tmp_path, "--market", "swap").events
    assert quote["symbol"] == "1000X/USDT:USDT"


@pytest.mark.parametrize(
    ("native_id", "symbol"),
    [
        ("BTCUSDT", "BTC/USDT:USDT"), ("BTCUSDC", "BTC/USDC:USDC"), ("1000PEPEUSDT", "1000PEPE/USDT:USDT"),
        ("BTC_USDT", "BTC/USDT:USDT"), ("BTC-USDT", "BTC/USDT:USDT"), ("BTC-USDC", "BTC/USDC:USDC"),
        ("BTC-USDT-SWAP", "BTC/USDT:USDT"), ("BTC-USDC-SWAP", "BTC/USDC:USDC"),
        ("XBTUSDTM", "BTC/USDT:USDT"), ("XBTUSDCM", "BTC/USDC:USDC"), ("ETHUSDTM", "ETH/USDT:USDT"),
        ("BTCPERP", "BTC/USDC:USDC"), ("MXUSDT", "MX/USDT:USDT"), ("币安人生_USDT", "币安人生/USDT:USDT"),
        ("BTC_USD", "BTC/USD:BTC"), ("UNI-USD-SWAP", "UNI/USD:UNI"), ("XBTUSDM", "BTC/USD:BTC"),
        ("BTC-26DEC25", None), ("BTC-6JAN23-17500-C", None), ("ETHUSD_231229", None), ("", None),
        ("USDT", None), ("PERP", None), ("-SWAP", None), ("BTC_USDT_20220318", None),
    ],
)  # fmt: skip
def test_symbols_of_swaps_are_guessed_as_ccxt_writes_them(native_id: str, symbol: str | None) -> None:
    assert guessed_swap(native_id) == symbol


@pytest.mark.shared
@pytest.mark.skipif(not VISIBLE.is_dir(), reason=f"no recorded frames: {VISIBLE} is missing")
@pytest.mark.parametrize("market", SWAPS)
def test_as_collector_agrees_on_every_real_frame_of_swaps(market: str, tmp_path: Path) -> None:
    exchange = exchange_of(market)
    files = [path for part in ("swap", "common") for path in (VISIBLE / exchange / part).glob("*.jsonl")]
    lines = [each for path in files if "rest_" not in path.name for each in path.read_text().splitlines()]
    exact, fast = (
        Decoded(exchange, lines, tmp_path, "--market", "swap", *way) for way in ((), ("--as-collector",))
    )
    assert list(map(said, exact.events)) == list(map(said, fast.events)) != []
    assert exact.err == fast.err, "the same is counted"


def said(event: dict[str, Any]) -> dict[str, Any]:
    """A printed event whose numbers are floats."""
    names = ("mark", "index", "rate", "settled_rate", "cap", "floor")
    return numbers(event) | {name: float(event[name]) for name in names if event.get(name) is not None}


def test_help_teaches_the_unit_of_sizes_and_the_contract_size() -> None:
    text = run("--help").stdout.decode()
    assert '"unit":"contract"' in text
    assert "--contract-size N" in text
    assert "manage.py decode gate --market swap --contract-size 0.0001" in text


@pytest.mark.parametrize("market", SWAPS)
def test_a_line_without_any_one_of_its_fields_is_printed_or_counted(market: str, tmp_path: Path) -> None:
    """Found by chance: a ticker that names no instrument ended the command."""
    lines = []
    for frame in (SWAP_QUOTES[market], SWAP_TRADES[market], *SAID[market]):
        whole = inflated(frame)
        for name in sorted({key for _, key in places(json.loads(whole)) if isinstance(key, str)}):
            message = json.loads(whole)
            for holder, key in list(places(message)):
                if key == name:
                    holder.pop(name, None)
            lines.append(line(json.dumps(message)))

    said = Decoded(exchange_of(market), lines, tmp_path, "--market", "swap")

    assert said.events
    assert re.search(r"unknown_symbol \d|malformed \d|unknown_kind \d", said.err)
    assert "bad lines" not in said.err
