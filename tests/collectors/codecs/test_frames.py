"""Meaning of each exchange's frames, quirk by quirk, on hand-written frames."""

from decimal import Decimal
from typing import Any

import pytest

from collectors.exchanges import CODECS, mexc_pb2
from collectors.exchanges.base import Codec
from core.names.market_keys import exchange_of
from markets.events import Quote, Trade
from tests.support.exchanges.codec_frames import SPOTS, gzipped, mexc_deals, mexc_push, mexc_quote
from tests.support.exchanges.swap_frames import EVERY_QUOTE, EVERY_TRADE, SWAP_SYMBOLS, made

T_US = 1_700_000_000_123_000


def codec(exchange: str, **options: Any) -> Codec:
    return made(exchange, **options)


def decoded(exchange: str, frame: str | bytes, **options: Any) -> tuple[list[Any], dict[str, int]]:
    """The events of one frame and what was counted."""
    one = codec(exchange, **options)
    return list(one.decode(frame)), dict(one.counts)


def numbers(quote: Quote) -> tuple[float, float, float, float]:
    return quote.bid, quote.bid_size, quote.ask, quote.ask_size


@pytest.mark.parametrize("exchange", CODECS)
def test_a_quote_has_both_sides_the_exchanges_time_and_our_stamps(exchange: str) -> None:
    events = codec(exchange).decode(EVERY_QUOTE[exchange], 5, 6)

    exchange_time = None if exchange == "binance" else T_US  # Binance spot sends none
    assert list(events) == [Quote(exchange, "BTC/USDT", 101.5, 2.0, 101.6, 3.0, exchange_time, 5, 6)]


@pytest.mark.parametrize("exchange", CODECS)
def test_a_trade_has_the_takers_side_the_id_as_text_and_the_exchanges_time(exchange: str) -> None:
    events = codec(exchange).decode(EVERY_TRADE[exchange], 5, 6)

    assert list(events) == [Trade(exchange, "BTC/USDT", 101.55, 0.25, "sell", "42", T_US, 5, 6)]


@pytest.mark.parametrize("exchange", [name for name in CODECS if name != "mexc"])  # one way for protobuf
@pytest.mark.parametrize("frames", [EVERY_QUOTE, EVERY_TRADE], ids=["quote", "trade"])
def test_nearly_every_frame_takes_the_fast_path(
    exchange: str, frames: dict[str, str | bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = codec(exchange)
    monkeypatch.setattr(fast, "push", lambda *_: pytest.fail("left the fast path"))
    assert list(fast.decode(frames[exchange])) == decoded(exchange, frames[exchange])[0]


@pytest.mark.parametrize("exchange", CODECS)
@pytest.mark.parametrize("frames", [EVERY_QUOTE, EVERY_TRADE], ids=["quote", "trade"])
def test_bytes_and_text_decode_alike(exchange: str, frames: dict[str, str | bytes]) -> None:
    frame = frames[exchange]
    other = frame.encode() if isinstance(frame, str) else frame
    assert decoded(exchange, other) == decoded(exchange, frame)


@pytest.mark.parametrize("exchange", CODECS)
def test_an_instrument_nobody_asked_for_is_counted_and_not_emitted(exchange: str) -> None:
    nobody = CODECS[exchange]({})
    assert list(nobody.decode(EVERY_QUOTE[exchange])) == []
    assert list(nobody.decode(EVERY_TRADE[exchange])) == []
    assert nobody.counts == {"unknown_symbol": 2}


@pytest.mark.parametrize("exchange", CODECS)
def test_symbols_may_change_while_running(exchange: str) -> None:
    symbols: dict[str, str] = {}
    running = made(exchange, symbols)
    assert not running.decode(EVERY_QUOTE[exchange])
    symbols.update(SWAP_SYMBOLS)
    assert running.decode(EVERY_QUOTE[exchange])


def quote_frame(exchange: str, bid: str, bid_size: str, ask: str, ask_size: str) -> str | bytes:
    """The exchange's quote frame with other numbers."""
    if exchange == "mexc":
        return mexc_quote(bid, bid_size, ask, ask_size)
    frame = EVERY_QUOTE[exchange]
    text = frame if isinstance(frame, str) else ""
    if exchange == "bingx":
        text = (
            '{"code":0,"dataType":"BTC-USDT@bookTicker","data":{"E":1700000000123,"s":"BTC-USDT",'
            '"b":"101.5","B":"2","a":"101.6","A":"3"}}'
        )
    for old, new in (('"101.5"', bid), ('"2"', bid_size), ('"101.6"', ask), ('"3"', ask_size)):
        text = text.replace(old, f'"{new}"', 1)
    return gzipped(text) if exchange_of(exchange) == "bingx" else text


@pytest.mark.parametrize("exchange", SPOTS)
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (("102", "2", "101", "3"), "rejected_crossed"),
        (("0", "2", "101", "3"), "rejected_zero"),
        (("100", "2", "0.000", "3"), "rejected_zero"),
        (("100", "0", "101", "3"), "rejected_zero"),
        (("100", "2", "101", "-3"), "rejected_zero"),
        (("-100", "2", "101", "3"), "rejected_zero"),
        (("NaN", "2", "101", "3"), "rejected_zero"),
        (("100", "2", "inf", "3"), "rejected_zero"),
        (("100", "2", "NaN", "3"), "rejected_zero"),
        (("1e-999999", "2", "101", "3"), "rejected_zero"),
        (("", "0", "101", "3"), "empty_side"),
        (("100", "2", "", ""), "empty_side"),
        (("abc", "2", "101", "3"), "malformed"),
        (("100", "2", "101", "1,5"), "malformed"),
    ],
)
def test_a_quote_that_cannot_be_traded_on_is_one_count_and_no_event(
    exchange: str, exact: bool, values: tuple[str, str, str, str], reason: str
) -> None:
    assert decoded(exchange, quote_frame(exchange, *values), exact=exact) == ([], {reason: 1})


