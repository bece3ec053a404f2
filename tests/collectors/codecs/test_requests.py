"""Requests that we send: within each exchange's limits, in its own words."""

import json

import pytest

from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec
from collectors.exchanges.sheet import Topic
from tests.support.exchanges.codec_frames import SPOTS

NATIVE = {"gate": "{}_USDT", "kucoin": "{}-USDT", "okx": "{}-USDT", "bingx": "{}-USDT"}


def codec(exchange: str) -> Codec:
    return CODECS[exchange]({})


def topics(exchange: str, count: int) -> list[Topic]:
    """Quote and trade topics of many instruments with long names."""
    ids = [NATIVE.get(exchange, "{}USDT").format(f"LONGNAME{number:04}") for number in range(count)]
    return [topic for native_id in ids for topic in codec(exchange).topics(native_id)]


@pytest.mark.parametrize("exchange", SPOTS)
@pytest.mark.parametrize("count", [0, 1, 7, 300])
def test_batches_keep_every_topic_and_every_limit(exchange: str, count: int) -> None:
    one, wanted = codec(exchange), topics(exchange, count)
    batches = one.batches(wanted)

    assert sorted(topic for batch in batches for topic in batch) == sorted(wanted)
    for batch in batches:
        assert 0 < len(batch) <= one.sheet.topics_per_request
        if one.sheet.one_channel_per_request:
            assert len({topic.channel for topic in batch}) == 1
        for request in (one.subscribe, one.unsubscribe):
            assert len(request(batch, 2**31).encode()) <= (one.sheet.request_bytes or 2**20)


@pytest.mark.parametrize(
    ("exchange", "limit"),
    [("binance", 1024), ("mexc", 30), ("kucoin", 300), ("bitget", 49), ("bingx", 200)],
)
def test_a_connection_carries_no_more_topics_than_the_exchange_allows(exchange: str, limit: int) -> None:
    assert codec(exchange).sheet.topics_per_connection <= limit


@pytest.mark.parametrize(
    ("exchange", "most_a_connection", "most_a_request"),
    [("okx", 29, 100), ("okx:swap", 29, 100), ("bitget", 49, 24), ("bitget:swap", 49, 24), ("gate", 400, 1)],
)
def test_books_have_limits_of_their_own(exchange: str, most_a_connection: int, most_a_request: int) -> None:
    one = codec(exchange)
    assert one.sheet.per_connection("depth") <= most_a_connection
    books = [one.depth_topic(f"LONGNAME{number:04}") for number in range(60)]
    batches = one.batches(books)
    assert [topic for batch in batches for topic in batch] == books
    assert max(len(batch) for batch in batches) <= most_a_request


def test_a_full_bybit_connection_stays_under_21000_characters_of_args() -> None:
    full = codec("bybit").sheet.topics_per_connection
    args = [topic.name for topic in topics("bybit", full)][:full]
    assert len(json.dumps(args)) <= 21_000


def test_a_full_okx_connection_stays_under_64_kilobytes_of_args() -> None:
    full = codec("okx").sheet.topics_per_connection
    assert len(codec("okx").subscribe(topics("okx", full)[:full], 1)) <= 64 * 1024


@pytest.mark.parametrize(
    ("exchange", "native_id", "request_text"),
    [
        (
            "binance",
            "BTCUSDT",
            '{"method":"SUBSCRIBE","params":["btcusdt@bookTicker","btcusdt@trade"],"id":7}',
        ),
        (
            "bybit",
            "BTCUSDT",
            '{"req_id":"7","op":"subscribe","args":["orderbook.1.BTCUSDT","publicTrade.BTCUSDT"]}',
        ),
        (
            "mexc",
            "BTCUSDT",
            '{"method":"SUBSCRIPTION","params":["spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT",'
            '"spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"]}',
        ),
        (
            "okx",
            "BTC-USDT",
            '{"id":"7","op":"subscribe","args":[{"channel":"bbo-tbt","instId":"BTC-USDT"},'
            '{"channel":"trades","instId":"BTC-USDT"}]}',
        ),
        (
            "bitget",
            "BTCUSDT",
            '{"op":"subscribe","args":[{"instType":"SPOT","channel":"books1","instId":"BTCUSDT"},'
            '{"instType":"SPOT","channel":"trade","instId":"BTCUSDT"}]}',
        ),
    ],
)
def test_one_request_subscribes_quotes_and_trades(exchange: str, native_id: str, request_text: str) -> None:
    one = codec(exchange)
    (batch,) = one.batches(one.topics(native_id))
    assert one.subscribe(batch, 7) == request_text


@pytest.mark.parametrize(
    ("exchange", "ids", "first"),
    [
        (
            "gate",
            ["BTC_USDT", "ETH_USDT"],
            '{"id":7,"channel":"spot.book_ticker","event":"subscribe","payload":["BTC_USDT","ETH_USDT"]}',
        ),
        (
            "kucoin",
            ["BTC-USDT", "ETH-USDT"],
            '{"id":"7","type":"subscribe","topic":"/spotMarket/level1:BTC-USDT,ETH-USDT",'
            '"privateChannel":false,"response":true}',
        ),
        ("bingx", ["BTC-USDT"], '{"id":"7","reqType":"sub","dataType":"BTC-USDT@bookTicker"}'),
    ],
)
def test_exchanges_with_one_channel_per_request_get_one_request_per_channel(
    exchange: str, ids: list[str], first: str
) -> None:
    one = codec(exchange)
    batches = one.batches([topic for native_id in ids for topic in one.topics(native_id)])
    assert len(batches) == 2
    assert one.subscribe(batches[0], 7) == first


@pytest.mark.parametrize(
    ("exchange", "text"),
    [
        ("binance", None),
        ("bybit", '{"req_id":"7","op":"ping"}'),
        ("mexc", '{"method":"PING"}'),
        ("gate", '{"channel":"spot.ping"}'),
        ("kucoin", '{"id":"7","type":"ping"}'),
        ("okx", "ping"),
        ("bitget", "ping"),
        ("bingx", None),
    ],
)
def test_the_heartbeat_is_in_the_exchanges_own_dialect(exchange: str, text: str | None) -> None:
    one = codec(exchange)
    assert one.ping(7) == text
    assert (one.sheet.ping_s is None) == (text is None)
