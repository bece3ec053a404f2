"""Networks over which the simulated exchanges move a coin, and those of them that are closed; always the
same.

Names are those most exchanges share (ERC20, BEP20 …); an exchange's file spells them in its own way.
"""

from zlib import crc32

from msgspec import Struct

from simulator.catalogue import Listing

OWN_CHAIN = frozenset(("BTC", "SOL", "XRP", "DOGE", "ADA", "LTC", "DOT", "TON", "NEAR", "ATOM", "APT", "SUI"))
ELSEWHERE = {"ETH": ("ERC20", "BEP20"), "TRX": ("TRC20",), "USDT": ("ERC20", "TRC20", "BEP20")}
TOKEN = ("ERC20", "BEP20")
CLOSED_IN = 16  # one door in so many is closed


class Network(Struct, frozen=True):
    """A coin on one network of one exchange; the fee of a withdrawal in the coin."""

    name: str
    deposit: bool
    withdraw: bool
    fee: str = "0.5"


def coins(listings: dict[str, Listing]) -> list[str]:
    """Every coin an exchange lists, bases and quotes, each once."""
    return list(dict.fromkeys(name for row in listings.values() for name in (row.base, row.quote)))


def networks(exchange: str, coin: str) -> list[Network]:
    """The networks of a coin on an exchange."""
    names = (coin,) if coin in OWN_CHAIN else ELSEWHERE.get(coin, TOKEN)
    return [
        Network(name, _open(exchange, coin, name, "deposit"), _open(exchange, coin, name, "withdraw"))
        for name in names
    ]


def _open(*door: str) -> bool:
    return crc32("/".join(door).encode()) % CLOSED_IN != 0
