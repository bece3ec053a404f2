"""What one stablecoin is worth in another, so that BTC/USDC and BTC/USDT can be compared.

Plain Python, no Django. A rate is the median mid of a symbol such as USDC/USDT over the exchanges
that quote it in this shard, or what the shard that owns that symbol said lately.
"""

from collections.abc import Iterable, Mapping
from math import isnan, nan
from statistics import median
from typing import Final

from realtime.legs import Leg

HEARD_FOR_US: Final = 10_000_000
"""How long a rate of another shard holds."""

Conversion = tuple[str, str]  # from a currency, to a currency


def quote_currency(symbol: str) -> str:
    """`USDT` of `BTC/USDT` and of `BTC/USDT:USDT`."""
    return symbol.partition("/")[2].partition(":")[0]


def conversion(leg: Leg) -> Conversion | None:
    """What a leg's prices must be converted by, if the symbol it counts as is quoted otherwise."""
    wanted = quote_currency(leg.listing.counts_as)
    return None if leg.listing.quote == wanted else (leg.listing.quote, wanted)


class Rates:
    """The rates a configuration needs. `legs` are those that quote them in this shard, by symbol."""

    def __init__(self) -> None:
        self.legs: dict[str, list[Leg]] = {}
        self._heard: dict[str, tuple[float, int]] = {}

    @staticmethod
    def symbols(needed: Iterable[Conversion]) -> set[str]:
        """The symbols that say a rate, either way round."""
        return {symbol for one, other in needed for symbol in (f"{one}/{other}", f"{other}/{one}")}

    def hear(self, said: Mapping[str, tuple[float, int]]) -> None:
        """Take over what other shards say: symbol -> rate and when it held, µs."""
        self._heard = dict(said)

    def own(self) -> dict[str, float]:
        """What this shard's exchanges quote now, by symbol."""
        mids = {
            symbol: [(leg.bid + leg.ask) / 2 for leg in legs if not (isnan(leg.bid) or leg.jumped)]
            for symbol, legs in self.legs.items()
        }
        return {symbol: median(known) for symbol, known in mids.items() if known}

    def rate(self, needed: Conversion, now_us: int) -> float:
        """How much of the second currency one of the first is worth; NaN while nobody says."""
        known = {s: rate for s, (rate, ts_us) in self._heard.items() if now_us - ts_us <= HEARD_FOR_US}
        known |= self.own()
        one, other = needed
        if (direct := known.get(f"{one}/{other}")) is not None:
            return direct
        inverse = known.get(f"{other}/{one}")
        return nan if inverse is None else 1 / inverse
