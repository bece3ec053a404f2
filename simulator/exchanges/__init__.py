"""The simulated exchanges, one file each."""

from simulator.exchanges.base import SimulatedExchange
from simulator.exchanges.binance import Binance
from simulator.exchanges.bingx import Bingx
from simulator.exchanges.bitget import Bitget
from simulator.exchanges.bybit import Bybit
from simulator.exchanges.gate import Gate
from simulator.exchanges.kucoin import Kucoin
from simulator.exchanges.mexc import Mexc
from simulator.exchanges.okx import Okx

TYPES: dict[str, type[SimulatedExchange]] = {
    exchange.key: exchange for exchange in (Binance, Bybit, Mexc, Gate, Kucoin, Okx, Bitget, Bingx)
}
