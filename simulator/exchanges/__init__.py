"""The simulated exchanges, one file each: its spot market and its perpetual swaps."""

from simulator.exchanges.base import SimulatedExchange
from simulator.exchanges.binance import Binance, BinanceSwap
from simulator.exchanges.bingx import Bingx, BingxSwap
from simulator.exchanges.bitget import Bitget, BitgetSwap
from simulator.exchanges.bybit import Bybit, BybitSwap
from simulator.exchanges.gate import Gate, GateSwap
from simulator.exchanges.kucoin import Kucoin, KucoinSwap
from simulator.exchanges.mexc import Mexc, MexcSwap
from simulator.exchanges.okx import Okx, OkxSwap
from simulator.exchanges.perpetual import Perpetuals

TYPES: dict[str, type[SimulatedExchange]] = {
    exchange.key: exchange for exchange in (Binance, Bybit, Mexc, Gate, Kucoin, Okx, Bitget, Bingx)
}
SWAP_TYPES: dict[str, type[Perpetuals]] = {
    market.key: market
    for market in (BinanceSwap, BybitSwap, MexcSwap, GateSwap, KucoinSwap, OkxSwap, BitgetSwap, BingxSwap)
}
