"""Events that the store keeps: what exchanges say, and the five best levels of books that are followed."""

from msgspec import Struct

from markets.events import BookUpdate, Quote, Trade


class Top5(Struct, gc=False):
    """The five best levels of a book, best first, as of the last update it took over; sizes in coins."""

    exchange: str
    symbol: str
    bids: tuple[float, ...]
    bid_sizes: tuple[float, ...]
    asks: tuple[float, ...]
    ask_sizes: tuple[float, ...]
    exchange_ts_us: int | None = None
    received_ts_us: int = 0


StoreEvent = Quote | Trade | BookUpdate | Top5
