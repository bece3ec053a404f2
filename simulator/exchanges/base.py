"""Base of every simulated exchange: subscribers, limits, heartbeats, its REST table.

An exchange file adds the dialect. It shares no code with the collectors: two independent readings of
the same protocol are what makes the simulator a test of the codecs.
"""

import json
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from msgspec import Struct

from core.names.market_keys import exchange_of
from simulator.catalogue import VOLUME_SHARE, Listing
from simulator.faults import Fault
from simulator.ladder import Ladder
from simulator.session import Channel, Frame, Session, Topic

if TYPE_CHECKING:
    from simulator.exchanges.depth.base import Depth

_STARTED_NS = time.time_ns() - time.monotonic_ns()


class Book(Struct):
    """Best bid and ask as the exchange would print them; an empty text is an empty side.

    `ts_ms` is the book's time on the exchange's clock, `lag_ms` how much later it is pushed; `n` rises.
    """

    bid: str
    bid_size: str
    ask: str
    ask_size: str
    ts_ms: int
    n: int
    lag_ms: int = 0


class Deal(Struct):
    """One trade; `side` is the taker's, `ts_ms` on the exchange's clock."""

    price: str
    size: str
    side: str
    ts_ms: int
    n: int


class Rhythm(NamedTuple):
    """An exchange's periods in seconds, before `time_scale`; None where it has none.

    `ping`: how often the server pings; `drop`: a client silent (as `SimulatedExchange.alive` defines it) this
    long is dropped; `life`: every connection ends after this; `unsubscribed`: a connection that
    is subscribed to nothing for this long ends.
    """

    ping: float | None = None
    drop: float | None = None
    life: float | None = None
    unsubscribed: float | None = None


class RestCall(NamedTuple):
    """A REST request as an exchange sees it; `base` is where the client reached the simulator (host:port)."""

    method: str
    path: str
    query: Mapping[str, str]
    base: str


