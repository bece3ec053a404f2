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

from collectors.display import guessed_symbol
from collectors.exchanges import CODECS, base
from collectors.exchanges.base import Codec, Control
from collectors.exchanges.reading import compact
from collectors.exchanges.sheet import DataSheet, Topic
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
from tests.support.exchanges.codec_frames import QUOTES, SPOTS, TRADES, gzipped

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
    sides = {name: [[*map(float, row)] for row in event[name]] for name in ("bids", "asks") if name in event}
    return event | sides | {name: float(event[name]) for name in names if name in event}


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
