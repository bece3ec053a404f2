"""A client that follows one simulated book as a collector does: codec, `Book`, and REST where needed."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import aiohttp

from collectors.exchanges import CODECS
from collectors.exchanges.wire import ContractSize
from core.names.market_keys import SWAP, market_of
from engine.books.book import Book
from markets.events import BookUpdate, Level, Quote
from simulator.ladder import View
from simulator.server import Simulator
from tests.support.exchanges.simulator_client import Client
from tests.support.exchanges.tiny_exchange import until

Words = Callable[[str, str], Any]
"""What is sent to subscribe ("sub") or unsubscribe ("unsub") the instrument of a native id."""


class Wire(NamedTuple):
    """How depth of a market is asked for; `shown`: how many levels of the book a client sees.

    `count` is what the exchange's last id is of the simulator's: `last` times so many, or its `number`.
    """

    words: Words
    rest: str = ""
    shown: int = 1000
    times: int = 1


def binance(act: str, native: str) -> Any:
    return {"method": f"{act.upper()}SCRIBE", "params": [f"{native.lower()}@depth@100ms"], "id": 7}


def bybit(levels: int) -> Words:
    return lambda act, native: {"op": f"{act}scribe", "args": [f"orderbook.{levels}.{native}"]}


def okx(act: str, native: str) -> Any:
    return {"op": f"{act}scribe", "args": [{"channel": "books", "instId": native}]}


def gate(channel: str, *parameters: str) -> Words:
    return lambda act, native: {
        "channel": channel,
        "event": f"{act}scribe",
        "payload": [parameters[0].format(native), *parameters[1:]],
    }


def kucoin(topic: str) -> Words:
    return lambda act, native: {"id": 7, "type": f"{act}scribe", "topic": f"{topic}:{native}"}


def mexc(act: str, native: str) -> Any:
    name = f"spot@public.aggre.depth.v3.api.pb@100ms@{native}"
    return {"method": f"{act.upper()}SCRIPTION", "params": [name]}


def mexc_swap(**options: Any) -> Words:
    return lambda act, native: {"method": f"{act}.depth", "param": {"symbol": native, **options}}


def bitget(product: str) -> Words:
    return lambda act, native: {
        "op": f"{act}scribe",
        "args": [{"instType": product, "channel": "books", "instId": native}],
    }


def bingx(act: str, native: str) -> Any:
    return {"id": "7", "reqType": act, "dataType": f"{native}@incrDepth"}


FUTURES = "/api/v4/futures/usdt/order_book?contract={}&with_id=true&limit="
WIRES: dict[str, Wire] = {
    "binance": Wire(binance, "/api/v3/depth?symbol={}&limit=1000"),
    "binance:swap": Wire(binance, "/fapi/v1/depth?symbol={}&limit=1000", times=3),
    "bybit": Wire(bybit(50), shown=50, times=0),
    "bybit:swap": Wire(bybit(200), shown=200, times=0),
    "okx": Wire(okx),
    "okx:swap": Wire(okx),
    "gate": Wire(
        gate("spot.order_book_update", "{}", "100ms"),
        "/api/v4/spot/order_book?currency_pair={}&limit=100&with_id=true",
        shown=100,
    ),
    "gate:swap": Wire(gate("futures.obu", "ob.{}.400")),
    "kucoin": Wire(
        kucoin("/market/level2"), "/api/v1/market/orderbook/level2_100?symbol={}", shown=20
    ),  # all changes, but of the whole book its best levels alone
    "kucoin:swap": Wire(kucoin("/contractMarket/level2"), "/api/v1/level2/snapshot?symbol={}"),
    "mexc": Wire(mexc, "/api/v3/depth?symbol={}&limit=1000"),
    "mexc:swap": Wire(mexc_swap(), "/api/v1/contract/depth/{}?limit=1000"),
    "bitget": Wire(bitget("SPOT")),
    "bitget:swap": Wire(bitget("USDT-FUTURES")),
    "bingx": Wire(bingx),
    "bingx:swap": Wire(bingx),
}
OTHERS: dict[str, tuple[str, Wire]] = {
    "Bybit, 1,000 levels": ("bybit", Wire(bybit(1000), times=0)),
    "Bybit swap, 50 levels": ("bybit:swap", Wire(bybit(50), shown=50, times=0)),
    "Gate's obu, 50 levels": ("gate", Wire(gate("spot.obu", "ob.{}.50"), shown=50)),
    "Gate swap, 20 levels": (
        "gate:swap",
        Wire(gate("futures.order_book_update", "{}", "20ms"), f"{FUTURES}20", shown=20),
    ),
    "Gate swap, 100 levels": (
        "gate:swap",
        Wire(gate("futures.order_book_update", "{}", "100ms", "100"), f"{FUTURES}100", shown=100),
    ),
    "MEXC swap, not merged": (
        "mexc:swap",
        Wire(mexc_swap(compress=False), "/api/v1/contract/depth/{}?limit=1000"),
    ),
}


class Follower:
    """Follows BTC on one connection; `outcomes` are what became of each update.

    `before` is who followed it on the connection before this one: the book is the same.
    """

    def __init__(
        self,
        sim: Simulator,
        key: str,
        client: Client,
        wire: Wire | None = None,
        before: "Follower | None" = None,
    ) -> None:
        self.wire = wire or WIRES[key]
        self.epoch: int = before.epoch + 1 if before else 0
        self.quotes = 0
        self.client = client
        self._sim = sim
        self._exchange = sim.exchanges[key]
        self.symbol = "BTC/USDT:USDT" if market_of(key) == SWAP else "BTC/USDT"
        self.listing = self._exchange.listings[self.symbol]
        self.native = self._exchange.native(self.listing)
        self.coins = float(self.listing.contract)
        codec = CODECS[key]
        self.codec = codec({self.native: self.symbol}, contract_sizes={self.native: ContractSize(self.coins)})
        self.book: Book = before.book if before else Book(codec.book_rule)
        self.outcomes: list[str] = []

    async def subscribe(self, act: str = "sub") -> None:
        """Ask for changes, or for no more."""
        await self.client.send(self.wire.words(act, self.native))

    async def begin_again(self) -> None:
        """Ask for the book that was lost, or subscribe again, as a collector does."""
        if self.wire.rest:
            assert await self.ask() == 200
        else:
            await self.subscribe("unsub")
            await self.subscribe()

    async def ask(self) -> int:
        """Ask for the whole book, and apply it; return the HTTP status."""
        url = self._sim.rest_url(self._exchange.key) + self.wire.rest.format(self.native)
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            if response.status == 200:
                for update in self.codec.snapshot(await response.read(), self.native):
                    self.outcomes.append(self.book.apply(update, self.epoch))
            return response.status

    async def mended(self) -> None:
        """Begin again, and be the simulator's own book."""
        await self.begin_again()
        view = await self.meet()
        assert self.levels() == self.same(view)

    async def moved(self, changes: int = 3) -> None:
        """Wait, without reading, until the simulator's book has changed."""
        number = self.view().number
        await until(lambda: self.view().number >= number + changes)

    async def read(self) -> list[BookUpdate]:
        """Read one frame, and apply what it says of the book."""
        frame = await self.client.raw()
        events = self.codec.decode(frame)
        self.quotes += sum(isinstance(event, Quote) for event in events)
        updates = [event for event in events if isinstance(event, BookUpdate)]
        self.outcomes += [self.book.apply(update, self.epoch) for update in updates]
        return updates

    async def until(self, wanted: Callable[[], object], seconds: float = 20.0) -> None:
        """Read until something is so."""
        async with asyncio.timeout(seconds):
            while not wanted():
                await self.read()

    async def follow(self) -> None:
        """Read, and ask where it has to be asked, until the book is live."""
        await self.subscribe()
        if self.wire.rest:
            await self.until(lambda: "waiting" in self.outcomes)
            assert await self.ask() == 200
        await self.until(lambda: not self.book.resyncing)

    async def meet(self) -> View:
        """Read until the book has all that the simulator has changed; the simulator's book then."""
        view = self.view()

        def met() -> bool:
            nonlocal view
            view = self.view()
            last = view.last * self.wire.times if self.wire.times else view.number
            return not self.book.resyncing and self.book.last_seq == last

        await self.until(met)
        return view

    def view(self) -> View:
        """The simulator's own book."""
        ladder = self._exchange.source.ladder(self._exchange, self.listing)
        assert ladder is not None
        return ladder.view(self.wire.shown)

    def levels(self) -> tuple[list[Level], list[Level]]:
        """The best levels of the book, as many as a client is shown."""
        top = self.book.top(self.wire.shown)
        assert top is not None
        return top

    def same(self, view: View) -> tuple[list[Level], list[Level]]:
        """The simulator's levels in coins."""
        bids, asks = (
            [(float(price), float(size) * self.coins) for price, size in side]
            for side in (view.bids, view.asks)
        )
        return bids, asks
