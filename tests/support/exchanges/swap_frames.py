"""Hand-written frames of swaps in each exchange's wire form; all values are invented.

They say what the spot frames of `codec_frames` say: where sizes are contracts, one is 0.05 coins.
"""

from typing import Any, Final

from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec
from collectors.exchanges.wire import ContractSize
from tests.support.exchanges.codec_frames import QUOTES, SYMBOLS, TRADES, gzipped

SWAP_SYMBOLS: Final = SYMBOLS | {
    native_id: f"{base}/USDT"
    for base in ("BTC", "ETH", "SOL")
    for native_id in (f"{base}-USDT-SWAP", f"{'XBT' if base == 'BTC' else base}USDTM")
}
CONTRACT_SIZES: Final = dict.fromkeys(SWAP_SYMBOLS, ContractSize(0.05))

SWAP_QUOTES: Final[dict[str, str | bytes]] = {
    "binance:swap": '{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":7,"s":"BTCUSDT",'
    '"ps":"BTCUSDT","b":"101.5","B":"2","a":"101.6","A":"3","T":1700000000123,"E":1700000000124,"st":1}}',
    "bybit:swap": '{"topic":"orderbook.1.BTCUSDT","ts":1700000000125,"type":"snapshot","data":{"s":"BTCUSDT",'
    '"b":[["101.5","2"]],"a":[["101.6","3"]],"u":5,"seq":9},"cts":1700000000123}',
    "mexc:swap": '{"symbol":"BTC_USDT","data":{"asks":[[101.6,60,2],[101.7,9,1]],"bids":[[101.5,40,1],'
    '[101.4,8,1]],"version":5},"channel":"push.depth.full","ts":1700000000123}',
    "gate:swap": '{"time":1700000000,"time_ms":1700000000130,"channel":"futures.book_ticker",'
    '"event":"update","result":{"t":1700000000123,"u":5,"s":"BTC_USDT","b":"101.5","B":40,"a":"101.6",'
    '"A":60}}',
    "kucoin:swap": '{"topic":"/contractMarket/tickerV2:XBTUSDTM","type":"message","subject":"tickerV2",'
    '"sn":5,"data":{"symbol":"XBTUSDTM","sequence":5,"bestBidSize":40,"bestBidPrice":"101.5",'
    '"bestAskPrice":"101.6","bestAskSize":60,"ts":1700000000123000999}}',
    "okx:swap": '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["101.6","60","0",'
    '"4"]],"bids":[["101.5","40","0","1"]],"ts":"1700000000123","seqId":77}]}',
    "bitget:swap": '{"action":"snapshot","arg":{"instType":"USDT-FUTURES","channel":"books1",'
    '"instId":"BTCUSDT"},"data":[{"asks":[["101.6","3"]],"bids":[["101.5","2"]],"ts":"1700000000123",'
    '"seq":8}],"ts":1700000000130}',
    "bingx:swap": gzipped(
        '{"code":0,"dataType":"BTC-USDT@bookTicker","data":{"e":"bookTicker","u":5,"E":1700000000123,'
        '"T":1700000000120,"s":"BTC-USDT","b":"101.5","B":"2","a":"101.6","A":"3"}}'
    ),
}

SWAP_TRADES: Final[dict[str, str | bytes]] = {
    "binance:swap": '{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000000124,"a":42,'
    '"s":"BTCUSDT","p":"101.55","q":"0.25","f":100,"l":101,"T":1700000000123,"m":true}}',
    "bybit:swap": '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1700000000124,"data":['
    '{"T":1700000000123,"s":"BTCUSDT","S":"Sell","v":"0.25","p":"101.55","L":"MinusTick","i":"42",'
    '"BT":false,"seq":3}]}',
    "mexc:swap": '{"symbol":"BTC_USDT","data":[{"p":101.55,"v":5,"T":2,"O":3,"M":1,"i":"42",'
    '"t":1700000000123}],"channel":"push.deal","ts":1700000000124}',
    "gate:swap": '{"time":1700000000,"time_ms":1700000000130,"channel":"futures.trades","event":"update",'
    '"result":[{"size":-5,"id":42,"create_time":1700000000,"create_time_ms":1700000000123,'
    '"price":"101.55","contract":"BTC_USDT"}]}',
    "kucoin:swap": '{"topic":"/contractMarket/execution:XBTUSDTM","type":"message","subject":"match","sn":9,'
    '"data":{"symbol":"XBTUSDTM","sequence":9,"side":"sell","size":5,"price":"101.55","takerOrderId":"a",'
    '"makerOrderId":"b","tradeId":"42","ts":1700000000123000999}}',
    "okx:swap": '{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP",'
    '"tradeId":"42","px":"101.55","sz":"5","side":"sell","ts":"1700000000123","count":"1","seqId":5}]}',
    "bitget:swap": '{"action":"update","arg":{"instType":"USDT-FUTURES","channel":"trade",'
    '"instId":"BTCUSDT"},"data":[{"ts":"1700000000123","price":"101.55","size":"0.25","side":"sell",'
    '"tradeId":"42"}],"ts":1700000000130}',
    "bingx:swap": gzipped(
        '{"code":0,"dataType":"BTC-USDT@trade","data":[{"q":"0.25","p":"101.55","T":1700000000123,"m":true,'
        '"s":"BTC-USDT","t":"42"}]}'
    ),
}

MARK: Final = (100.51, 100.49)
"""Mark and index price of the frames below, where they say so."""

