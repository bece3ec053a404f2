"""Configuration that a fresh desk starts with: `manage.py seed` writes it.

Fees are what the exchanges charge an account without volume or token discounts, in bps, by each exchange's
public schedule of its lowest tier. Those of swaps stand with their source; what has none is assumed. MEXC's
are what orders over its API pay, whatever its list of contracts says (PROTOCOLS2 A15).
"""

from decimal import Decimal
from typing import NamedTuple


class DefaultExchange(NamedTuple):
    """An exchange, its base-tier fees in bps, and what joins base and quote in its native ids of spot."""

    key: str
    name: str
    taker_fee_bps: str
    maker_fee_bps: str
    joiner: str
    swap_taker_fee_bps: str
    swap_maker_fee_bps: str
    swap_fee_source: str


# Without a source: Bybit's, and what makers pay at Gate and Bitget, where lists say otherwise.
EXCHANGES = (
    DefaultExchange("binance", "Binance", "10", "10", "", "5", "2", "ccxt 4.5.90"),
    DefaultExchange("bybit", "Bybit", "10", "10", "", "5.5", "2", ""),
    DefaultExchange("mexc", "MEXC", "5", "0", "", "8", "6", "MEXC of orders over its API, 2026-06"),
    DefaultExchange("gate", "Gate", "10", "10", "_", "5", "2", ""),
    DefaultExchange("kucoin", "KuCoin", "10", "10", "-", "6", "2", "its list of contracts"),
    DefaultExchange("okx", "OKX", "10", "8", "-", "5", "2", "ccxt 4.5.90"),
    DefaultExchange("bitget", "Bitget", "10", "10", "", "6", "2", ""),
    DefaultExchange("bingx", "BingX", "10", "10", "-", "5", "2", "its list of contracts"),
)

SWAP_FEES = {
    row.key: (Decimal(row.swap_taker_fee_bps), Decimal(row.swap_maker_fee_bps), row.swap_fee_source)
    for row in EXCHANGES
}

QUOTE = "USDT"
BASES = (
    "BTC", "ETH", "SOL", "XRP", "DOGE", "ADA", "AVAX", "LINK", "LTC", "DOT",
    "TRX", "TON", "NEAR", "ATOM", "UNI", "ARB", "OP", "APT", "SUI", "PEPE",
)  # fmt: skip

# What the simulator lists on top with --traps: CAT, which Binance sells by the thousand, and BEAM, which
# is another coin on KuCoin (left to the collector to find out).
TRAP_BASES = ("CAT", "BEAM")
THOUSANDS = {("binance", "CAT"): "1000CAT"}

FILTER_NAME = "Majors"
FILTER_BASES = ("BTC", "ETH", "SOL", "XRP", "DOGE")
FILTER_PAIRS = (("binance", "bybit"), ("mexc", "gate"), ("kucoin", "okx"), ("bitget", "bingx"))

# The second filter: basis of some exchanges, and their swaps against each other.
SWAP_FILTER_NAME = "Swaps"
SWAP_FILTER_BASES = ("BTC", "ETH", "SOL")
SWAP_FILTER_PAIRS = (
    ("binance", "binance:swap"), ("okx", "okx:swap"), ("binance:swap", "bybit:swap"),
    ("gate:swap", "okx:swap"),
)  # fmt: skip

# Finds opportunities among all symbols and pairs, and draws no charts.
FINDER_NAME = "Everything"
FINDER_OPEN_BPS, FINDER_CLOSE_BPS = 5, 2
FINDER_DURATION_MS = 200
