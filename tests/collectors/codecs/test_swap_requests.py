"""Requests to the swap sockets and the answers of those: each exchange's own words, within its limits."""

import json

import pytest

from collectors.exchanges import CODECS
from collectors.exchanges.base import Control
from core.names.market_keys import exchange_of
from tests.support.exchanges.codec_frames import SWAPS, gzipped

NATIVE = {"okx": "BTC-USDT-SWAP", "gate": "BTC_USDT", "mexc": "BTC_USDT", "kucoin": "XBTUSDTM",
          "bingx": "BTC-USDT"}  # fmt: skip
TOPICS = {
    "binance": ["btcusdt@bookTicker", "btcusdt@aggTrade", "btcusdt@markPrice@1s"],
    "bybit": ["orderbook.1.BTCUSDT", "publicTrade.BTCUSDT", "tickers.BTCUSDT"],
    "mexc": ["depth.full:BTC_USDT", "deal:BTC_USDT", "ticker:BTC_USDT", "funding.rate:BTC_USDT"],
    "gate": ["futures.book_ticker:BTC_USDT", "futures.trades:BTC_USDT", "futures.tickers:BTC_USDT"],
    "kucoin": ["/contractMarket/tickerV2:XBTUSDTM", "/contractMarket/execution:XBTUSDTM",
               "/contract/instrument:XBTUSDTM"],
    "okx": ["bbo-tbt:BTC-USDT-SWAP", "trades:BTC-USDT-SWAP", "mark-price:BTC-USDT-SWAP",
            "index-tickers:BTC-USDT", "funding-rate:BTC-USDT-SWAP"],
    "bitget": ["books1:BTCUSDT", "trade:BTCUSDT", "ticker:BTCUSDT"],
    "bingx": ["BTC-USDT@bookTicker", "BTC-USDT@trade", "BTC-USDT@markPrice"],
}  # fmt: skip


def native(market: str) -> str:
    return NATIVE.get(exchange_of(market), "BTCUSDT")


@pytest.mark.parametrize("market", SWAPS)
def test_a_swap_has_a_topic_of_quotes_one_of_trades_and_of_its_funding(market: str) -> None:
    topics = CODECS[market]({}).topics(native(market))
    assert [topic.name for topic in topics] == TOPICS[exchange_of(market)]
    channels = [topic.channel for topic in topics]
    assert channels == ["quote", "trade", *["funding"] * (len(topics) - 2)]
    assert {topic.native_id for topic in topics} == {native(market)}


@pytest.mark.parametrize("market", SWAPS)
@pytest.mark.parametrize("count", [1, 7, 300])
def test_batches_keep_every_topic_and_every_limit(market: str, count: int) -> None:
    codec = CODECS[market]({})
    wanted = [
        topic for n in range(count) for topic in codec.topics(native(market).replace("BTC", f"LONG{n}"))
    ]
    batches = codec.batches(wanted)
    assert sorted(topic for batch in batches for topic in batch) == sorted(wanted)
    for batch in batches:
        assert 0 < len(batch) <= codec.sheet.topics_per_request
        for request in (codec.subscribe, codec.unsubscribe):
            assert len(request(batch, 2**31).encode()) <= (codec.sheet.request_bytes or 2**20)
        if codec.sheet.one_channel_per_request:
            assert len({topic.name.partition(":")[0] for topic in batch}) == 1


@pytest.mark.parametrize(
    ("market", "requests"),
    [
        ("binance:swap", ['{"method":"SUBSCRIBE","params":["btcusdt@bookTicker","btcusdt@aggTrade",'
                          '"btcusdt@markPrice@1s"],"id":7}']),
        ("bybit:swap", ['{"req_id":"7","op":"subscribe","args":["orderbook.1.BTCUSDT","publicTrade.BTCUSDT",'
                        '"tickers.BTCUSDT"]}']),
        ("mexc:swap", ['{"method":"sub.depth.full","param":{"symbol":"BTC_USDT","limit":5}}',
                       '{"method":"sub.deal","param":{"symbol":"BTC_USDT"}}',
                       '{"method":"sub.ticker","param":{"symbol":"BTC_USDT"}}',
                       '{"method":"sub.funding.rate","param":{"symbol":"BTC_USDT"}}']),
        ("gate:swap", ['{"id":7,"channel":"futures.book_ticker","event":"subscribe","payload":["BTC_USDT"]}',
                       '{"id":7,"channel":"futures.trades","event":"subscribe","payload":["BTC_USDT"]}',
                       '{"id":7,"channel":"futures.tickers","event":"subscribe","payload":["BTC_USDT"]}']),
        ("kucoin:swap", [
            json.dumps({"id": "7", "type": "subscribe", "topic": topic, "privateChannel": False,
                        "response": True}, separators=(",", ":"))
            for topic in TOPICS["kucoin"]
        ]),
        ("okx:swap", ['{"id":"7","op":"subscribe","args":[{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},'
                      '{"channel":"trades","instId":"BTC-USDT-SWAP"},'
                      '{"channel":"mark-price","instId":"BTC-USDT-SWAP"},'
                      '{"channel":"index-tickers","instId":"BTC-USDT"},'
                      '{"channel":"funding-rate","instId":"BTC-USDT-SWAP"}]}']),
        ("bitget:swap", ['{"op":"subscribe","args":['
                         '{"instType":"USDT-FUTURES","channel":"books1","instId":"BTCUSDT"},'
                         '{"instType":"USDT-FUTURES","channel":"trade","instId":"BTCUSDT"},'
                         '{"instType":"USDT-FUTURES","channel":"ticker","instId":"BTCUSDT"}]}']),
        ("bingx:swap", ['{"id":"7","reqType":"sub","dataType":"BTC-USDT@bookTicker"}',
                        '{"id":"7","reqType":"sub","dataType":"BTC-USDT@trade"}',
                        '{"id":"7","reqType":"sub","dataType":"BTC-USDT@markPrice"}']),
    ],
)  # fmt: skip
def test_requests_are_in_the_exchanges_own_words(market: str, requests: list[str]) -> None:
    codec = CODECS[market]({})
    assert [codec.subscribe(batch, 7) for batch in codec.batches(codec.topics(native(market)))] == requests


