"""The simulated exchanges, one file each."""

from simulator.venues.base import Venue
from simulator.venues.binance import Binance
from simulator.venues.bingx import Bingx
from simulator.venues.bitget import Bitget
from simulator.venues.bybit import Bybit
from simulator.venues.gate import Gate
from simulator.venues.kucoin import Kucoin
from simulator.venues.mexc import Mexc
from simulator.venues.okx import Okx

VENUES: dict[str, type[Venue]] = {
    venue.key: venue for venue in (Binance, Bybit, Mexc, Gate, Kucoin, Okx, Bitget, Bingx)
}
