"""The simulated exchanges, one file each."""

from simulator.exchanges.base import Venue
from simulator.exchanges.binance import Binance
from simulator.exchanges.bingx import Bingx
from simulator.exchanges.bitget import Bitget
from simulator.exchanges.bybit import Bybit
from simulator.exchanges.gate import Gate
from simulator.exchanges.kucoin import Kucoin
from simulator.exchanges.mexc import Mexc
from simulator.exchanges.okx import Okx

VENUES: dict[str, type[Venue]] = {
    venue.key: venue for venue in (Binance, Bybit, Mexc, Gate, Kucoin, Okx, Bitget, Bingx)
}
