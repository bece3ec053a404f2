"""`manage.py decode`: frames in, events out, for an operator's eyes."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from collectors.display import guessed_swap, guessed_symbol
from collectors.exchanges import CODECS, base
from collectors.exchanges.base import Codec, Control
from collectors.exchanges.reading import compact
from collectors.exchanges.sheet import DataSheet, Topic
from core.names.market_keys import exchange_of
from markets.models import Exchange, Instrument, Symbol
from tests.support.exchanges.broken_books import (
    ABSENT,
    WITHDRAWN,
    dispensable,
    has,
    message,
    put,
    quote_with,
    wire,
)
from tests.support.exchanges.codec_frames import QUOTES, SPOTS, SWAPS, TRADES, gzipped
from tests.support.exchanges.swap_frames import SAID, SWAP_QUOTES, SWAP_TRADES

pytestmark = pytest.mark.django_db


def line(payload: Any, **more: Any) -> str:
    """One recorded line."""
    if isinstance(payload, bytes):
        payload = {"b64": base64.b64encode(payload).decode()}
    return json.dumps({"dir": "recv", "channel": "x", "payload": payload} | more)


class Decoded:
    """Output of the command."""

    def __init__(self, exchange: str, lines: Sequence[str], tmp_path: Path, *options: str) -> None:
        file = tmp_path / "frames.jsonl"
        file.write_text("\n".join(lines) + "\n")
        out, err = StringIO(), StringIO()
        call_command("decode", exchange, str(file), *options, stdout=out, stderr=err)
        self.lines = out.getvalue().splitlines()
        self.err = err.getvalue()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.lines]


@pytest.mark.parametrize("exchange", SPOTS)
def test_quotes_trades_and_control_frames_are_printed_in_order(exchange: str, tmp_path: Path) -> None:
    control = {"okx": "pong", "bitget": "pong", "bingx": "Ping", "mexc": {"id": 0, "code": 0, "msg": "PONG"},
               "binance": {"result": None, "id": 1}, "bybit": {"op": "pong"}, "kucoin": {"type": "pong"},
               "gate": {"channel": "spot.pong", "result": None}}[exchange]  # fmt: skip
    frames = [line(QUOTES[exchange]), line(control), line(TRADES[exchange])]

    decoded = Decoded(exchange, frames, tmp_path)

    time = None if exchange == "binance" else 1700000000123000
    assert decoded.events == [
        {"type": "quote", "exchange": exchange, "symbol": "BTC/USDT", "bid": "101.5", "bid_size": "2",
         "ask": "101.6", "ask_size": "3", "exchange_ts_us": time},
        {"type": "control", "kind": {"binance": "ack", "bingx": "ping"}.get(exchange, "pong")},
        {"type": "trade", "exchange": exchange, "symbol": "BTC/USDT", "price": "101.55", "size": "0.25",
         "side": "sell", "trade_id": "42", "exchange_ts_us": 1700000000123000},
    ]  # fmt: skip
    assert f"{exchange}: quote 1, control 1, trade 1" in decoded.err


def numbers(event: dict[str, Any]) -> dict[str, Any]:
    """A printed event whose numbers are floats, as they are when they run live."""
    names = ("bid", "bid_size", "ask", "ask_size", "price", "size")
    return event | {name: float(event[name]) for name in names if name in event}


def both_ways(exchange: str, lines: Sequence[str], tmp_path: Path) -> list[dict[str, Any]]:
    """Output of both ways, after a check that they agree."""
    exact, fast = (Decoded(exchange, lines, tmp_path, *way) for way in ((), ("--as-collector",)))
    assert list(map(numbers, exact.events)) == list(map(numbers, fast.events))
    assert exact.err == fast.err, "the same is counted"
    return fast.events


@pytest.mark.parametrize("exchange", SPOTS)
def test_as_collector_agrees_with_the_exact_way_on_every_kind_of_frame(exchange: str, tmp_path: Path) -> None:
    broken = [
        quote_with(exchange, **changes(exchange))
        for changes in WITHDRAWN.values()
        if all(has(exchange, place) for place in changes(exchange))
    ]
    frames = [QUOTES[exchange], *broken, TRADES[exchange], QUOTES[exchange], QUOTES[exchange][:-2]]
    if exchange != "mexc":
        for path in dispensable(exchange):
            frames += [
                wire(exchange, put(message(exchange), path, value)) for value in ("abc", None, -1, ABSENT)
            ]

    events = both_ways(exchange, [line(frame) for frame in frames], tmp_path)

    assert sum(event["type"] == "quote" for event in events) >= 2
    assert all(event["type"] != "state" for event in events), "lines are judged one by one"


@pytest.mark.parametrize("exchange", [exchange for exchange in SPOTS if exchange != "mexc"])
def test_as_collector_takes_the_fast_path_however_the_frame_was_recorded(
    exchange: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CODECS[exchange], "push", lambda *_: pytest.fail("left the fast path"))
    value = message(exchange)
    forms = [
        QUOTES[exchange],
        value,
        json.dumps(value),
    ]  # as it was on the wire, parsed, as a text with spaces
    quotes = Decoded(exchange, [line(form) for form in forms], tmp_path, "--as-collector").events
    assert [(quote["bid"], quote["ask"]) for quote in quotes] == [("101.5", "101.6")] * 3


VISIBLE = Path(settings.BASE_DIR).parent / "shared" / "wire" / "visible"


@pytest.mark.shared
@pytest.mark.skipif(not VISIBLE.is_dir(), reason=f"no recorded frames: {VISIBLE} is missing")
@pytest.mark.parametrize("exchange", SPOTS)
def test_as_collector_agrees_on_every_real_frame(exchange: str, tmp_path: Path) -> None:
    files = [path for part in ("spot", "common") for path in (VISIBLE / exchange / part).glob("*.jsonl")]
    lines = [each for path in files if "rest_" not in path.name for each in path.read_text().splitlines()]
    assert both_ways(exchange, lines, tmp_path)


def test_json_payloads_keep_the_text_of_their_numbers(tmp_path: Path) -> None:
    frame = (
        '{"payload": {"code": 0, "dataType": "SHIB-USDT@bookTicker", "data": {"e": "bookTicker",'
        ' "E": 1700000000123, "s": "SHIB-USDT", "b": 1e-06, "B": 0.1234567890123456789,'
        ' "a": 1.50E-6, "A": 12345678901234567890}}}'
    )
    (quote,) = Decoded("bingx", [frame], tmp_path).events
    assert (quote["bid"], quote["ask"]) == ("0.000001", "0.00000150")
    assert (quote["bid_size"], quote["ask_size"]) == ("0.1234567890123456789", "12345678901234567890")


def test_history_trades_are_printed_too(tmp_path: Path) -> None:
    frame = str(TRADES["bitget"]).replace("update", "snapshot")
    (trade,) = Decoded("bitget", [line(frame)], tmp_path).events
    assert trade["type"] == "trade"


def test_what_we_sent_is_skipped_and_what_emits_nothing_is_counted(tmp_path: Path) -> None:
    frames = [
        line({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}, dir="sent"),
        line({"e": "kline", "s": "BTCUSDT"}),
        line('{"stream":"btcusdt@bookTicker","da'),
        line({"u": 1, "s": "BTCUSDT", "b": "2", "B": "1", "a": "1", "A": "1"}),
    ]
    decoded = Decoded("binance", frames, tmp_path)
    assert decoded.lines == []
    assert "binance: sent by us 1, unknown_kind 1, malformed 1, rejected_crossed 1" in decoded.err


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "truncated"),
        ("not json", "malformed"),
        ('{"dir":"recv"}', "`payload`"),
        ('{"payload":{"b64":"*"}}', "base64"),
        ('{"dir":"sideways","payload":1}', "sideways"),
        ('{"x":' * 100_000, "recursion"),
    ],
)
def test_a_bad_line_is_named_and_passed_over(bad: str, said: str, tmp_path: Path) -> None:
    decoded = Decoded("okx", [line("pong"), "", bad, line("pong")], tmp_path)
    assert len(decoded.events) == 2
    (problem,) = [text for text in decoded.err.splitlines() if text.startswith("line 3: ")]
    assert said in problem
    assert "bad lines 1" in decoded.err


def test_symbols_of_the_database_go_before_guesses(tmp_path: Path) -> None:
    exchange = Exchange.objects.create(key="kucoin", name="KuCoin", taker_fee_bps=10, maker_fee_bps=10)
    symbol = Symbol.objects.create(name="BITCOIN/TETHER", base="BITCOIN", quote="TETHER")
    Instrument.objects.create(exchange=exchange, symbol=symbol, native_id="BTC-USDT")

    other = str(QUOTES["kucoin"]).replace("BTC-USDT", "ETH-USDT")
    known, guessed = Decoded("kucoin", [line(QUOTES["kucoin"]), line(other)], tmp_path).events
    assert (known["symbol"], guessed["symbol"]) == ("BITCOIN/TETHER", "ETH/USDT")


@pytest.mark.parametrize(
    ("native_id", "symbol"),
    [
        ("BTC-USDT", "BTC/USDT"), ("BTC_USDT", "BTC/USDT"), ("BTCUSDT", "BTC/USDT"), ("ETHBTC", "ETH/BTC"),
        ("BTCTUSD", "BTC/TUSD"), ("BTCFDUSD", "BTC/FDUSD"), ("USDCUSDT", "USDC/USDT"),
        ("1INCHUSD", "1INCH/USD"),
        ("币安人生USDT", "币安人生/USDT"), ("BTC-USDT-SWAP", None), ("BTC-USD-220527", None), ("USDT", None),
        ("-USDT", None), ("XYZ", None), ("", None),
    ],
)  # fmt: skip
def test_the_guess_splits_at_a_separator_or_before_a_known_quote_currency(
    native_id: str, symbol: str | None
) -> None:
    assert guessed_symbol(native_id) == symbol


def test_an_unknown_exchange_market_or_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="binance, bybit, mexc, gate, kucoin, okx, bitget, bingx"):
        call_command("decode", "binanse", "-")
    with pytest.raises(CommandError, match="unknown market 'margin': choose one of spot, swap"):
        call_command("decode", "binance", "-", market="margin")
    with pytest.raises(CommandError, match=r"cannot read .*nowhere.jsonl: No such file"):
        call_command("decode", "binance", str(tmp_path / "nowhere.jsonl"))


def run(*arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command as an operator starts it."""
    command = [sys.executable, "manage.py", "decode", *arguments]
    return subprocess.run(
        command, cwd=settings.BASE_DIR, env=os.environ | environment, input=stdin, capture_output=True,
        timeout=30, check=False,
    )  # fmt: skip


