"""Data sheet of a market's socket: where it is, what it allows, how it is kept alive. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

Channel = Literal["quote", "trade", "funding", "depth"]
"""What a topic carries: `funding` what an exchange says of a swap, mark and index price or funding or all;
`depth` the changes of its book."""


class Topic(NamedTuple):
    """One subscription: what it carries, for which instrument, and its name on the wire."""

    channel: Channel
    native_id: str
    name: str


class Depth(NamedTuple):
    """How one market says its books: the name of the topic, `{id}` its native id (`{lower}`: in lower case).

    Where deltas wait for a snapshot (`Codec.book_rule`), `snapshot` is the path (GET) that has it, with at
    most `levels` a side; it is asked for at most so many times a second, so that the limits of the exchange
    have room for what else is asked. `per_connection` and `per_request` are limits of books where they are
    narrower than those of all topics.
    """

    topic: str
    snapshot: str = ""
    levels: int | None = None
    snapshots_per_second: float = 1.0
    per_connection: int | None = None
    per_request: int | None = None


NO_DEPTH: Final = Depth("")


@dataclass(frozen=True, slots=True)
class DataSheet:
    """The facts of one market's data socket; sources are in its exchange's file.

    Times in seconds, sizes in bytes. `ping_s` is how often the client must ping with `Codec.ping()`
    (None: the server pings); `silence_s` is after how long without any frame, and without an answer to
    the test that precedes it, the connection counts as dead; `life_s` is when the exchange cuts every
    connection. `token_path` is the REST path (POST) that hands out a connection token, where there is
    one, and then a welcome frame precedes the first request. `requests_per_hour` bounds subscribe and
    unsubscribe requests of one connection; `one_channel_per_request` is for exchanges whose requests name
    a channel once and then its instruments. `binary` is for those whose pushes are binary frames.
    `sized_in` is what a size on the wire counts: coins, or contracts. `ws_urls` has the addresses of
    channels that are not at `ws_url`: an instrument's topics go over as many connections as there are
    addresses. `headers` are sent when connecting. `depth` says how books are had. `polled` are REST paths
    (GET) whose answers, all symbols in one, say what no channel does: `Codec.polled` reads them.
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
    requests_per_hour: int | None = None
    one_channel_per_request: bool = False
    binary: bool = False
    sized_in: Literal["base", "contract"] = "base"
    ws_urls: Mapping[Channel, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    polled: tuple[str, ...] = ()
    depth: Depth = NO_DEPTH

    def per_connection(self, channel: Channel) -> int:
        """Return how many topics of a channel a connection carries."""
        own = self.depth.per_connection if channel == "depth" else None
        return own or self.topics_per_connection

    def per_request(self, channel: Channel) -> int:
        """Return how many topics of a channel a request carries."""
        own = self.depth.per_request if channel == "depth" else None
        return own or self.topics_per_request

    def url_of(self, channel: Channel) -> str:
        """Return the address of the socket that carries a channel."""
        return self.ws_urls.get(channel, self.ws_url)

    def channels_of(self, url: str) -> list[Channel]:
        """Return the channels that are at one of the other addresses."""
        return [channel for channel, other in self.ws_urls.items() if other == url]

    @property
    def urls(self) -> tuple[str, ...]:
        """All addresses, that of quotes first."""
        return tuple(dict.fromkeys((self.ws_url, *self.ws_urls.values())))