class RestReply(NamedTuple):
    """Reply to a REST request: JSON body, status and headers."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}


class Source(Protocol):
    """Source of books: the seeded market or a recording.

    `snapshot` always has an answer (for REST), `latest` only what has been quoted already; `ladder` is the
    book behind the quote, None where only quotes were recorded; `prices` are the mark and the index price of
    a swap.
    """

    def snapshot(self, exchange: "SimulatedExchange", listing: Listing) -> Book: ...

    def latest(self, exchange: "SimulatedExchange", listing: Listing) -> Book | None: ...

    def ladder(self, exchange: "SimulatedExchange", listing: Listing) -> Ladder | None: ...

    def wake(self, exchange: "SimulatedExchange", symbol: str) -> None: ...

    def prices(self, exchange: "SimulatedExchange", listing: Listing) -> tuple[float, float]: ...


RestHandler = Callable[[RestCall], Any]


class SimulatedExchange(ABC):
    """One simulated exchange: its dialect and its connected clients."""

    key: ClassVar[str]
    name: ClassVar[str]
    depth_type: ClassVar[type["Depth"]]
    ws_paths: ClassVar[tuple[str, ...]]
    separator: ClassVar[str] = ""
    padding: ClassVar[int | None] = None  # None: trailing zeros trimmed; 0: the step's decimals; 8: always 8
    rhythm: ClassVar[Rhythm] = Rhythm()
    resend_s: ClassVar[float | None] = None  # a quote unchanged this long is sent again
    messages_per_window: ClassVar[tuple[int, float] | None] = None  # more than these per seconds: cut

    def __init__(self, listings: Sequence[Listing], source: Source, time_scale: float) -> None:
        self.listings = {listing.symbol: listing for listing in listings}
        self.by_native = {self.native(listing): listing for listing in listings}
        self.source = source
        self.time_scale = time_scale
        self.sessions: set[Session] = set()
        self.subscribers: dict[tuple[Channel, str], dict[tuple[str, str], set[Session]]] = {}
        self.delisted: set[str] = set()
        self.faults: tuple[Fault, ...] = ()
        self.quoted: dict[str, tuple[float, Book]] = {}
        self.counts: Counter[str] = Counter()
        self.depth: Depth = self.depth_type(self)
        self.skew_ms = 0
        self.delay_s = 0.0
        self.silent = False
        self.quiet = False
        self.late_at = -inf  # when this process was last late, by the monotonic clock

    # --- the dialect -----------------------------------------------------------------------------

    @abstractmethod
    def receive(self, session: Session, text: str) -> None:
        """Answer one text frame from a client."""

    @abstractmethod
    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """The frame that pushes a quote."""

    @abstractmethod
    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """The frame that pushes a trade."""

    @abstractmethod
    def routes(self) -> dict[str, RestHandler]:
        """`GET /path` to handler; a handler returns a JSON value or a RestReply."""

    @abstractmethod
    def not_found(self, call: RestCall) -> RestReply:
        """Reply of the exchange to a path it does not have."""

    def welcome(self, session: Session) -> None:  # noqa: B027 - most exchanges have none
        """Greet a client that has connected, as the exchange does."""

    async def ping(self, session: Session) -> None:  # noqa: B027 - most exchanges have none
        """The server's heartbeat, where there is one."""

    def alive(self, session: Session) -> float:
        """Monotonic time when the client last did what keeps this exchange's connection open."""
        return session.received_s

    def drop(self, session: Session) -> None:
        """End a connection whose client did not keep it alive."""
        session.close(1000, "connection idle")

    def ponged(self, session: Session, payload: bytes) -> None:  # noqa: B027 - most exchanges have none
        """A WebSocket pong frame came from the client."""

    def has_socket(self, path: str) -> bool:
        """Whether a WebSocket can be opened at this path (without a slash at its end)."""
        return path in self.ws_paths

    def announce_close(self, session: Session) -> None:  # noqa: B027 - most exchanges have none
        """Say in the exchange's own words that the connection will be closed soon."""

    def encode(self, text: str) -> Frame:
        """The exchange's frame encoding."""
        return text

    # --- shared ----------------------------------------------------------------------------------

    def native(self, listing: Listing) -> str:
        """The exchange's own name of a symbol."""
        return f"{listing.base}{self.separator}{listing.quote}"

    def find(self, native: str) -> Listing | None:
        """The listing behind a native id, None for unknown and delisted ones."""
        listing = self.by_native.get(native)
        return None if listing is None or listing.symbol in self.delisted else listing

    @property
    def exchange(self) -> str:
        """The exchange whose market this is: `okx` of `okx:swap`."""
        return exchange_of(self.key)

    def fault(self, kind: str, listing: Listing) -> float | None:
        """The value of the active fault of a kind that concerns a listing, None without one."""
        return next((f.value for f in self.faults if f.kind == kind and f.concerns(listing.symbol)), None)

    def contract_size(self, listing: Listing) -> str:
        """Coins per contract, as the exchange says it now."""
        return listing.contract

    def size_text(self, listing: Listing, coins: float) -> str:
        """A size in the market's own unit, at least the least one."""
        return self.number(max(coins, 10.0**-listing.size_decimals), listing.size_decimals)

    def number(self, value: float, decimals: int) -> str:
        """A price or size as this exchange prints it."""
        text = f"{value:.{decimals}f}"
        if self.padding is None:
            return text.rstrip("0").rstrip(".") if "." in text else text
        missing = self.padding - decimals
        return text + ("." if decimals == 0 else "") + "0" * missing if missing > 0 else text

    def now_ms(self) -> int:
        """The exchange's clock. Nobody sets it with this host's: that is another machine's."""
        return (_STARTED_NS + time.monotonic_ns()) // 1_000_000 + self.skew_ms

    def subscribe(self, session: Session, topic: Topic) -> None:
        """Let a session receive a topic."""
        session.topics[topic.name] = topic
        variants = self.subscribers.setdefault((topic.channel, topic.symbol), {})
        variants.setdefault((topic.name, session.variant), set()).add(session)
        self.counts["subscribed"] += 1
        if topic.channel in ("quote", "trade", "depth"):
            self.source.wake(self, topic.symbol)

    def greet(self, session: Session, topic: Topic) -> None:
        """Subscribe and, as snapshot channels do, push the current quote or book at once."""
        self.subscribe(session, topic)
        listing = self.listings[topic.symbol]
        book = self.source.latest(self, listing) if topic.channel == "quote" else None
        if book is not None and not self.quiet:
            book = self.as_quoted(listing, book)
            self.quoted[topic.symbol] = (time.monotonic(), book)
            session.push(self.book_frame(topic.name, session.variant, listing, book))
        if topic.channel == "depth":
            self.depth.greet(session, topic.name, listing)

    def unsubscribe(self, session: Session, name: str) -> None:
        """Stop a topic for a session; unknown names are ignored."""
        topic = session.topics.pop(name, None)
        if topic is None:
            return
        if not session.topics:
            session.lonely_since = time.monotonic()
        key = (topic.channel, topic.symbol)
        variants = self.subscribers[key]
        variants[name, session.variant].discard(session)
        if not variants[name, session.variant]:
            del variants[name, session.variant]
        if not variants:
            del self.subscribers[key]

    def forget(self, session: Session) -> None:
        """Remove a session that has ended."""
        for name in list(session.topics):
            self.unsubscribe(session, name)
        self.sessions.discard(session)

    def wanted(self, symbol: str) -> bool:
        """Whether any client is subscribed to quotes, trades or depth of the symbol."""
        return any((channel, symbol) in self.subscribers for channel in ("quote", "trade", "depth"))

    def follows(self, symbol: str) -> bool:
        """Whether any client is subscribed to depth of the symbol."""
        return ("depth", symbol) in self.subscribers

    def sent(self, frames: int) -> None:
        """Count frames that went out."""
        self.counts["frames_sent"] += frames

    def too_fast(self, session: Session) -> bool:
        """Whether the client has sent more messages than the exchange's limit allows.

        A process that was late itself does not know when they were sent, and starts counting again.
        """
        if self.messages_per_window is None:
            return False
        count, seconds = self.messages_per_window
        now = time.monotonic()
        since = now - seconds * self.time_scale
        if self.late_at > since:
            session.recent.clear()
        session.recent.append(now)
        return sum(1 for moment in session.recent if moment > since) > count

    def quote(self, listing: Listing) -> Book:
        """The current book, for REST."""
        return self.as_quoted(listing, self.source.snapshot(self, listing))

    def as_quoted(self, listing: Listing, book: Book) -> Book:
        """The book that this exchange shows."""
        return book

    def volume(self, listing: Listing) -> float:
        """24 h volume in quote currency on this exchange."""
        return listing.volume * VOLUME_SHARE[self.exchange]

    def rows(self) -> list[tuple[Listing, Book]]:
        """Every listing with its book: what an all-tickers endpoint iterates over."""
        return [(listing, self.quote(listing)) for listing in self.listings.values()]

    def trading(self, listing: Listing) -> bool:
        """Whether the listing can be traded."""
        return listing.symbol not in self.delisted


def path_of(key: str) -> str:
    """A market's part of the URL: the colon of `okx:swap` has another meaning there."""
    return key.replace(":", "-")


def side(price: str, size: str) -> str:
    """The levels of one side as JSON: one level, or none for an empty side."""
    return f'[["{price}","{size}"]]' if price else "[]"


def read_json(text: str) -> dict[str, Any] | None:
    """A client's JSON object, None for anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def strings(value: object) -> list[str]:
    """The strings of a JSON list, an empty list for anything else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
