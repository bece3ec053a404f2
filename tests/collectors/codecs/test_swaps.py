"""Events that the swap codecs make of frames: sizes in coins, mark prices, funding."""

import json
from decimal import Decimal
from typing import Any

import pytest

from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec
from collectors.exchanges.order import Order
from collectors.exchanges.wire import ContractSize, contract_size
from core.names.market_keys import exchange_of
from markets.events import Funding, MarkPrice, Quote, StreamState, Trade
from tests.support.exchanges.broken_books import put
from tests.support.exchanges.codec_frames import SWAPS, gzipped
from tests.support.exchanges.swap_frames import (
    EVERY_QUOTE,
    EVERY_TRADE,
    MARK,
    NEXT_US,
    RATE,
    SAID,
    SWAP_QUOTES,
    SWAP_TRADES,
    made,
)

T_US = 1_700_000_000_123_000
BY_CONTRACTS = [key for key in SWAPS if CODECS[key].sheet.sized_in == "contract"]


def connected(market: str) -> Codec:
    """A codec that reads the frames of one connection."""
    codec = made(market)
    codec.order = Order()
    return codec


def said(market: str, codec: Codec | None = None) -> list[Any]:
    """All events of what an exchange says besides quotes and trades."""
    codec = codec or made(market)
    return [event for frame in SAID[market] for event in codec.decode(frame)]


def test_these_size_in_contracts_and_the_others_in_coins() -> None:
    assert {exchange_of(key) for key in BY_CONTRACTS} == {"okx", "gate", "mexc", "kucoin"}


@pytest.mark.parametrize("market", BY_CONTRACTS)
def test_contracts_become_coins_exactly(market: str) -> None:
    """40, 60 and 5 contracts of 0.05 coins, in Decimal without a float between."""
    codec = made(market, exact=True)
    (quote,), (trade,) = codec.decode(SWAP_QUOTES[market]), codec.decode(SWAP_TRADES[market])
    assert isinstance(quote, Quote)
    assert isinstance(trade, Trade)
    sizes = [quote.bid_size, quote.ask_size, trade.size]
    assert sizes == [Decimal("2.00"), Decimal("3.00"), Decimal("0.25")]
    assert all(isinstance(size, Decimal) for size in sizes)


@pytest.mark.parametrize(
    "coins", [None, 0.0, -1.0, float("nan"), float("inf"), Decimal(0), Decimal("Infinity")]
)
def test_a_contract_size_that_cannot_be_is_none(coins: Any) -> None:
    assert contract_size(coins) is None


def test_a_quote_of_contracts_is_no_quote_for_mypy() -> None:
    """The ignores are what mypy demands, and `warn_unused_ignores` would say so were they not needed."""
    from typing import TYPE_CHECKING

    if TYPE_CHECKING:
        from collectors.exchanges.wire import Contracts, SignedContracts

        def wrong(bid: Contracts, ask: Contracts, traded: SignedContracts, size: ContractSize) -> None:
            Quote("okx:swap", "BTC/USDT:USDT", 1.0, bid, 2.0, ask)  # type: ignore[arg-type]
            Trade("okx:swap", "BTC/USDT:USDT", 1.0, traded, "buy", "1")  # type: ignore[arg-type]
            bid * 0.05  # type: ignore[operator]  # not every float is a contract size
            float(bid)  # type: ignore[arg-type]
            Quote("okx:swap", "BTC/USDT:USDT", 1.0, bid * size, 2.0, ask * size)

    assert CODECS["okx:swap"].sheet.sized_in == "contract"


# What each exchange says of marks and funding, spelled out.