RATE: Final = 0.0001
NEXT_US: Final = 1_700_006_400_000_000

SAID: Final[dict[str, tuple[str | bytes, ...]]] = {
    "binance:swap": (
        '{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1700000000123,"s":"BTCUSDT",'
        '"p":"100.51","ap":"100.50","i":"100.49","P":"100.50","r":"0.00010000","T":1700006400000,"st":1}}',
    ),
    "bybit:swap": (
        '{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","lastPrice":"100.5",'
        '"markPrice":"100.51","indexPrice":"100.49","fundingRate":"0.0001","nextFundingTime":"1700006400000",'
        '"fundingIntervalHour":"8","fundingCap":"0.005","bid1Price":"101.5","bid1Size":"2",'
        '"ask1Price":"101.6","ask1Size":"3"},"cs":9001,"ts":1700000000123}',
    ),
    "mexc:swap": (
        '{"symbol":"BTC_USDT","data":{"symbol":"BTC_USDT","lastPrice":100.5,"bid1":100.5,"ask1":100.6,'
        '"fairPrice":100.51,"indexPrice":100.49,"fundingRate":0.0001,"holdVol":22847,'
        '"timestamp":1700000000123},"channel":"push.ticker","ts":1700000000123}',
        '{"symbol":"BTC_USDT","data":{"symbol":"BTC_USDT","rate":0.0001,"nextSettleTime":1700006400000},'
        '"channel":"push.funding.rate","ts":1700000000123}',
        '{"symbol":"BTC_USDT","data":{"symbol":"BTC_USDT","price":100.51},"channel":"push.fair.price",'
        '"ts":1700000000123}',
        '{"symbol":"BTC_USDT","data":{"symbol":"BTC_USDT","price":100.49},"channel":"push.index.price",'
        '"ts":1700000000123}',
    ),
    "gate:swap": (
        '{"time":1700000000,"time_ms":1700000000123,"channel":"futures.tickers","event":"update","result":['
        '{"contract":"BTC_USDT","last":"100.5","mark_price":"100.51","index_price":"100.49",'
        '"funding_rate":"0.0001","funding_rate_indicative":"0.0002","funding_interval":28800,'
        '"funding_next_apply":1700006400,"total_size":"73648","quanto_base_rate":""}]}',
    ),
    "kucoin:swap": (
        '{"topic":"/contract/instrument:XBTUSDTM","type":"message","subject":"mark.index.price",'
        '"data":{"markPrice":100.51,"indexPrice":100.49,"granularity":1000,"timestamp":1700000000123}}',
        '{"topic":"/contract/instrument:XBTUSDTM","type":"message","subject":"funding.rate",'
        '"data":{"period":1,"granularity":60000,"fundingRate":0.0001,"timestamp":1700000000123}}',
        '{"T":"mark-price","P":"1700000000124000999","d":{"s":"XBTUSDTM","mp":"100.51","ip":"100.49",'
        '"oi":"11481754","ts":1700000000123}}',
        '{"T":"funding-fee","P":1700000000123000999,"d":{"s":"XBTUSDTM","fr":"0.0001","ft":1699977600000,'
        '"lfr":"0.00008","nt":1700006400000,"gl":28800000,"fc":"0.003","ff":"-0.003"}}',
    ),
    "okx:swap": (
        '{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP",'
        '"instId":"BTC-USDT-SWAP","markPx":"100.51","ts":"1700000000123"}]}',
        '{"arg":{"channel":"index-tickers","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT",'
        '"idxPx":"100.49","open24h":"99","ts":"1700000000123"}]}',
        '{"arg":{"channel":"funding-rate","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP",'
        '"instId":"BTC-USDT-SWAP","fundingRate":"0.0001","fundingTime":"1700006400000","nextFundingRate":"",'
        '"nextFundingTime":"1700020800000","minFundingRate":"-0.00375","maxFundingRate":"0.00375",'
        '"settState":"settled","settFundingRate":"0.00008","prevFundingTime":"1699992000000",'
        '"premium":"0.00005","ts":"1700000000123"}]}',
    ),
    "bitget:swap": (
        '{"action":"snapshot","arg":{"instType":"USDT-FUTURES","channel":"ticker","instId":"BTCUSDT"},'
        '"data":[{"instId":"BTCUSDT","lastPr":"100.5","bidPr":"101.5","askPr":"101.6","bidSz":"2",'
        '"askSz":"3","fundingRate":"0.0001","nextFundingTime":"1700006400000","markPrice":"100.51",'
        '"indexPrice":"100.49","symbolType":"1","symbol":"BTCUSDT","deliveryPrice":"0",'
        '"ts":"1700000000123"}],"ts":1700000000124}',
    ),
    "bingx:swap": (
        gzipped(
            '{"code":0,"dataType":"BTC-USDT@markPrice","data":{"e":"markPriceUpdate","E":1700000000123,'
            '"s":"BTC-USDT","p":"100.51"}}'
        ),
    ),
}
"""What swaps say besides quotes and trades: in whole, as in the frames of the documentation."""

EVERY_QUOTE: Final = QUOTES | SWAP_QUOTES
EVERY_TRADE: Final = TRADES | SWAP_TRADES


def made(market: str, symbols: dict[str, str] = SWAP_SYMBOLS, **options: Any) -> Codec:
    """The codec of a market, which knows the contract sizes."""
    return CODECS[market](symbols, **{"contract_sizes": CONTRACT_SIZES, **options})
