"""The simulated exchanges, one file each."""

from simulator.exchanges.base import SimulatedExchange
from simulator.exchanges.binance import Binance, BinanceSwap
from simulator.exchanges.bingx import Bingx
from simulator.exchanges.bitget import Bitget
from simulator.exchanges.bybit import Bybit
from simulator.exchanges.gate import Gate, GateSwap
from simulator.exchanges.kucoin import Kucoin
from simulator.exchanges.mexc import Mexc
from simulator.exchanges.okx import Okx
from simulator.exchanges.perpetual import Perpetuals

TYPES: dict[str, type[SimulatedExchange]] = {
    exchange.key: exchange for exchange in (Binance, Bybit, Mexc, Gate, Kucoin, Okx, Bitget, Bingx)
}
SWAP_TYPES: dict[str, type[Perpetuals]] = {market.key: market for market in (BinanceSwap, GateSwap)}
