"""Cost of turning a frame into a checked quote, beside json.loads with float and with Decimal.

    .venv/bin/python benchmarks/decode.py

CPU time; all routes take turns in one run, so that a busy machine slows them alike: read the ratios.
The last line is a JSON object with every figure, its target and whether it is met.
"""

import gzip
import json
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from collectors.exchanges import CODECS, mexc_pb2
from collectors.exchanges.reading import INFINITY
from collectors.exchanges.wire import ContractSize
from markets.events import Quote

FRAMES_PER_TURN = 5_000
TURNS = 15
TARGET_RATIO = 3.0  # cheaper than json.loads + Decimal
TARGET_BINANCE_US = 0.55

Frame = str | bytes
Pick = Callable[[dict[str, Any]], Sequence[Any]]
Work = Callable[[Frame, int, int], Any]
RECEIVED = (1_700_000_000_200_000, 10**12)
"""When the frames came: shortly after their own times, else each has a time that cannot be."""


def _mexc() -> bytes:
    item = mexc_pb2.BookTicker(
        bidPrice="64000.10", bidQuantity="0.51", askPrice="64000.20", askQuantity="1.2"
    )
    return mexc_pb2.Push(
        channel="spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT", symbol="BTCUSDT",
        sendTime=1700000000123, publicAggreBookTicker=item,
    ).SerializeToString()  # fmt: skip


# Each exchange's quote frame (invented values), and where a plain JSON reader finds the four numbers.
FRAMES: dict[str, tuple[Frame, Pick]] = {
    "binance": (
        '{"stream":"btcusdt@bookTicker","data":{"u":400900217123,"s":"BTCUSDT","b":"64000.10000000",'
        '"B":"0.51000000","a":"64000.20000000","A":"1.20000000"}}',
        lambda m: [m["data"][k] for k in ("b", "B", "a", "A")],
    ),
    "bybit": (
        '{"topic":"orderbook.1.BTCUSDT","ts":1700000000125,"type":"snapshot","data":{"s":"BTCUSDT",'
        '"b":[["64000.10","0.510000"]],"a":[["64000.20","1.200000"]],"u":59438060,"seq":42812822291},'
        '"cts":1700000000123}',
        lambda m: [*m["data"]["b"][0], *m["data"]["a"][0]],
    ),
    "gate": (
        '{"time":1700000000,"time_ms":1700000000130,"channel":"spot.book_ticker","event":"update","result":'
        '{"t":1700000000123,"u":48733182,"s":"BTC_USDT","b":"64000.1","B":"0.51","a":"64000.2","A":"1.2"}}',
        lambda m: [m["result"][k] for k in ("b", "B", "a", "A")],
    ),
    "kucoin": (
        '{"topic":"/spotMarket/level1:BTC-USDT","type":"message","data":{"asks":["64000.2","1.2"],'
        '"bids":["64000.1","0.51"],"timestamp":1700000000123},"subject":"level1"}',
        lambda m: [*m["data"]["bids"], *m["data"]["asks"]],
    ),
    "okx": (
        '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{"asks":[["64000.2","1.2","0","3"]],'
        '"bids":[["64000.1","0.51","0","2"]],"ts":"1700000000123","seqId":1234567890}]}',
        lambda m: [*m["data"][0]["bids"][0][:2], *m["data"][0]["asks"][0][:2]],
    ),
    "bitget": (
        '{"action":"snapshot","arg":{"instType":"SPOT","channel":"books1","instId":"BTCUSDT"},"data":[{"asks":'
        '[["64000.20","1.20000"]],"bids":[["64000.10","0.51000"]],"seq":9,"ts":"1700000000123"}],'
        '"ts":1700000000130}',
        lambda m: [*m["data"][0]["bids"][0], *m["data"][0]["asks"][0]],
    ),
    "bingx": (
        gzip.compress(
            b'{"code":0,"dataType":"BTC-USDT@bookTicker","data":{"e":"bookTicker","u":5,"E":1700000000123,'
            b'"T":1700000000120,"s":"BTC-USDT","b":"64000.10","B":"0.51","a":"64000.20","A":"1.2"}}'
        ),
        lambda m: [m["data"][k] for k in ("b", "B", "a", "A")],
    ),
    "mexc": (_mexc(), lambda m: []),
}  # fmt: skip
# Swaps that are sized in contracts: their quotes cost one look-up and two products more.
SWAPS: dict[str, tuple[Frame, Pick]] = {
    "gate:swap": (
        '{"time":1700000000,"time_ms":1700000000130,"channel":"futures.book_ticker","event":"update","result":'
        '{"t":1700000000123,"u":48733182,"s":"BTC_USDT","b":"64000.1","B":"5100","a":"64000.2","A":"12000"}}',
        lambda m: [m["result"][k] for k in ("b", "B", "a", "A")],
    ),
    "okx:swap": (
        '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["64000.2","120","0","3"]],'
        '"bids":[["64000.1","51","0","2"]],"ts":"1700000000123","seqId":1234567890}]}',
        lambda m: [*m["data"][0]["bids"][0][:2], *m["data"][0]["asks"][0][:2]],
    ),
    "kucoin:swap": (
        '{"topic":"/contractMarket/tickerV2:XBTUSDTM","type":"message","subject":"tickerV2","sn":5,"data":'
        '{"symbol":"XBTUSDTM","sequence":5,"bestBidSize":510,"bestBidPrice":"64000.1","bestAskPrice":'
        '"64000.2","bestAskSize":1200,"ts":1700000000123000999}}',
        lambda m: [m["data"][f"best{side}"] for side in ("BidPrice", "BidSize", "AskPrice", "AskSize")],
    ),
    "mexc:swap": (
        '{"symbol":"BTC_USDT","data":{"asks":[[64000.2,12000,2]],"bids":[[64000.1,5100,1]],"version":5},'
        '"channel":"push.depth.full","ts":1700000000123}',
        lambda m: [*m["data"]["bids"][0][:2], *m["data"]["asks"][0][:2]],
    ),
}  # fmt: skip
SYMBOLS = dict.fromkeys(("BTCUSDT", "BTC-USDT", "BTC_USDT", "BTC-USDT-SWAP", "XBTUSDTM"), "BTC/USDT")
CONTRACT_SIZES = dict.fromkeys(SYMBOLS, ContractSize(0.01))
EVERY = FRAMES | SWAPS