def test_swaps_that_are_margined_in_usdc_are_asked_for_as_such_at_bitget() -> None:
    codec = CODECS["bitget:swap"]({})
    request = codec.subscribe(codec.topics("BTCPERP")[:1], 7)
    assert request == (
        '{"op":"subscribe","args":[{"instType":"USDC-FUTURES","channel":"books1","instId":"BTCPERP"}]}'
    )


@pytest.mark.parametrize(
    ("market", "ping"),
    [
        ("binance:swap", None), ("bybit:swap", '{"req_id":"7","op":"ping"}'),
        ("mexc:swap", '{"method":"ping"}'), ("gate:swap", '{"channel":"futures.ping"}'),
        ("kucoin:swap", '{"id":"7","type":"ping"}'), ("okx:swap", "ping"), ("bitget:swap", "ping"),
        ("bingx:swap", None),
    ],
)  # fmt: skip
def test_heartbeats_are_in_the_exchanges_own_words(market: str, ping: str | None) -> None:
    assert CODECS[market]({}).ping(7) == ping


ANSWERS = [
    ("binance:swap", '{"result":null,"id":7}', Control("ack", "7")),
    ("bybit:swap", '{"success":true,"ret_msg":"","conn_id":"x","req_id":"7","op":"subscribe"}',
     Control("ack", "7")),
    ("bybit:swap", '{"success":false,"ret_msg":"error:handler not found,topic:tickers.NOPE","req_id":"7"}',
     Control("error", "7", message="error:handler not found,topic:tickers.NOPE")),
    ("gate:swap", '{"time":1,"id":7,"channel":"futures.tickers","event":"subscribe","payload":["BTC_USDT"],'
     '"result":{"status":"success"}}', Control("ack", "7")),
    ("gate:swap", '{"time":1,"channel":"futures.pong","event":"","result":null}', Control("pong")),
    ("gate:swap", '{"time":1,"channel":"futures.trades","event":"subscribe","id":7,'
     '"error":{"code":2,"message":"unknown contract NOPE_USDT"}}',
     Control("error", "7", message="unknown contract NOPE_USDT")),
    ("mexc:swap", '{"channel":"rs.sub.depth.full","data":"success","ts":1700000000123}', Control("ack")),
    ("mexc:swap", '{"channel":"rs.sub.deal","param":{"symbol":"BTC_USDT"}}',
     Control("ack", topics=("deal:BTC_USDT",))),
    ("mexc:swap", '{"channel":"rs.unsub.deal","data":"success","ts":1}', Control("unsubscribed")),
    ("mexc:swap", '{"channel":"rs.error","data":"Contract [NOPE_USDT] not exists","ts":1700000000123}',
     Control("error", topics=("depth.full:NOPE_USDT", "deal:NOPE_USDT", "ticker:NOPE_USDT",
                              "funding.rate:NOPE_USDT"), message="Contract [NOPE_USDT] not exists")),
    ("mexc:swap", '{"channel":"rs.error","data":"too frequent","ts":1}',
     Control("error", message="too frequent")),
    ("mexc:swap", '{"channel":"pong","data":1700000000123}', Control("pong")),
    ("kucoin:swap", '{"id":"7","type":"ack"}', Control("ack", "7")),
    ("kucoin:swap", '{"sessionId":"x","message":"welcome","pingInterval":18000}',
     Control("heartbeat", message="welcome")),
    ("kucoin:swap", '{"id":"7","result":true}', Control("ack", "7")),
    ("okx:swap", '{"id":"7","event":"subscribe","arg":{"channel":"funding-rate","instId":"BTC-USDT-SWAP"}}',
     Control("ack", "7", ("funding-rate:BTC-USDT-SWAP",))),
    ("okx:swap", "pong", Control("pong")),
    ("bitget:swap", '{"event":"subscribe","arg":{"instType":"USDT-FUTURES","channel":"ticker",'
     '"instId":"BTCUSDT"}}', Control("ack", topics=("ticker:BTCUSDT",))),
    ("bitget:swap", '{"event":"error","arg":{"instType":"USDT-FUTURES","channel":"books1",'
     '"instId":"NOPEUSDT"},"code":30001,"msg":"doesn\'t exist","op":"subscribe"}',
     Control("error", topics=("books1:NOPEUSDT",), message="doesn't exist")),
    ("bingx:swap", '{"id":"7","code":0,"msg":"","dataType":"","data":null}', Control("ack", "7")),
    ("bingx:swap", "Ping", Control("ping", reply="Pong")),
]  # fmt: skip


@pytest.mark.parametrize(("market", "frame", "control"), ANSWERS)
def test_answers_are_what_they_say(market: str, frame: str, control: Control) -> None:
    codec = CODECS[market]({})
    wire = gzipped(frame) if exchange_of(market) == "bingx" else frame
    assert list(codec.decode(wire)) == [control]
    assert not codec.counts
