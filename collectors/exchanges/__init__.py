"""The exchanges we speak: one file each, registered here by market key: `binance`, `binance:swap`."""

from collectors.exchanges.base import Codec
from collectors.exchanges.binance import Binance, BinanceSwap
from collectors.exchanges.bingx import BingX
from collectors.exchanges.bitget import Bitget
from collectors.exchanges.bybit import Bybit
from collectors.exchanges.gate import Gate, GateSwap
from collectors.exchanges.kucoin import KuCoin
from collectors.exchanges.mexc import Mexc
from collectors.exchanges.okx import Okx

CODECS: dict[str, type[Codec]] = {
    codec.sheet.key: codec
    for codec in (Binance, Bybit, Mexc, Gate, KuCoin, Okx, Bitget, BingX, BinanceSwap, GateSwap)
}
