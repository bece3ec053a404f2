"""Gate: `order_book_update` whose whole book is asked for, and `obu`, which begins with one; ids are gapless.

An `obu` update may have no levels: only the id moves. Of swaps sizes are contracts, rows of the older
channel objects. Source: PROTOCOLS 4, PROTOCOLS2 A14, C0, C2, C6.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from simulator.catalogue import Listing
from simulator.exchanges.base import RestCall, RestReply
from simulator.exchanges.depth.base import Depth, pairs
from simulator.exchanges.perpetual import whole
from simulator.ladder import Change, Ladder, Rows, View
from simulator.session import Channel, Frame, Session, Topic

if TYPE_CHECKING:
    from simulator.exchanges.gate import Gate

BARE = 3  # of so many `obu` updates one begins with an id alone
OBU_LEVELS = ("50", "400")
DECIMAL = "decimal"


class GateDepth(Depth):
    """`spot.order_book_update`, `spot.obu` and `/spot/order_book`."""

    exchange: "Gate"
    paths = ("/api/v4/spot/order_book",)
    parameter = "currency_pair"
    usual = 10
    budget = (200, 10.0)
    channels: ClassVar[tuple[str, str]] = ("spot.order_book_update", "spot.obu")
    intervals: ClassVar[dict[str, tuple[str, ...]]] = {"20ms": ("20",), "100ms": ("100",)}
    label: ClassVar[str] = "INVALID_CURRENCY_PAIR"

    def topics(self, channel: str, payload: list[str]) -> list[Topic] | str:
        """The topics that a payload means, or what is wrong with it; `obu` takes anything."""
        if channel == self.channels[1]:
            named = [(name, *_obu(name)) for name in payload]
            found = [(name, self.exchange.find(native), levels) for name, native, levels in named]
            return [
                self._topic(listing, channel, name) for name, listing, levels in found if listing and levels
            ]
        native, interval, *levels = [*payload, "", ""]
        listing = self.exchange.find(native)
        if listing is None:
            return f"{self.exchange.unknown}: {native}"
        if interval not in self.intervals:
            return f"invalid argument: interval {interval}"
        depth = levels[0] or self.intervals[interval][-1]
        if depth not in self.intervals[interval]:
            return f"invalid argument: level {depth}"
        return [self._topic(listing, channel, f"{native},{depth}")]

    def is_alone(self, session: Session, name: str) -> bool:
        """Whether a topic is subscribed to already, and may not be twice."""
        return name in session.topics and name.startswith(self.channels[1])

    def _topic(self, listing: Listing, channel: str, name: str) -> Topic:
        kind: Channel = "depth"
        return Topic(kind, listing.symbol, f"{channel}:{name}")

    def frames(
        self, topic: str, variant: str, listing: Listing, ladder: Ladder, change: Change
    ) -> Sequence[Frame]:
        """An update; of `obu` now and then two."""
        channel, _, name = topic.partition(":")
        if channel == self.channels[0]:
            native, _, levels = name.partition(",")
            sides = ladder.rows(change, int(levels))
            return (self._older(channel, native, levels, variant, change, *sides),)
        first, frames = change.first, []
        bids, asks = ladder.rows(change, int(_obu(name)[1]))
        if change.number % BARE == 0 and change.last > first:
            frames.append(self._obu(channel, name, f'"U":{first},"u":{first}', change.ts_ms))
            first += 1
        sides_text = "".join(f',"{side}":{pairs(rows)}' for side, rows in (("b", bids), ("a", asks)) if rows)
        frames.append(self._obu(channel, name, f'"U":{first},"u":{change.last}{sides_text}', change.ts_ms))
        return frames

    def opening(self, topic: str, variant: str, listing: Listing, ladder: Ladder) -> Sequence[Frame]:
        """Of `obu` a whole book."""
        channel, _, name = topic.partition(":")
        if channel == self.channels[0]:
            return ()
        view = ladder.view(int(_obu(name)[1]))
        body = f'"full":true,"u":{view.last},"b":{pairs(view.bids)},"a":{pairs(view.asks)}'
        return (self._obu(channel, name, body, view.ts_ms),)

    def _obu(self, channel: str, name: str, body: str, ts_ms: int) -> Frame:
        return self.exchange.update(channel, ts_ms + 3, f'{{"t":{ts_ms},"s":"{name}",{body}}}')

    def _older(  # noqa: PLR0917
        self, channel: str, native: str, levels: str, variant: str, change: Change, bids: Rows, asks: Rows
    ) -> Frame:
        return self.exchange.update(
            channel,
            change.ts_ms + 3,
            f'{{"t":{change.ts_ms},"e":"depthUpdate","E":{change.ts_ms // 1000},"s":"{native}",'
            f'"U":{change.first},"u":{change.last},"b":{pairs(bids)},"a":{pairs(asks)},"l":"{levels}"}}',
        )

    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """`id` where it is asked for; `current` is the answer's time, `update` the book's."""
        answer = {"current": self._time(self.exchange.now_ms()), "update": self._time(view.ts_ms)}
        if call.query.get("with_id", "").lower() == "true":
            answer = {"id": view.last, **answer}
        return {**answer, "asks": self._rows(view.asks), "bids": self._rows(view.bids)}

    def _time(self, ms: int) -> Any:
        return ms

    def _rows(self, rows: Rows) -> Any:
        return rows

    def unknown(self, call: RestCall) -> RestReply:
        """HTTP 400 and a label."""
        native = call.query.get(self.parameter, "")
        return RestReply({"label": self.label, "message": f"{self.exchange.unknown} {native}"}, 400)

    def too_many(self) -> RestReply:
        """A label."""
        return RestReply({"label": "TOO_MANY_REQUESTS", "message": "Request Rate Limit Exceeded"}, 429)


class GateSwapDepth(GateDepth):
    """`futures.order_book_update`, `futures.obu` and `/futures/usdt/order_book`."""

    paths = ("/api/v4/futures/usdt/order_book",)
    parameter = "contract"
    most = 300
    channels = ("futures.order_book_update", "futures.obu")
    intervals: ClassVar[dict[str, tuple[str, ...]]] = {"20ms": ("20",), "100ms": ("20", "50", "100")}
    label = "CONTRACT_NOT_FOUND"

    def _older(  # noqa: PLR0917
        self, channel: str, native: str, levels: str, variant: str, change: Change, bids: Rows, asks: Rows
    ) -> Frame:
        b, a = (
            ",".join([f'{{"p":"{price}","s":{sized(variant, size)}}}' for price, size in rows])
            for rows in (bids, asks)
        )
        return self.exchange.update(
            channel,
            change.ts_ms + 3,
            f'{{"t":{change.ts_ms},"s":"{native}","U":{change.first},"u":{change.last},"b":[{b}],"a":[{a}],'
            f'"l":"{levels}"}}',
        )

    def _time(self, ms: int) -> Any:
        """Seconds, with a fraction."""
        return ms / 1000

    def _rows(self, rows: Rows) -> Any:
        return [{"p": price, "s": int(float(size))} for price, size in rows]


def _obu(name: str) -> tuple[str, str]:
    """`ob.BTC_USDT.400`: its instrument and levels, empty for any other."""
    head, _, rest = name.partition(".")
    native, _, levels = rest.rpartition(".")
    return (native, levels) if head == "ob" and levels in OBU_LEVELS else ("", "")


def sized(variant: str, size: str) -> str:
    """A size as a JSON number, or as text for a client that asked for decimals."""
    return f'"{whole(size)}"' if variant == DECIMAL else whole(size)