SPELLED_OUT: dict[str, list[MarkPrice | Funding]] = {
    "binance:swap": [
        MarkPrice("binance:swap", "BTC/USDT", *MARK, T_US),
        Funding("binance:swap", "BTC/USDT", RATE, NEXT_US, exchange_ts_us=T_US),
    ],
    "bybit:swap": [
        MarkPrice("bybit:swap", "BTC/USDT", *MARK, T_US),
        Funding("bybit:swap", "BTC/USDT", RATE, NEXT_US, 28_800, cap=0.005, exchange_ts_us=T_US),
    ],
    "mexc:swap": [
        MarkPrice("mexc:swap", "BTC/USDT", *MARK, T_US),
        Funding("mexc:swap", "BTC/USDT", RATE, NEXT_US, exchange_ts_us=T_US),
        MarkPrice("mexc:swap", "BTC/USDT", 100.51, None, T_US),
        MarkPrice("mexc:swap", "BTC/USDT", None, 100.49, T_US),
    ],
    "gate:swap": [
        MarkPrice("gate:swap", "BTC/USDT", *MARK, T_US),
        Funding("gate:swap", "BTC/USDT", RATE, NEXT_US, 28_800, exchange_ts_us=T_US),
    ],
    "kucoin:swap": [
        MarkPrice("kucoin:swap", "BTC/USDT", *MARK, T_US),
        Funding("kucoin:swap", "BTC/USDT", RATE, exchange_ts_us=T_US),
        MarkPrice("kucoin:swap", "BTC/USDT", *MARK, T_US),
        Funding(
            "kucoin:swap", "BTC/USDT", RATE, NEXT_US, 28_800, 0.00008, 1_699_977_600_000_000,
            0.003, -0.003, T_US,
        ),
    ],
    "okx:swap": [
        MarkPrice("okx:swap", "BTC/USDT", 100.51, None, T_US),
        MarkPrice("okx:swap", "BTC/USDT", None, 100.49, T_US),
        Funding(
            "okx:swap", "BTC/USDT", RATE, NEXT_US, 14_400, 0.00008, 1_699_992_000_000_000,
            0.00375, -0.00375, T_US,
        ),
    ],
    "bitget:swap": [
        MarkPrice("bitget:swap", "BTC/USDT", *MARK, T_US),
        Funding("bitget:swap", "BTC/USDT", RATE, NEXT_US, exchange_ts_us=T_US),
    ],
    "bingx:swap": [MarkPrice("bingx:swap", "BTC/USDT", 100.51, None, T_US)],
}  # fmt: skip


@pytest.mark.parametrize("market", SWAPS)
def test_marks_and_funding_are_what_the_frames_say(market: str) -> None:
    codec = connected(market)
    assert said(market, codec) == SPELLED_OUT[market]
    assert not codec.counts


@pytest.mark.parametrize("market", SWAPS)
def test_they_are_stamped_as_everything_is_and_exact_keeps_decimals(market: str) -> None:
    codec = made(market, exact=True)
    for frame in SAID[market]:
        for event in codec.decode(frame, T_US + 5, 6):
            assert (event.received_ts_us, event.received_mono_ns) == (T_US + 5, 6)  # type: ignore[union-attr]
            if isinstance(event, MarkPrice):
                prices = {event.mark, event.index} - {None}
                assert prices <= {Decimal("100.51"), Decimal("100.49")}
            if isinstance(event, Funding):
                assert event.rate == Decimal("0.0001")


@pytest.mark.parametrize("market", SWAPS)
def test_what_nobody_asked_for_is_counted_once_a_frame(market: str) -> None:
    codec = made(market, {})
    for frame in SAID[market]:
        assert not codec.decode(frame)
    assert set(codec.counts) == {"unknown_symbol"}


@pytest.mark.parametrize("market", ["bybit:swap", "bitget:swap"])
def test_a_ticker_is_a_quote_in_a_recording_and_none_beside_the_faster_channel(market: str) -> None:
    quotes = [event for event in said(market) if isinstance(event, Quote)]
    assert [(quote.bid, quote.bid_size, quote.ask, quote.ask_size) for quote in quotes] == [
        (101.5, 2, 101.6, 3)
    ]
    assert not [event for event in said(market, connected(market)) if isinstance(event, Quote)]


def test_a_ticker_of_okx_is_a_quote_in_coins_in_a_recording_only() -> None:
    frame = ('{"arg":{"channel":"tickers","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP",'
             '"askPx":"101.6","askSz":"60","bidPx":"101.5","bidSz":"40","ts":"1700000000123"}]}')  # fmt: skip
    assert list(made("okx:swap").decode(frame)) == [
        Quote("okx:swap", "BTC/USDT", 101.5, 2.0, 101.6, 3.0, T_US)
    ]
    codec = connected("okx:swap")
    assert not codec.decode(frame)
    assert codec.counts == {"unchanged": 1}