@pytest.mark.parametrize("exchange", SPOTS)
def test_a_locked_book_is_a_quote_and_exponents_are_numbers(exchange: str) -> None:
    ((quote,), counts) = decoded(exchange, quote_frame(exchange, "1e-06", "1E3", "0.000001", "2.5e+1"))
    assert numbers(quote) == (1e-06, 1000.0, 1e-06, 25.0)
    assert counts == {}


@pytest.mark.parametrize("exchange", SPOTS)
def test_exact_keeps_the_exchanges_own_decimal_text(exchange: str) -> None:
    long = "0.1234567890123456789"
    ((quote,), _) = decoded(exchange, quote_frame(exchange, long, "2.000", "1.10", "1e-06"), exact=True)
    assert [str(number) for number in numbers(quote)] == [long, "2.000", "1.10", "0.000001"]
    assert all(isinstance(number, Decimal) for number in numbers(quote))
    ((trade,), _) = decoded(exchange, EVERY_TRADE[exchange], exact=True)
    assert (str(trade.price), str(trade.size)) == ("101.55", "0.25")


@pytest.mark.parametrize("exchange", [name for name in SPOTS if name != "mexc"])
def test_unquoted_numbers_are_numbers_and_exact_keeps_their_text(exchange: str) -> None:
    frame = quote_frame(exchange, "0.1234567890123456789", "1e-06", "7", "12345678901234567890.5")
    text = frame if isinstance(frame, str) else quote_text(frame)
    for number in ("0.1234567890123456789", "1e-06", "7", "12345678901234567890.5"):
        text = text.replace(f'"{number}"', number)
    ((quote,), counts) = decoded(exchange, text, exact=True)
    assert [str(number) for number in numbers(quote)] == [
        "0.1234567890123456789", "0.000001", "7", "12345678901234567890.5",
    ]  # fmt: skip
    assert counts == {}


def quote_text(frame: bytes) -> str:
    import gzip

    return gzip.decompress(frame).decode()


BINANCE_RAW = '{"u":7,"s":"BTCUSDT","b":"101.5","B":"2","a":"101.6","A":"3"}'


