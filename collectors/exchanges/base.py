"""What one exchange file provides: a data sheet and a pure codec. No sockets, no clock, no Django."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from msgspec import Struct

from markets.events import Quote, Trade

ControlKind = Literal["ack", "error", "ping", "pong", "heartbeat"]


class Topic(NamedTuple):
    """One subscription: what it carries, for which instrument, and its name on the wire."""

    channel: Literal["quote", "trade"]
    native_id: str
    name: str


class Control(Struct):
    """A frame that carries no market data.

    `request_id` and `topics` say which of our requests or topics an ack or error answers (whichever
    the venue names); `reply` is text to send back at once; `reconnect` means the venue announced
    that it is about to close this connection.
    """

    kind: ControlKind
    request_id: str | None = None
    topics: tuple[str, ...] = ()
    message: str = ""
    reply: str | None = None
    reconnect: bool = False


@dataclass(frozen=True, slots=True)
class DataSheet:
    """The facts of one venue's spot market-data socket; sources are in its file.

    Times in seconds, sizes in bytes. `ping_s` is how often the client must ping with
    `Codec.ping()` (None: the server pings); `silence_s` is after how long without any frame the
    connection counts as dead; `life_s` is when the venue cuts every connection. `token_path` is
    the REST path (POST) that hands out a connection token, where there is one, and then a
    welcome frame precedes the first request.
    """

    key: str
    name: str
    ws_url: str
    rest_url: str
    topics_per_connection: int
    topics_per_request: int
    requests_per_second: float
    silence_s: float
    ping_s: float | None = None
    request_bytes: int | None = None
    life_s: float | None = None
    token_path: str | None = None


class Codec(ABC):
    """Frames of one exchange to events, and our requests to frames.

    `symbols` maps the venue's native id to our symbol; the owner may change it while running.
    `exact=True` decodes prices and sizes as Decimal of the venue's own text instead of float.
    `counts` counts what was not emitted, by kind: `malformed`, `unknown_kind`, `unknown_symbol`,
    `rejected_zero`, `rejected_crossed`, `empty_side`, `one_sided`, `frozen` …
    """

    sheet: ClassVar[DataSheet]

    def __init__(self, symbols: Mapping[str, str], *, exact: bool = False) -> None:
        self.symbols = symbols
        self.exact = exact
        self.counts: Counter[str] = Counter()

    @abstractmethod
    def topics(self, native_id: str) -> tuple[Topic, Topic]:
        """The quote topic and the trade topic of an instrument."""

    @abstractmethod
    def batches(self, topics: Sequence[Topic]) -> list[list[Topic]]:
        """Split topics into groups that one request can carry within the venue's limits."""

    @abstractmethod
    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """The request text that subscribes one batch."""

    @abstractmethod
    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """The request text that unsubscribes one batch."""

    def ping(self, request_id: int) -> str | None:
        """The client's heartbeat text, None where the venue pings us."""
        return None

    @abstractmethod
    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Quote | Trade | Control]:
        """Decode one wire frame. Never raises on bad input: it counts in `counts` and returns nothing."""
