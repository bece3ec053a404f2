"""Hand-written frames in each exchange's wire form; all values are invented."""

import gzip

from collectors.exchanges import CODECS, mexc_pb2
from core.names.market_keys import SPOT, market_of

SPOTS = tuple(key for key in CODECS if market_of(key) == SPOT)
SWAPS = tuple(key for key in CODECS if market_of(key) != SPOT)

SYMBOLS = {
    name: symbol
    for base, quote in (("BTC", "USDT"), ("ETH", "USDT"), ("SOL", "USDT"))
    for symbol in (f"{base}/{quote}",)
    for name in (f"{base}{quote}", f"{base}-{quote}", f"{base}_{quote}")
}


def mexc_push(channel: str, **fields: object) -> bytes:
    """A MEXC frame as protobuf."""
    return mexc_pb2.Push(channel=channel, **fields).SerializeToString()  # type: ignore[arg-type]


def mexc_quote(
    bid: str = "101.5", bid_size: str = "2", ask: str = "101.6", ask_size: str = "3", **fields: object
) -> bytes:
    """A MEXC best bid/ask."""
    item = mexc_pb2.BookTicker(bidPrice=bid, bidQuantity=bid_size, askPrice=ask, askQuantity=ask_size)
    channel = "spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT"
    return mexc_push(channel, symbol="BTCUSDT", sendTime=1700000000123, publicAggreBookTicker=item, **fields)


def mexc_deals(*deals: mexc_pb2.Deal) -> bytes:
    """MEXC trades."""
    channel = "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"
    return mexc_push(channel, symbol="BTCUSDT", publicAggreDeals=mexc_pb2.Deals(deals=deals))


def gzipped(text: str) -> bytes:
    """A BingX frame as it is on the wire."""
    return gzip.compress(text.encode(), mtime=0)  # the same bytes whenever tests are collected


QUOTES: dict[str, str | bytes] = {
    "binance": '{"stream":"btcusdt@bookTicker","data":{"u":7,"s":"BTCUSDT","b":"101.5","B":"2","a":"101.6",'
    '"A":"3"}}',
    "bybit": '{"topic":"orderbook.1.BTCUSDT","ts":1700000000125,"type":"snapshot","data":{"s":"BTCUSDT",'
    '"b":[["101.5","2"]],"a":[["101.6","3"]],"u":5,"seq":9},"cts":1700000000123}',
    "mexc": mexc_quote(),
    "gate": '{"time":1700000000,"time_ms":1700000000130,"channel":"spot.book_ticker","event":"update",'
    '"result":{"t":1700000000123,"u":5,"s":"BTC_USDT","b":"101.5","B":"2","a":"101.6","A":"3"}}',
    "kucoin": '{"topic":"/spotMarket/level1:BTC-USDT","type":"message","subject":"level1",'
    '"data":{"asks":["101.6","3"],"bids":["101.5","2"],"timestamp":1700000000123}}',
    "okx": '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{"asks":[["101.6","3","0","4"]],'
    '"bids":[["101.5","2","0","1"]],"ts":"1700000000123","seqId":77}]}',
    "bitget": '{"action":"snapshot","arg":{"instType":"SPOT","channel":"books1","instId":"BTCUSDT"},'
    '"data":[{"asks":[["101.6","3"]],"bids":[["101.5","2"]],"ts":"1700000000123","seq":8}],'
    '"ts":1700000000130}',
    "bingx": gzipped(
        '{"code":0,"dataType":"BTC-USDT@bookTicker","data":{"e":"bookTicker","u":5,"E":1700000000123,'
        '"T":1700000000120,"s":"BTC-USDT","b":"101.5","B":"2","a":"101.6","A":"3"}}'
    ),
}

TRADES: dict[str, str | bytes] = {
    "binance": '{"stream":"btcusdt@trade","data":{"e":"trade","E":1700000000124,"s":"BTCUSDT","t":42,'
    '"p":"101.55","q":"0.25","T":1700000000123,"m":true,"M":true}}',
    "bybit": '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1700000000124,"data":[{"T":1700000000123,'
    '"s":"BTCUSDT","S":"Sell","v":"0.25","p":"101.55","i":"42","BT":false,"seq":3}]}',
    "mexc": mexc_deals(
        mexc_pb2.Deal(price="101.55", quantity="0.25", tradeType=2, time=1700000000123, tradeId="42")
    ),
    "gate": '{"time":1700000000,"time_ms":1700000000130,"channel":"spot.trades","event":"update",'
    '"result":{"id":42,"create_time":1700000000,"create_time_ms":"1700000000123.0","side":"sell",'
    '"currency_pair":"BTC_USDT","amount":"0.25","price":"101.55","range":"1-1"}}',
    "kucoin": '{"topic":"/market/match:BTC-USDT","type":"message","subject":"trade.l3match","data":'
    '{"symbol":"BTC-USDT","sequence":"9","side":"sell","size":"0.25","price":"101.55","takerOrderId":"a",'
    '"makerOrderId":"b","time":"1700000000123000999","type":"match","tradeId":"42"}}',
    "okx": '{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"42",'
    '"px":"101.55","sz":"0.25","side":"sell","ts":"1700000000123","count":"1","seqId":5}]}',
    "bitget": '{"action":"update","arg":{"instType":"SPOT","channel":"trade","instId":"BTCUSDT"},'
    '"data":[{"ts":"1700000000123","price":"101.55","size":"0.25","side":"sell","tradeId":"42"}],'
    '"ts":1700000000130}',
    "bingx": gzipped(
        '{"code":0,"dataType":"BTC-USDT@trade","data":{"E":1700000000124,"T":1700000000123,"e":"trade",'
        '"m":true,"p":"101.55","q":"0.25","s":"BTC-USDT","t":"42"}}'
    ),
}