def test_it_works_from_stdin_and_without_any_database() -> None:
    frames = f"{line(gzipped('Ping'))}\n{line(QUOTES['bingx'])}\n".encode()

    done = run("bingx", "-", stdin=frames, DATABASE_URL="postgres://nobody@127.0.0.1:1/nothing")

    assert done.returncode == 0
    ping, quote = (json.loads(text) for text in done.stdout.splitlines())
    assert ping == {"type": "control", "kind": "ping"}
    assert (quote["symbol"], Decimal(quote["bid"])) == ("BTC/USDT", Decimal("101.5"))
    assert b"no symbols from the database, guessing all of them" in done.stderr
    assert b"bingx: control 1, quote 1" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", ["okx --market spot -", "okx - --market spot", "--market spot okx", "okx"]
)
def test_its_arguments_may_come_in_any_order(arguments: str) -> None:
    done = run(*arguments.split(), stdin=line("pong").encode())
    assert done.stdout == b'{"type":"control","kind":"pong"}\n', done.stderr


def test_help_teaches_with_an_example() -> None:
    text = run("--help").stdout.decode()
    assert "manage.py decode binance frames.jsonl" in text
    assert '"b64"' in text
    assert "Collectors never guess" in text


class Ninth(Codec):
    """Smallest codec that docs/add_an_exchange.md makes you write."""

    sheet = DataSheet(
        key="ninth", name="Ninth", ws_url="wss://ninth.example/ws", rest_url="https://ninth.example",
        topics_per_connection=10, topics_per_request=5, requests_per_second=1, silence_s=30,
    )  # fmt: skip

    def topics(self, native_id: str) -> tuple[Topic, Topic]:
        return Topic("quote", native_id, f"q.{native_id}"), Topic("trade", native_id, f"t.{native_id}")

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        return compact({"sub": [topic.name for topic in topics], "id": request_id})

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        return compact({"unsub": [topic.name for topic in topics], "id": request_id})

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[base.Decoded]:
        native_id, bid, bid_size, ask, ask_size = json.loads(frame)["best"]
        return self.quote(native_id, bid, bid_size, ask, ask_size, None, received_ts_us, received_mono_ns)

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        return (Control("ack"),) if frame == "ok" else self.skip("malformed")


def test_a_ninth_exchange_is_one_class_and_one_registration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(CODECS, "ninth", Ninth)
    frames = [line('{"best":["BTC_EUR","1","2","3","4"]}'), line("ok"), line("?")]
    decoded = Decoded("ninth", frames, tmp_path)
    assert decoded.events[0]["symbol"] == "BTC/EUR"
    assert decoded.events[1:] == [{"type": "control", "kind": "ack"}]
    assert "ninth: quote 1, control 1, malformed 1" in decoded.err
    with pytest.raises(CommandError, match="unknown market 'swap': choose one of spot"):
        Decoded("ninth", frames, tmp_path, "--market", "swap")
    assert len(Ninth({}).batches([Ninth({}).topics("A")[0]] * 12)) == 3


# Swaps.

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
    okx = Decoded("okx", [line({"data": []}, channel="rest_funding")], tmp_path, "--market", "swap")
    assert "okx: unknown_kind 1" in okx.err, "its channels say all of it"


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