def test_a_ticker_of_bingx_has_prices_in_upper_case_and_is_a_quote_in_a_recording_only() -> None:
    frame = gzipped(
        '{"code":0,"dataType":"BTC-USDT@ticker","data":{"e":"24hTicker","E":1700000000123,'
        '"s":"BTC-USDT","c":"101","C":1699999960000,"A":"101.6","a":"3","B":"101.5","b":"2"}}'
    )
    assert list(made("bingx:swap").decode(frame)) == [
        Quote("bingx:swap", "BTC/USDT", 101.5, 2.0, 101.6, 3.0, T_US)
    ]
    codec = connected("bingx:swap")
    assert not codec.decode(frame)
    assert codec.counts == {"unchanged": 1}


@pytest.mark.parametrize(("state", "settled"), [("settled", 0.00008), ("processing", None), (None, None)])
def test_okx_says_what_was_settled_once_it_is(state: str | None, settled: float | None) -> None:
    """While it is being settled the same field has the rate of now."""
    frame = put(json.loads(SAID["okx:swap"][2]), ("data", 0, "settState"), state)
    (funding,) = connected("okx:swap").decode(json.dumps(frame))
    assert isinstance(funding, Funding)
    assert (funding.rate, funding.settled_rate) == (RATE, settled)


@pytest.mark.parametrize("market", ["binance:swap", "bybit:swap"])
def test_an_index_that_is_not_said_costs_and_counts_nothing(market: str) -> None:
    name = {"binance:swap": "i", "bybit:swap": "indexPrice"}[market]
    frame = put(json.loads(SAID[market][0]), ("data", name), "")
    codec = connected(market)
    mark, _ = codec.decode(json.dumps(frame))
    assert mark == MarkPrice(market, "BTC/USDT", 100.51, None, T_US)
    assert not codec.counts


def test_a_good_answer_of_kucoins_rest_is_no_error() -> None:
    codec = made("kucoin:swap")
    assert not codec.decode('{"code":"200000","data":{"symbol":".XBTUSDTMFPI8H","value":0.0001}}')
    assert codec.counts == {"unknown_kind": 1}


@pytest.mark.parametrize("market", [market for market in SWAPS if market != "bingx:swap"])
def test_funding_that_is_said_again_is_emitted_once_a_second_and_a_change_at_once(market: str) -> None:
    codec = connected(market)
    frame = next(
        text
        for text in SAID[market]
        if isinstance(text, str) and "0.0001" in text and "push.ticker" not in text
    )

    def rates(text: str, at_ns: int) -> list[float | None]:
        events = codec.decode(text, 1, at_ns)
        return [event.rate for event in events if isinstance(event, Funding)]

    assert rates(frame, 10**12) == [0.0001]
    assert rates(frame, 10**12 + 10**8) == []
    assert codec.counts["unchanged"] == 1
    assert rates(frame.replace("0.0001", "0.0002"), 10**12 + 2 * 10**8) == [0.0002]
    assert rates(frame, 10**12 + 3 * 10**8) == [0.0001]
    assert rates(frame, 10**12 + 13 * 10**8) == [0.0001]
    codec.order = Order()
    assert rates(frame, 10**12 + 14 * 10**8) == [0.0001], "another connection is asked for all of it"


