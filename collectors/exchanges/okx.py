"""OKX v5 spot.

Facts: OKX API docs (2025-08 copy). `bbo-tbt` is the best bid/ask, a snapshot every time; `tickers`
carries it too, every 100 ms. Heartbeats are the plain texts `ping` and `pong`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Struct

from collectors.exchanges.base import (
    NOT_EMPTY,
    SIDES,
    UNUSUAL,
    Codec,
    Control,
    ControlKind,
    DataSheet,
    Level,
    Millis,
    Positive,
    Price,
    Topic,
    UsualLevel,
    compact,
    plain_text,
    request_id,
    topics_in,
)
from markets.events import Quote, Side, Trade

QUOTES, TICKERS, TRADES, ALL_TRADES = "bbo-tbt", "tickers", "trades", "trades-all"
OURS = frozenset((QUOTES, TICKERS, TRADES, ALL_TRADES))
CHANNEL = slice(19, 26)  # after `{"arg":{"channel":"`
QUOTE, TICKER, TRADE = QUOTES, TICKERS, f'{TRADES}"'
CLOSING_SOON = "64008"  # a notice about 60 s before a service upgrade


class _Arg(Struct, gc=False):
    channel: str
    instId: str = ""


class _Row(Struct, gc=False):
    """A row of any of our channels, decoded in one go."""

    ts: Millis | None = None
    instId: str = ""
    asks: list[Level] = []
    bids: list[Level] = []
    bidPx: Price = None
    bidSz: Price = None
    askPx: Price = None
    askSz: Price = None
    px: Price = None
    sz: Price = None
    side: str = ""
    tradeId: int | str | None = None


class _Push(Struct, gc=False):
    arg: _Arg
    data: Annotated[list[_Row], NOT_EMPTY]


class _Instrument(Struct, gc=False):
    """This and those down to `_Answer`: usual frames, their fields in the order of the wire."""

    instId: str


class _Book(Struct, gc=False):
    asks: tuple[UsualLevel]
    bids: tuple[UsualLevel]
    ts: Millis


class _QuotePush(Struct, gc=False):
    arg: _Instrument
    data: tuple[_Book]


class _Ticker(Struct, gc=False):
    instId: str
    askPx: Positive
    askSz: Positive
    bidPx: Positive
    bidSz: Positive
    ts: Millis


class _TickerPush(Struct, gc=False):
    data: tuple[_Ticker]


class _Trade(Struct, gc=False):
    instId: str
    tradeId: Annotated[str, NOT_EMPTY]
    px: Positive
    sz: Positive
    side: Side
    ts: Millis


class _TradePush(Struct, gc=False):
    data: tuple[_Trade]


class _Answer(Struct):
    event: str = ""
    arg: _Arg | None = None
    id: int | str | None = None
    code: int | str = ""
    msg: str = ""
    data: Any = None


decode_answer = msgspec.json.Decoder(_Answer, strict=False).decode


class Okx(Codec):
    """The public socket; every argument of a request is answered by itself."""

    sheet = DataSheet(
        key="okx",
        name="OKX",
        ws_url="wss://ws.okx.com:8443/ws/v5/public",
        rest_url="https://www.okx.com",
        topics_per_connection=400,  # not published beyond 64 KB of args
        topics_per_request=100,
        requests_per_second=3,
        silence_s=45,
        ping_s=20,  # dropped after 30 s without a frame
        request_bytes=64 * 1024,
        requests_per_hour=480,
    )

    def __init__(self, symbols: Mapping[str, str], *, exact: bool = False) -> None:
        super().__init__(symbols, exact=exact)
        self._push = self.decoder(_Push)
        self._quote = self.usual(_QuotePush)
        self._ticker = self.usual(_TickerPush)
        self._trade = self.usual(_TradePush)

    def topics(self, native_id: str) -> tuple[Topic, Topic]:
        """Named `channel:instId`; on the wire they are objects."""
        return (
            Topic("quote", native_id, f"{QUOTES}:{native_id}"),
            Topic("trade", native_id, f"{TRADES}:{native_id}"),
        )

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """One ack or error per topic."""
        return _request("subscribe", topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """As `subscribe`."""
        return _request("unsubscribe", topics, request_id)

    def ping(self, request_id: int) -> str:
        """Plain text, not JSON."""
        return "ping"

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Quote | Trade | Control]:
        """The short way for usual frames."""
        try:
            channel = frame[CHANNEL]
            if channel == QUOTE:
                push = self._quote(frame)
                (book,) = push.data
                (bid,), (ask,) = book.bids, book.asks
                if bid.price <= ask.price:
                    return (
                        Quote(
                            self._key, self.symbols[push.arg.instId],
                            bid.price, bid.size, ask.price, ask.size,
                            book.ts * 1000, received_ts_us, received_mono_ns,
                        ),
                    )  # fmt: skip
            elif channel == TRADE:
                (trade,) = self._trade(frame).data
                return (
                    Trade(
                        self._key, self.symbols[trade.instId], trade.px, trade.sz, trade.side, trade.tradeId,
                        trade.ts * 1000, received_ts_us, received_mono_ns,
                    ),
                )  # fmt: skip
            elif channel == TICKER:
                (row,) = self._ticker(frame).data
                if row.bidPx <= row.askPx:
                    return (
                        Quote(
                            self._key, self.symbols[row.instId], row.bidPx, row.bidSz, row.askPx, row.askSz,
                            row.ts * 1000, received_ts_us, received_mono_ns,
                        ),
                    )  # fmt: skip
        except UNUSUAL:
            pass
        return super().decode(frame, received_ts_us, received_mono_ns)

    def push(
        self, frame: bytes | str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Quote | Trade | Control]:
        """`ts` of a row is the venue's time in ms, as text."""
        push = self._push(frame)
        arg, rows = push.arg, push.data
        channel = arg.channel
        if channel not in OURS:
            return self.skip("unknown_kind")
        if len(rows) == 1:  # nearly always
            row = rows[0]
            return self._row(channel, row.instId or arg.instId, row, received_ts_us, received_mono_ns)
        events: list[Quote | Trade] = []
        for row in rows:
            events += self._row(channel, row.instId or arg.instId, row, received_ts_us, received_mono_ns)
        return events

    def _row(
        self, channel: str, native_id: str, row: _Row, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Quote | Trade]:
        if channel == QUOTES:
            return self.best(native_id, row.bids, row.asks, row.ts, received_ts_us, received_mono_ns)
        if channel == TICKERS:
            return self.quote(
                native_id, row.bidPx, row.bidSz, row.askPx, row.askSz, row.ts,
                received_ts_us, received_mono_ns,
            )  # fmt: skip
        return self.trade(
            native_id, row.px, row.sz, SIDES.get(row.side), row.tradeId,
            None if row.ts is None else row.ts * 1000, received_ts_us, received_mono_ns,
        )  # fmt: skip

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """Errors name their topic only inside `msg`."""
        if plain_text(frame).strip() == "pong":
            return (Control("pong"),)
        answer = decode_answer(frame)
        arg, ours = answer.arg, request_id(answer.id)
        if answer.event in ("subscribe", "unsubscribe", "login"):
            topics = (f"{arg.channel}:{arg.instId}",) if arg else ()
            kind: ControlKind = "unsubscribed" if answer.event == "unsubscribe" else "ack"
            return (Control(kind, ours, topics, answer.msg),)
        if answer.event == "error":
            return (Control("error", ours, topics_in(answer.msg), answer.msg),)
        if answer.event == "notice":
            closing = str(answer.code) == CLOSING_SOON
            return (Control("heartbeat", message=answer.msg, reconnect=closing),)
        return self.skip("malformed" if arg and arg.channel in OURS else "unknown_kind")


def _request(op: str, topics: Sequence[Topic], request_id: int) -> str:
    args = [dict(zip(("channel", "instId"), topic.name.split(":", 1), strict=True)) for topic in topics]
    return compact({"id": str(request_id), "op": op, "args": args})