class TestBinance:
    def test_raw_frames_decode_like_wrapped_ones(self) -> None:
        assert decoded("binance", BINANCE_RAW) == decoded("binance", EVERY_QUOTE["binance"])

    def test_a_buyer_who_was_the_maker_means_the_taker_sold(self) -> None:
        frame = str(EVERY_TRADE["binance"])
        ((sold,), _) = decoded("binance", frame)
        ((bought,), _) = decoded("binance", frame.replace('"m":true', '"m":false'))
        assert (sold.side, bought.side) == ("sell", "buy")

    def test_a_book_ticker_may_name_its_kind(self) -> None:
        frame = '{"e":"bookTicker","u":1,"E":1,"T":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1","new":1}'
        ((quote,), counts) = decoded("binance", frame)
        assert (quote.bid, quote.ask, counts) == (1, 2, {})

    def test_times_in_microseconds_are_taken_as_they_are(self) -> None:
        frame = str(EVERY_TRADE["binance"]).replace('"T":1700000000123', '"T":1700000000123456')
        ((trade,), _) = decoded("binance", frame)
        assert trade.exchange_ts_us == 1_700_000_000_123_456

    @pytest.mark.parametrize(
        "frame",
        [
            '{"e":"24hrTicker","E":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}',
            '{"e":"aggTrade","E":1,"s":"BTCUSDT","a":1,"p":"1","q":"1","f":1,"l":1,"T":1,"m":true}',
            '{"lastUpdateId":160,"bids":[["1","1"]],"asks":[["2","1"]]}',
            '{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":1,"o":"1"}}',
        ],
        ids=["24h ticker", "aggTrade", "book of no symbol", "kline"],
    )
    @pytest.mark.parametrize("wrapped", [False, True])
    def test_other_streams_are_unknown_kinds(self, frame: str, wrapped: bool) -> None:
        frame = f'{{"stream":"x","data":{frame}}}' if wrapped else frame
        assert decoded("binance", frame) == ([], {"unknown_kind": 1})


class TestBybit:
    def test_the_push_time_serves_where_the_engines_is_missing_also_as_text(self) -> None:
        frame = '{"topic":"orderbook.1.BTCUSDT","type":"snapshot","ts":"1700000000125","data":{"s":"BTCUSDT",'
        ((quote,), _) = decoded("bybit", frame + '"b":[["101.5","2"]],"a":[["101.6","3"]]}}')
        assert quote.exchange_ts_us == 1_700_000_000_125_000

    @pytest.mark.parametrize(
        ("sides", "kind", "reason"),
        [
            ('"b":[],"a":[["101.6","3"]]', "delta", "one_sided"),
            ('"b":[["101.5","2"]]', "delta", "one_sided"),
            ('"b":[["101.5","0"],["101.4","2"]],"a":[["101.6","3"]]', "delta", "one_sided"),
            ('"b":[["101.5","2"]],"a":[]', "snapshot", "empty_side"),
        ],
    )
    def test_half_a_book_is_never_a_quote(self, sides: str, kind: str, reason: str) -> None:
        frame = f'{{"topic":"orderbook.1.BTCUSDT","type":"{kind}","ts":1,"data":{{"s":"BTCUSDT",{sides}}}}}'
        assert decoded("bybit", frame) == ([], {reason: 1})

    def test_every_trade_of_a_frame_is_an_event_and_none_is_history(self) -> None:
        frame = (
            '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":['
            '{"T":1700000000001,"s":"BTCUSDT","S":"Buy","v":"1","p":"2","i":"a"},'
            '{"T":1700000000002,"s":"BTCUSDT","S":"Sell","v":"3","p":"4","i":"b"}]}'
        )
        events, _ = decoded("bybit", frame)
        assert [(event.side, event.trade_id, event.price, event.exchange_ts_us) for event in events] == [
            ("buy", "a", 2.0, 1_700_000_000_001_000),
            ("sell", "b", 4.0, 1_700_000_000_002_000),
        ]
        assert not any(event.is_history for event in events)

    @pytest.mark.parametrize("topic", ["orderbook.rpi.BTCUSDT", "tickers.BTCUSDT", "kline.1.BTCUSDT"])
    def test_other_topics_are_unknown_kinds(self, topic: str) -> None:
        frame = f'{{"topic":"{topic}","ts":1,"type":"snapshot","data":{{"s":"BTCUSDT","b":[],"a":[]}}}}'
        assert decoded("bybit", frame) == ([], {"unknown_kind": 1})


