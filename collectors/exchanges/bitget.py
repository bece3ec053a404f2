"""Bitget v2 spot.

Facts: bitget docs and live probes (2026-09). `books1` is the best bid/ask, a snapshot every time;
`ticker` carries it too, every 200-300 ms. Heartbeats are the plain texts `ping` and `pong`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Struct

from collectors.exchanges.base import (
    NOT_EMPTY,
    SIDES,
    Codec,
    Control,
    DataSheet,
    Level,
    Millis,
    Price,
    Topic,
    compact,
    plain_text,
    topics_in,
)
from markets.events import Quote, Trade

QUOTES, TICKERS, TRADES = "books1", "ticker", "trade"
OURS = frozenset((QUOTES, TICKERS, TRADES))


class _Arg(Struct, gc=False):
    instType: str = ""
    channel: str = ""
    instId: str = ""


class _Row(Struct, gc=False):
    """A row of any of our channels, decoded in one go."""

    ts: Millis | None = None
    instId: str = ""
    asks: list[Level] = []
    bids: list[Level] = []
    bidPr: Price = None
    bidSz: Price = None
    askPr: Price = None
    askSz: Price = None
    price: Price = None
    size: Price = None
    side: str = ""
    tradeId: int | str | None = None


class _Push(Struct, gc=False):
    arg: _Arg
    data: Annotated[list[_Row], NOT_EMPTY]
    action: str = ""


class _Answer(Struct):
    event: str = ""
    arg: _Arg | None = None
    code: int | str = ""
    msg: str | None = None
    data: Any = None


decode_answer = msgspec.json.Decoder(_Answer, strict=False).decode


class Bitget(Codec):
    """The classic public socket; the same ids exist for futures, so `instType` is checked."""

    sheet = DataSheet(
        key="bitget",
        name="Bitget",
        ws_url="wss://ws.bitget.com/v2/ws/public",
        rest_url="https://api.bitget.com",
        topics_per_connection=48,  # 1000 are allowed, fewer than 50 advised
        topics_per_request=48,
        requests_per_second=8,  # 10 are allowed
        silence_s=75,
        ping_s=30,
        request_bytes=4096,
        requests_per_hour=240,
    )

    def __init__(self, symbols: Mapping[str, str], *, exact: bool = False) -> None:
        super().__init__(symbols, exact=exact)
        self._push = self.decoder(_Push)

    def topics(self, native_id: str) -> tuple[Topic, Topic]:
        """Named `channel:instId`; on the wire they are objects."""
        return (
            Topic("quote", native_id, f"{QUOTES}:{native_id}"),
            Topic("trade", native_id, f"{TRADES}:{native_id}"),
        )

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """One ack or error per topic; requests carry no id."""
        return _request("subscribe", topics)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """As `subscribe`."""
        return _request("unsubscribe", topics)

    def ping(self, request_id: int) -> str:
        """Plain text, not JSON."""
        return "ping"

    def push(
        self, frame: bytes | str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Quote | Trade | Control]:
        """The inner `ts` is the engine's time; the first trades after subscribing are history."""
        push = self._push(frame)
        arg, rows = push.arg, push.data
        channel = arg.channel
        if channel not in OURS or arg.instType != "SPOT":
            return self.skip("unknown_kind")
        if len(rows) == 1 and channel != TRADES:  # nearly always
            row = rows[0]
            return self._row(channel, row.instId or arg.instId, row, received_ts_us, received_mono_ns)
        events: list[Quote | Trade] = []
        for row in rows:
            events += self._row(channel, row.instId or arg.instId, row, received_ts_us, received_mono_ns)
        if channel == TRADES and push.action == "snapshot":
            for event in events:
                event.is_history = True  # type: ignore[union-attr]
        return events

    def _row(
        self, channel: str, native_id: str, row: _Row, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Quote | Trade]:
        if channel == QUOTES:
            return self.best(native_id, row.bids, row.asks, row.ts, received_ts_us, received_mono_ns)
        if channel == TICKERS:
            return self.quote(
                native_id, row.bidPr, row.bidSz, row.askPr, row.askSz, row.ts,
                received_ts_us, received_mono_ns,
            )  # fmt: skip
        return self.trade(
            native_id, row.price, row.size, SIDES.get(row.side), row.tradeId,
            None if row.ts is None else row.ts * 1000, received_ts_us, received_mono_ns,
        )  # fmt: skip

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """Errors carry the argument they are about, or name it inside `msg`."""
        if plain_text(frame).strip() == "pong":
            return (Control("pong"),)
        answer = decode_answer(frame)
        arg = answer.arg
        topics = (f"{arg.channel}:{arg.instId}",) if arg and arg.channel else ()
        if answer.event in ("subscribe", "unsubscribe", "login"):
            return (Control("ack", topics=topics),)
        if answer.event == "error":
            message = answer.msg or f"code {answer.code}"
            return (Control("error", topics=topics or topics_in(message), message=message),)
        return self.skip("malformed" if arg and arg.channel in OURS else "unknown_kind")


def _request(op: str, topics: Sequence[Topic]) -> str:
    args = [
        {"instType": "SPOT", "channel": channel, "instId": native_id}
        for channel, native_id in (topic.name.split(":", 1) for topic in topics)
    ]
    return compact({"op": op, "args": args})