def turn(work: Work, frame: Frame) -> float:
    """CPU µs per frame of one turn."""
    started = time.process_time()
    for _ in range(FRAMES_PER_TURN):
        work(frame, *RECEIVED)
    return (time.process_time() - started) / FRAMES_PER_TURN * 1e6


def plain(exchange: str, pick: Pick, number: Callable[[str], Any]) -> Work:
    """The usual route to the same checked quote: json.loads, then four numbers."""

    def work(frame: Frame, received_ts_us: int, received_mono_ns: int) -> Quote:
        text = gzip.decompress(frame) if isinstance(frame, bytes) else frame
        bid, bid_size, ask, ask_size = map(number, pick(json.loads(text)))
        if not (0 < bid <= ask < INFINITY and 0 < bid_size < INFINITY and 0 < ask_size < INFINITY):
            raise ValueError(frame)
        return Quote(
            exchange, "BTC/USDT", bid, bid_size, ask, ask_size, None, received_ts_us, received_mono_ns
        )

    return work


def measure() -> dict[str, dict[str, float]]:
    """The best turn of every route, µs per frame."""
    routes: list[tuple[str, str, Work]] = []
    for exchange, (frame, pick) in EVERY.items():
        codec = CODECS[exchange](SYMBOLS, contract_sizes=CONTRACT_SIZES)
        assert codec.decode(frame, *RECEIVED), f"{exchange}: the frame gives no quote"
        routes.append((exchange, "ours", codec.decode))
        if exchange != "mexc":  # protobuf: no JSON route to compare with
            routes += [(exchange, n.__name__, plain(exchange, pick, n)) for n in (float, Decimal)]
    best: dict[str, dict[str, float]] = {exchange: {} for exchange in EVERY}
    for _ in range(TURNS):
        for exchange, route, work in routes:
            cost = turn(work, EVERY[exchange][0])
            best[exchange][route] = min(cost, best[exchange].get(route, cost))
    return best


def main() -> None:
    """Print a table and the figures."""
    figures: dict[str, dict[str, Any]] = {}
    print(f"{'exchange':12} {'ours µs':>8} {'json+float':>11} {'json+Decimal':>13} {'ratio':>6}")
    for exchange, cost in measure().items():
        ours = cost["ours"]
        figures[f"{exchange}_us"] = {"value": round(ours, 3), "target": None, "met": None}
        ratio = cost.get("Decimal", 0.0) / ours
        others = f"{cost['float']:11.3f} {cost['Decimal']:13.3f} {ratio:6.1f}" if "Decimal" in cost else ""
        print(f"{exchange:12} {ours:8.3f} {others}")
        if others:
            figures[f"{exchange}_ratio"] = {
                "value": round(ratio, 2), "target": TARGET_RATIO, "met": ratio >= TARGET_RATIO,
            }  # fmt: skip
    binance = figures["binance_us"]
    binance.update(target=TARGET_BINANCE_US, met=binance["value"] <= TARGET_BINANCE_US)
    print(json.dumps({"benchmark": "decode", "figures": figures}))


if __name__ == "__main__":
    main()