class TestBybitsDeltas:
    """A delta says what changed; the rest is as this connection knows it."""

    def delta(self, **changed: Any) -> str:
        row = {"symbol": "BTCUSDT", **changed}
        push = {"topic": "tickers.BTCUSDT", "type": "delta", "data": row, "cs": 9002, "ts": 1700000001123}
        return json.dumps(push)

    def test_what_did_not_change_is_as_it_was(self) -> None:
        codec = connected("bybit:swap")
        said("bybit:swap", codec)
        (mark,) = codec.decode(self.delta(markPrice="100.6"))
        assert mark == MarkPrice("bybit:swap", "BTC/USDT", 100.6, 100.49, T_US + 10**6)
        (funding,) = codec.decode(self.delta(fundingRate="-0.0002"))
        assert funding == Funding(
            "bybit:swap", "BTC/USDT", -0.0002, NEXT_US, 28_800, cap=0.005, exchange_ts_us=T_US + 10**6
        )

    def test_another_connection_knows_nothing_of_it(self) -> None:
        codec = connected("bybit:swap")
        said("bybit:swap", codec)
        codec.order = Order()
        (mark,) = codec.decode(self.delta(markPrice="100.6"))
        assert mark == MarkPrice("bybit:swap", "BTC/USDT", 100.6, None, T_US + 10**6)

    def test_a_new_snapshot_replaces_all_that_was_known(self) -> None:
        codec = connected("bybit:swap")
        said("bybit:swap", codec)
        row = {"symbol": "BTCUSDT", "markPrice": "99"}
        snapshot = {"topic": "tickers.BTCUSDT", "type": "snapshot", "data": row, "ts": 1700000001123}
        (mark,) = codec.decode(json.dumps(snapshot))
        assert mark == MarkPrice("bybit:swap", "BTC/USDT", 99.0, None, T_US + 10**6)
        (funding,) = codec.decode(self.delta(fundingRate="0.0003"))
        assert isinstance(funding, Funding)
        assert (funding.rate, funding.next_ts_us, funding.interval_s) == (0.0003, None, None)

    def test_what_is_of_nothing_that_is_followed_is_counted(self) -> None:
        codec = connected("bybit:swap")
        assert not codec.decode(self.delta(lastPrice="100.4", bid1Price="100.3"))
        assert codec.counts == {"unchanged": 1}

    def test_it_keeps_no_more_than_the_symbols_that_are_followed(self) -> None:
        codec = connected("bybit:swap")
        for number in range(100):
            frame = self.delta(markPrice="1").replace("BTCUSDT", f"X{number}USDT")
            assert not codec.decode(frame)
        assert codec.order is not None
        assert codec.order.said == {}

    def test_in_a_recording_a_whole_best_is_a_quote_and_a_part_of_one_is_none(self) -> None:
        codec = made("bybit:swap")
        (quote,) = codec.decode(
            self.delta(bid1Price="112.89", bid1Size="2.12", ask1Price="112.90", ask1Size="5.02")
        )
        assert quote == Quote("bybit:swap", "BTC/USDT", 112.89, 2.12, 112.9, 5.02, T_US + 10**6)
        assert not codec.decode(self.delta(bid1Price="112.89"))


# The same things in the other forms that exchanges have for them.

