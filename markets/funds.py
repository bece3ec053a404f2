"""Fund tokens: BTC3L, ETHDOWN, DOGEBULL. Every exchange makes its own, so that a ticker names many things.

A token is known by its name alone, since few exchanges say it otherwise. What ends in a number and L or S
is one, if what is left ends in two letters or is itself listed. A word at the end is not enough: JUP and
SYRUP are coins. It counts where what is left is a well-known coin, or a listed one of three letters or more,
or where the opposite token is listed (BTCUP beside BTCDOWN).

Plain Python, no Django.
"""

import re
from collections.abc import Collection
from typing import Final

from core.names.symbols import base_of
from markets.config import MarketConfig
from markets.defaults import BASES

_NUMBERED: Final = re.compile(r"(?P<coin>[A-Z0-9]+)(?:[1-9]|10|20|50|100)[LS]")
_WORDED: Final = re.compile(r"(?P<coin>[A-Z0-9]+?)(?P<word>UP|DOWN|BULL|BEAR|LONG|SHORT|HEDGE|HALF)")
_OPPOSITE: Final = {
    "UP": "DOWN", "DOWN": "UP", "BULL": "BEAR", "BEAR": "BULL", "LONG": "SHORT", "SHORT": "LONG",
}  # fmt: skip
_SPEAKING: Final = 3
"""From how many letters on a listed coin before UP or BEAR is no coincidence."""


def fund_of(base: str, listed: Collection[str]) -> str:
    """The coin that a fund token follows; empty where the name is no fund token's.

    `listed` are the names of all coins, in upper case.
    """
    name = base.upper()
    if numbered := _NUMBERED.fullmatch(name):
        coin = numbered["coin"]
        return coin if (coin[-2:].isalpha() and len(coin) > 1) or coin in listed else ""
    if not (worded := _WORDED.fullmatch(name)):
        return ""
    coin, word = worded["coin"], worded["word"]
    is_known = coin in BASES or (len(coin) >= _SPEAKING and coin in listed)
    return coin if is_known or f"{coin}{_OPPOSITE.get(word)}" in listed else ""


def funds(config: MarketConfig) -> dict[str, str]:
    """The symbols that are compared and whose base is a fund token, with the coin it follows."""
    listed = {listing.base.upper() for listing in config.listings}
    symbols = {listing.counts_as for listing in config.listings}
    found = {symbol: fund_of(base_of(symbol), listed) for symbol in symbols}
    return {symbol: coin for symbol, coin in found.items() if coin}
