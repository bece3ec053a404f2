"""What one stablecoin is worth in another, so that BTC/USDC and BTC/USDT can be compared.

Plain Python, no Django. A rate is the median mid of a symbol such as USDC/USDT over the exchanges
that quote it in this shard, or what the shard that owns that symbol said lately.
"""

from collections.abc import Iterable, Mapping
from math import isnan, nan
from statistics import median
from typing import Final

from markets.config import ListingConfig
from realtime.gates import quote_of
from realtime.legs import Leg

HEARD_FOR_US: Final = 10_000_000
"""How long a rate of another shard holds."""

Conversion = tuple[str, str]  # from a currency, to a currency


def conversion(listing: ListingConfig) -> Conversion | None:
    """What prices there must be converted by, if the symbol it counts as is quoted otherwise."""
    wanted = quote_of(listing.counts_as)
    return None if listing.quote == wanted else (listing.quote, wanted)


class Rates:
    """The rates a configuration needs, in any shard. `legs` quote them in this one, by symbol."""

    def __init__(self) -> None:
        self.needed: set[Conversion] = set()
        self.legs: dict[str, list[Leg]] = {}
        self.current: dict[Conversion, float] = {}
        """How much of the second currency one of the first is worth, as of `reckon`; NaN: nobody says."""
        self._heard: dict[str, tuple[float, int]] = {}

    def configure(self, listings: Iterable[ListingConfig]) -> None:
        """Know what is needed; the legs are to be told anew."""
        self.needed = {needed for listing in listings if (needed := conversion(listing))}
        symbols = (symbol for a, b in self.needed for symbol in (f"{a}/{b}", f"{b}/{a}"))
        self.legs = {symbol: [] for symbol in symbols}

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

    def reckon(self, now_us: int) -> None:
        """Know every rate that is needed as of now; this shard's own quotes go before what others say."""
        known = {s: rate for s, (rate, ts_us) in self._heard.items() if now_us - ts_us <= HEARD_FOR_US}
        known |= self.own()
        self.current = {needed: _convert(needed, known) for needed in self.needed}


def _convert(needed: Conversion, known: Mapping[str, float]) -> float:
    one, other = needed
    if (direct := known.get(f"{one}/{other}")) is not None:
        return direct
    inverse = known.get(f"{other}/{one}")
    return nan if inverse is None else 1 / inverse