class TestMexc:
    def test_frames_of_the_older_and_the_batched_channels_decode_too(self) -> None:
        item = mexc_pb2.BookTicker(bidPrice="1", bidQuantity="2", askPrice="3", askQuantity="4")
        old = mexc_push("spot@public.bookTicker.v3.api.pb@BTCUSDT", publicBookTicker=item)
        batch = mexc_push(
            "spot@public.bookTicker.batch.v3.api.pb@BTCUSDT",
            publicBookTickerBatch=mexc_pb2.BookTickerBatch(items=[item, item]),
        )
        ((quote,), _) = decoded("mexc", old)
        assert (quote.symbol, numbers(quote), quote.exchange_ts_us) == ("BTC/USDT", (1, 2, 3, 4), None)
        assert len(decoded("mexc", batch)[0]) == 2

    def test_unknown_fields_are_skipped(self) -> None:
        unknown = bytes([7 << 3 | 2, 2]) + b"hi"
        assert decoded("mexc", mexc_quote() + unknown) == decoded("mexc", mexc_quote())

    def test_a_deal_has_its_own_time_and_perhaps_no_id(self) -> None:
        deal = mexc_pb2.Deal(price="5", quantity="6", tradeType=1, time=1700000000123)
        ((trade,), _) = decoded("mexc", mexc_deals(deal))
        assert trade == Trade("mexc", "BTC/USDT", 5.0, 6.0, "buy", None, T_US)

    def test_a_frame_without_a_body_is_counted(self) -> None:
        frame = mexc_push("spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT", symbol="BTCUSDT")
        assert decoded("mexc", frame) == ([], {"no_body": 1})

        assert decoded("mexc", mexc_deals()) == ([], {"no_body": 1})

    @pytest.mark.parametrize("ms", [-1, 2**62])
    def test_a_time_that_cannot_be_costs_a_trade_its_time_only(self, ms: int) -> None:
        deal = mexc_pb2.Deal(price="5", quantity="6", tradeType=1, time=ms)
        ((trade,), counts) = decoded("mexc", mexc_deals(deal))
        assert (trade.price, trade.exchange_ts_us, counts) == (5.0, None, {"bad_time": 1})

    def test_klines_are_unknown_kinds(self) -> None:
        klines = mexc_push("spot@public.kline.v3.api.pb@Min1@BTCUSDT", symbol="BTCUSDT")
        assert decoded("mexc", klines) == ([], {"unknown_kind": 1})

    def test_a_push_rendered_as_json_decodes_too(self) -> None:
        frame = (
            '{"channel":"spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT","symbol":"BTCUSDT",'
            '"sendTime":"1700000000123","publicAggreBookTicker":{"bidPrice":"101.5","bidQuantity":"2",'
            '"askPrice":"101.6","askQuantity":"3","version":"7"}}'
        )
        assert decoded("mexc", frame) == decoded("mexc", mexc_quote())


class TestGate:
    @pytest.mark.parametrize(
        ("text", "us"),
        [
            ('"1606292218213.4578"', 1606292218213457),
            ('"1606292218213.999999"', 1606292218213999),
            ("1606292218213.4578", 1606292218213457),
            ('"1606292218213"', 1606292218213000),
        ],
    )
    def test_a_trades_time_keeps_its_fraction_and_is_never_rounded(self, text: str, us: int) -> None:
        frame = str(EVERY_TRADE["gate"]).replace('"1700000000123.0"', text)
        ((trade,), _) = decoded("gate", frame)
        assert trade.exchange_ts_us == us

    def test_older_frames_without_time_ms_and_lists_of_trades_decode(self) -> None:
        frame = str(EVERY_TRADE["gate"]).replace('"time_ms":1700000000130,', "")
        as_list = frame.replace('"result":{', '"result":[{').replace('"1-1"}}', '"1-1"}]}')
        assert as_list != frame
        assert decoded("gate", as_list) == decoded("gate", frame) == decoded("gate", EVERY_TRADE["gate"])

    def test_the_second_trades_channel_says_the_same(self) -> None:
        frame = str(EVERY_TRADE["gate"]).replace("spot.trades", "spot.trades_v2")
        assert decoded("gate", frame) == decoded("gate", EVERY_TRADE["gate"])

    @pytest.mark.parametrize("channel", ["spot.tickers", "spot.order_book_2", "spot.candlesticks"])
    def test_other_channels_are_unknown_kinds(self, channel: str) -> None:
        frame = f'{{"time":1,"channel":"{channel}","event":"update","result":{{"t":1,"s":"BTC_USDT"}}}}'
        assert decoded("gate", frame) == ([], {"unknown_kind": 1})


