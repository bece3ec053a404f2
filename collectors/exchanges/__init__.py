"""The exchanges we speak: one file each, registered here by market key: `binance`, `binance:swap`."""

from collectors.exchanges.base import Codec
from collectors.exchanges.binance import Binance, BinanceSwap
from collectors.exchanges.bingx import BingX, BingXSwap
from collectors.exchanges.bitget import Bitget, BitgetSwap
from collectors.exchanges.bybit import Bybit, BybitSwap
from collectors.exchanges.gate import Gate, GateSwap
from collectors.exchanges.kucoin import KuCoin, KuCoinSwap
from collectors.exchanges.mexc import Mexc, MexcSwap
from collectors.exchanges.okx import Okx, OkxSwap

CODECS: dict[str, type[Codec]] = {
    codec.sheet.key: codec
    for codec in (
        *(Binance, Bybit, Mexc, Gate, KuCoin, Okx, Bitget, BingX),
        *(BinanceSwap, BybitSwap, MexcSwap, GateSwap, KuCoinSwap, OkxSwap, BitgetSwap, BingXSwap),
    )
}