OTHER_FORMS = [
    ("bybit:swap", '{"topic":"orderbook.1.BTCUSDT","type":"snapshot","ts":1700000000125,'
     '"data":{"s":"BTCUSDT","b":[["101.5","2"]],"a":[["101.6","3"]],"u":7,"seq":9,"cts":1700000000123}}',
     Quote("bybit:swap", "BTC/USDT", 101.5, 2.0, 101.6, 3.0, T_US)),
    ("gate:swap", '{"channel":"futures.book_ticker","event":"update","time":1700000000,"result":'
     '{"t":1700000000123,"u":5,"s":"BTC_USDT","b":"101.5","B":"40.5","a":"101.6","A":"60.25","new":1}}',
     Quote("gate:swap", "BTC/USDT", 101.5, 40.5 * 0.05, 101.6, 60.25 * 0.05, T_US)),
    ("gate:swap", '{"channel":"futures.trades","event":"update","result":[{"size":"5.5","id":42,'
     '"create_time":1700000000,"create_time_ms":1700000000123,"price":"101.55","contract":"BTC_USDT",'
     '"is_internal":true}]}',
     Trade("gate:swap", "BTC/USDT", 101.55, 5.5 * 0.05, "buy", "42", T_US)),
    ("gate:swap", '{"channel":"futures.trades","event":"update","result":[{"contract":"BTC_USDT",'
     '"create_time":1700000000,"id":42,"price":101.55,"size":-5}]}',
     Trade("gate:swap", "BTC/USDT", 101.55, 0.25, "sell", "42", 1_700_000_000_000_000)),
    ("mexc:swap", '{"channel":"push.deal","data":{"M":1,"O":3,"T":1,"p":101.55,"t":1700000000123,"v":5},'
     '"symbol":"BTC_USDT","ts":1700000000125}',
     Trade("mexc:swap", "BTC/USDT", 101.55, 0.25, "buy", None, T_US)),
    ("mexc:swap", '{"symbol":"BTC_USDT","data":{"asks":[[1.016e2,60,2]],"bids":[[1.015e2,40,1]],"version":5,'
     '"cts":1700000000123},"channel":"push.depth.full","ts":1700000000150}',
     Quote("mexc:swap", "BTC/USDT", 101.5, 2.0, 101.6, 3.0, T_US)),
    ("kucoin:swap", '{"topic":"/contractMarket/ticker:XBTUSDTM","subject":"ticker","data":{"symbol":'
     '"XBTUSDTM","sequence":45,"side":"sell","price":"101.5","size":16,"tradeId":"x","bestBidSize":40,'
     '"bestBidPrice":101.5,"bestAskPrice":"101.6","bestAskSize":60,"ts":1700000000123000999}}',
     Quote("kucoin:swap", "BTC/USDT", 101.5, 2.0, 101.6, 3.0, T_US)),
    ("kucoin:swap", '{"T":"ticker.FUTURES","P":"1700000000124000999","d":{"A":"60","B":"40","E":1,'
     '"M":"1700000000123000000","S":"SELL","a":"101.6","b":"101.5","l":"101.5","q":"1","s":"XBTUSDTM"}}',
     Quote("kucoin:swap", "BTC/USDT", 101.5, 2.0, 101.6, 3.0, T_US)),
    ("kucoin:swap", '{"T":"obu.FUTURES","dp":"1","t":"snapshot","P":1700000000124000999,"d":{"C":9,'
     '"M":1700000000123000000,"O":9,"a":[["101.6","60"]],"b":[["101.5","40"]],"s":"XBTUSDTM"}}',
     Quote("kucoin:swap", "BTC/USDT", 101.5, 2.0, 101.6, 3.0, T_US)),
    ("kucoin:swap", '{"T":"trade.FUTURES","P":"1700000000124000999","d":{"E":"7","M":"1700000000123000000",'
     '"S":"buy","p":"101.55","q":"5","s":"XBTUSDTM","ti":"42"}}',
     Trade("kucoin:swap", "BTC/USDT", 101.55, 0.25, "buy", "42", T_US)),
    ("binance:swap", '{"e":"bookTicker","u":7,"s":"BTCUSDT","b":"101.5","B":"2","a":"101.6","A":"3",'
     '"T":1700000000123,"E":1700000000124}',
     Quote("binance:swap", "BTC/USDT", 101.5, 2.0, 101.6, 3.0, T_US)),
    ("binance:swap", '{"stream":"btcusdt@trade","data":{"e":"trade","E":1700000000124,"T":1700000000123,'
     '"s":"BTCUSDT","t":42,"p":"101.55","q":"0.25","X":"MARKET","m":false}}',
     Trade("binance:swap", "BTC/USDT", 101.55, 0.25, "buy", "42", T_US)),
    ("bitget:swap", '{"data":[{"a":[["101.6","3"]],"b":[["101.5","2"]],"pseq":0,"seq":8,'
     '"ts":"1700000000123"}],"arg":{"instType":"usdt-futures","symbol":"BTCUSDT","topic":"books1"},'
     '"action":"snapshot","ts":1700000000124}',
     Quote("bitget:swap", "BTC/USDT", 101.5, 2.0, 101.6, 3.0, T_US)),
    ("bitget:swap", '{"action":"update","arg":{"instType":"usdt-futures","topic":"publicTrade","symbol":'
     '"BTCUSDT"},"data":[{"p":"101.55","S":"sell","T":"1700000000123","v":"0.25","i":"42","isRPI":"no"}],'
     '"ts":1700000000124}',
     Trade("bitget:swap", "BTC/USDT", 101.55, 0.25, "sell", "42", T_US)),
    ("bitget:swap", '{"action":"snapshot","arg":{"instType":"usdt-futures","topic":"ticker","symbol":'
     '"BTCUSDT"},"data":[{"bid1Price":"101.5","ask1Size":"3","bid1Size":"2","ask1Price":"101.6"}],'
     '"ts":1700000000123}',
     Quote("bitget:swap", "BTC/USDT", 101.5, 2.0, 101.6, 3.0, T_US)),
    ("okx:swap", '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["101.6","60","0",'
     '"2"]],"bids":[["101.5","40","0","5"]],"ts":"1700000000123"}]}',
     Quote("okx:swap", "BTC/USDT", 101.5, 2.0, 101.6, 3.0, T_US)),
    ("bingx:swap", '{"code":0,"dataType":"BTC-USDT@trade","data":{"e":"trade","E":1700000000124,'
     '"s":"BTC-USDT","t":"42","p":"101.55","q":"0.25","T":1700000000123,"m":false}}',
     Trade("bingx:swap", "BTC/USDT", 101.55, 0.25, "buy", "42", T_US)),
]  # fmt: skip