class TestKuCoin:
    TICKER = (
        '{"type":"message","topic":"/market/ticker:BTC-USDT","subject":"trade.ticker","data":{"sequence":"1",'
        '"bestAsk":"101.6","bestAskSize":"3","bestBid":"101.5","bestBidSize":"2","price":"9","size":"8",'
        '"time":1700000000123}}'
    )

    def test_the_ticker_is_a_best_bid_and_ask_too(self) -> None:
        assert decoded("kucoin", self.TICKER) == decoded("kucoin", EVERY_QUOTE["kucoin"])

    def test_the_ticker_of_all_symbols_names_the_symbol_in_its_subject(self) -> None:
        frame = self.TICKER.replace("ticker:BTC-USDT", "ticker:all").replace("trade.ticker", "ETH-USDT")
        ((quote,), _) = decoded("kucoin", frame)
        assert (quote.symbol, quote.bid) == ("ETH/USDT", 101.5)

    def test_a_ticker_without_a_time_is_a_quote_without_one(self) -> None:
        ((quote,), _) = decoded("kucoin", self.TICKER.replace(',"time":1700000000123', ""))
        assert quote.exchange_ts_us is None

    @pytest.mark.parametrize("bids", ["[]", "null"])
    def test_an_empty_side_is_counted(self, bids: str) -> None:
        frame = str(EVERY_QUOTE["kucoin"]).replace('["101.5","2"]', bids)
        assert decoded("kucoin", frame) == ([], {"empty_side": 1})

    @pytest.mark.parametrize("topic", ["/market/level3:BTC-USDT", "/market/snapshot:BTC-USDT"])
    def test_other_topics_are_unknown_kinds(self, topic: str) -> None:
        frame = f'{{"type":"message","topic":"{topic}","data":{{"asks":[["1","2"]],"time":1}}}}'
        assert decoded("kucoin", frame) == ([], {"unknown_kind": 1})


class TestOkx:
    def test_the_ticker_is_a_best_bid_and_ask_too(self) -> None:
        frame = (
            '{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT","instId":"BTC-USDT",'
            '"last":"9","lastSz":"8","askPx":"101.6","askSz":"3","bidPx":"101.5","bidSz":"2","open24h":"1",'
            '"ts":"1700000000123"}]}'
        )
        assert decoded("okx", frame) == decoded("okx", EVERY_QUOTE["okx"])

    def test_an_empty_side_is_counted(self) -> None:
        frame = str(EVERY_QUOTE["okx"]).replace('[["101.6","3","0","4"]]', "[]")
        assert decoded("okx", frame) == ([], {"empty_side": 1})

    @pytest.mark.parametrize("channel", ["books-rpi", "mark-price", "candle1D"])
    def test_other_channels_are_unknown_kinds(self, channel: str) -> None:
        frame = str(EVERY_QUOTE["okx"]).replace("bbo-tbt", channel)
        assert decoded("okx", frame) == ([], {"unknown_kind": 1})


class TestBitget:
    def test_the_ticker_is_a_best_bid_and_ask_too(self) -> None:
        frame = (
            '{"action":"snapshot","arg":{"instType":"SPOT","channel":"ticker","instId":"BTCUSDT"},"data":['
            '{"instId":"BTCUSDT","lastPr":"9","bidPr":"101.5","askPr":"101.6","bidSz":"2","askSz":"3",'
            '"ts":1700000000123}],"ts":1700000000130}'
        )
        assert decoded("bitget", frame) == decoded("bitget", EVERY_QUOTE["bitget"])

    def test_trades_from_before_the_subscription_are_marked_as_history(self) -> None:
        ((trade,), _) = decoded("bitget", str(EVERY_TRADE["bitget"]).replace("update", "snapshot"))
        assert trade.is_history
        ((trade,), _) = decoded("bitget", EVERY_TRADE["bitget"])
        assert not trade.is_history

    def test_futures_have_the_same_ids_and_are_not_taken_for_spot(self) -> None:
        frame = str(EVERY_QUOTE["bitget"]).replace('"SPOT"', '"USDT-FUTURES"')
        assert decoded("bitget", frame) == ([], {"unknown_kind": 1})

    @pytest.mark.parametrize("channel", ["rfq-trades", "candle1m"])
    def test_other_channels_are_unknown_kinds(self, channel: str) -> None:
        frame = str(EVERY_QUOTE["bitget"]).replace("books1", channel)
        assert decoded("bitget", frame) == ([], {"unknown_kind": 1})


class TestBingX:
    def frame(self, **data: object) -> str:
        import json

        fields = {"e": "bookTicker", "s": "BTC-USDT", "b": "101.5", "B": "2", "a": "101.6", "A": "3"} | data
        return json.dumps({"code": 0, "dataType": "BTC-USDT@bookTicker", "data": fields})

    def test_plain_text_decodes_like_gzip(self) -> None:
        frame = self.frame(E=1700000000123)
        assert (
            decoded("bingx", frame)
            == decoded("bingx", gzipped(frame))
            == decoded("bingx", EVERY_QUOTE["bingx"])
        )

    @pytest.mark.parametrize(
        ("lag_ms", "emitted"), [(5000, True), (5001, False), (1_320_000, False), (-20, True)]
    )
    def test_a_frozen_book_is_dropped(self, lag_ms: int, emitted: bool) -> None:
        events, counts = decoded("bingx", self.frame(E=1700000000123, T=1700000000123 - lag_ms))
        assert (len(events), counts) == ((1, {}) if emitted else (0, {"frozen": 1}))

    def test_text_times_and_text_booleans_are_understood(self) -> None:
        frame = (
            '{"code":0,"dataType":"BTC-USDT@trade","Success":true,"data":{"e":"trade","E":"1700000000124",'
            '"s":"BTC-USDT","t":"42","p":"101.55","q":"0.25","T":"1700000000123","m":"true"}}'
        )
        assert decoded("bingx", frame) == decoded("bingx", EVERY_TRADE["bingx"])

    def test_a_list_of_trades_without_ids_decodes(self) -> None:
        frame = (
            '{"code":0,"dataType":"BTC-USDT@trade","data":[{"q":"1","p":"2","T":3,"m":false,"s":"BTC-USDT"},'
            '{"q":"4","p":"5","T":6,"m":true,"s":"BTC-USDT"}]}'
        )
        events, _ = decoded("bingx", frame)
        assert [(event.side, event.trade_id, event.price) for event in events] == [
            ("buy", None, 2.0),
            ("sell", None, 5.0),
        ]

    def test_the_24h_ticker_where_upper_case_is_the_price_is_an_unknown_kind(self) -> None:
        frame = self.frame(e="24hTicker").replace("@bookTicker", "@ticker")
        assert decoded("bingx", frame) == ([], {"unknown_kind": 1})

    @pytest.mark.parametrize("cut", [5, -1, -9])
    def test_a_gzip_member_cut_short_is_malformed(self, cut: int) -> None:
        assert decoded("bingx", bytes(EVERY_QUOTE["bingx"])[:cut]) == ([], {"malformed": 1})  # type: ignore[arg-type]

    def test_a_gzip_bomb_is_malformed_and_costs_no_memory(self) -> None:
        assert decoded("bingx", gzipped(" " * 50_000_000)) == ([], {"malformed": 1})