@pytest.mark.parametrize(("market", "frame", "event"), OTHER_FORMS)
def test_older_and_newer_forms_say_the_same(market: str, frame: str, event: Quote | Trade) -> None:
    codec = made(market)
    assert list(codec.decode(frame)) == [event]
    assert list(codec.decode(json.dumps(json.loads(frame), indent=1))) == [event], "however it is written"
    assert not codec.counts


def test_a_book_of_gate_without_a_bid_is_no_quote() -> None:
    codec = connected("gate:swap")
    codec.decode(EVERY_QUOTE["gate:swap"])
    frame = ('{"channel":"futures.book_ticker","event":"update","result":{"t":1700000000124,"u":6,'
             '"s":"BTC_USDT","b":"","B":0,"a":"101.6","A":60}}')  # fmt: skip
    (gap,) = codec.decode(frame)
    assert isinstance(gap, StreamState)
    assert gap.reason == "its book has no bid"
    assert codec.counts == {"empty_side": 1}


@pytest.mark.parametrize("size", [0, "0", "-0", "", None, "abc", True])
def test_a_trade_of_no_contracts_is_none(size: Any) -> None:
    codec = made("gate:swap")
    frame = EVERY_TRADE["gate:swap"]
    assert isinstance(frame, str)
    assert not codec.decode(frame.replace('"size":-5', f'"size":{json.dumps(size)}'))
    assert sum(codec.counts.values()) == 1


def test_a_book_of_bingx_that_is_minutes_old_is_no_quote() -> None:
    codec = made("bingx:swap")
    frame = ('{"code":0,"dataType":"BTC-USDT@bookTicker","data":{"e":"bookTicker","u":5,"E":1700000000123,'
             '"T":1699998700000,"s":"BTC-USDT","b":"101.5","B":"2","a":"101.6","A":"3"}}')  # fmt: skip
    assert not codec.decode(gzipped(frame))
    assert codec.counts == {"frozen": 1}


def test_the_rate_of_kucoins_classic_socket_has_no_interval_though_it_says_how_often_it_comes() -> None:
    (funding,) = made("kucoin:swap").decode(SAID["kucoin:swap"][1])
    assert isinstance(funding, Funding)
    assert funding.interval_s is None


def test_what_is_being_settled_at_okx_is_not_the_last_settled_rate() -> None:
    frame = SAID["okx:swap"][2]
    assert isinstance(frame, str)
    (funding,) = made("okx:swap").decode(frame.replace('"settled"', '"processing"'))
    assert isinstance(funding, Funding)
    assert (funding.settled_rate, funding.settled_ts_us) == (None, None)


def test_coin_margined_and_spot_frames_are_not_bitgets_swaps() -> None:
    codec = made("bitget:swap")
    for kind in ("SPOT", "", "MC"):
        assert not codec.decode(str(SWAP_QUOTES["bitget:swap"]).replace("USDT-FUTURES", kind))
    assert codec.counts == {"unknown_kind": 3}
