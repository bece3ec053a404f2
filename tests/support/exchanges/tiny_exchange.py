"""An exchange small enough to misbehave on command, and its codec: real sockets, an invented dialect."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from collectors.exchanges.base import Codec, Control, Decoded
from collectors.exchanges.sheet import DataSheet, Topic
from collectors.feed import Feed
from collectors.sockets.timing import Timing
from collectors.sockets.turns import Turns
from markets.config import ExchangeConfig, InstrumentConfig
from markets.events import Event, Quote, StreamState, Trade

SHEET = DataSheet(
    key="tiny",
    name="Tiny",
    ws_url="wss://tiny.example/stream",
    rest_url="https://tiny.example",
    topics_per_connection=8,
    topics_per_request=8,
    requests_per_second=1000.0,
    silence_s=5.0,
)
TIMING = Timing(
    open_s=1.0,
    ack_s=0.15,
    close_s=0.2,
    connect_gap_s=0.0,
    backoff_first_s=0.02,
    backoff_ceiling_s=0.1,
    healthy_s=30.0,
    breaker_failures=1000,
    breaker_cool_down_s=0.2,
)


class TinyCodec(Codec):
    """`{"q": native id, "bid": …}`, `{"t": …}`, `{"ack": id}`, `{"error": id}`, `{"ping": n}`."""

    sheet = SHEET

    def topics(self, native_id: str) -> tuple[Topic, Topic]:
        return Topic("quote", native_id, f"q:{native_id}"), Topic("trade", native_id, f"t:{native_id}")

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        return json.dumps({"op": "sub", "id": request_id, "topics": [topic.name for topic in topics]})

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        return json.dumps({"op": "unsub", "id": request_id, "topics": [topic.name for topic in topics]})

    def ping(self, request_id: int) -> str | None:
        return json.dumps({"op": "ping"})

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        message = json.loads(frame)
        stamps = (message.get("ts"), received_ts_us, received_mono_ns)
        if "q" in message:
            return self.quote(message["q"], message["bid"], 1.0, message["bid"] + 1, 1.0, *stamps)
        if "t" in message:
            return self.trade(message["t"], 10.0, 1.0, "buy", "1", *stamps, message.get("history", False))
        raise ValueError("no market data")

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        message = json.loads(frame)
        topics = tuple(message.get("topics", ()))
        if "ack" in message:
            return [Control("ack", request_id=str(message["ack"]), topics=topics)]
        if "error" in message:
            return [Control("error", request_id=message["error"], topics=topics, message=message["why"])]
        if "gone" in message:
            return [Control("unsubscribed", topics=tuple(message["gone"]), message=message.get("why", ""))]
        if "ping" in message:
            return [Control("ping", reply=json.dumps({"op": "pong", "n": message["ping"]}))]
        if "leave" in message:
            return [Control("heartbeat", reconnect=True)]
        if "pong" in message or "welcome" in message:
            return [Control("pong")]
        raise ValueError("not of this dialect")


def codec_type(**sheet: object) -> type[TinyCodec]:
    """The codec with another data sheet."""
    return type("ScaledCodec", (TinyCodec,), {"sheet": replace(SHEET, **sheet)})  # type: ignore[arg-type]


class TinyExchange:
    """The server. Topics in `refused` fail their whole request, those in `ignored` get no answer.

    `passing` are refused, each by itself and by its name, so many times and then taken; `why` is the reason.
    """

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.ignored: set[str] = set()
        self.passing: Counter[str] = Counter()
        self.why = "unknown pair"
        self.turn_away: list[tuple[int, dict[str, str]]] = []
        self.closed_for_all = False
        self.silent = False
        self.connects = 0
        self.received: list[dict[str, object]] = []
        self.received_at: list[float] = []  # when each came, monotonic, s
        self.sockets: dict[ServerConnection, set[str]] = {}
        self._stack = AsyncExitStack()
        self._server: Server

    async def __aenter__(self) -> Self:
        self._server = await self._stack.enter_async_context(
            serve(self._serve, "127.0.0.1", 0, process_request=self._admit, close_timeout=0.2)
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self._stack.aclose()

    @property
    def config(self) -> ExchangeConfig:
        base = f"127.0.0.1:{self.port}/tiny"
        return ExchangeConfig("tiny", "Tiny", True, 10.0, 10.0, f"http://{base}", f"ws://{base}")

    @property
    def topics(self) -> set[str]:
        """Everything subscribed now, on any socket."""
        return set().union(*self.sockets.values())

    def asked(self, op: str) -> list[list[str]]:
        """The topics of every request of this kind, in order."""
        return [list(each["topics"]) for each in self.received if each["op"] == op]  # type: ignore[call-overload]

    async def send(self, message: object, *, to: ServerConnection | None = None) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        for socket in [to] if to else list(self.sockets):
            with suppress(ConnectionClosed):  # the client may be leaving just now
                await socket.send(text)

    async def quote(self, native_id: str, bid: float) -> None:
        """Push a quote to its subscribers."""
        for socket, topics in list(self.sockets.items()):
            if f"q:{native_id}" in topics:
                await self.send({"q": native_id, "bid": bid}, to=socket)

    async def drop(self) -> None:
        """Cut every socket without a goodbye."""
        for socket in list(self.sockets):
            socket.transport.abort()

    def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        self.connects += 1
        if self.closed_for_all:
            return Response(502, "Bad Gateway", Headers(), b"")
        if not self.turn_away:
            return None
        status, headers = self.turn_away.pop(0)
        return Response(status, HTTPStatus(status).phrase, Headers(headers), b"")

    async def _serve(self, socket: ServerConnection) -> None:
        self.sockets[socket] = set()
        try:
            async for text in socket:
                request = json.loads(text)
                self.received.append(request)
                self.received_at.append(time.monotonic())
                if not self.silent:
                    await self._answer(socket, request)
        finally:
            del self.sockets[socket]

    async def _answer(self, socket: ServerConnection, request: dict[str, object]) -> None:
        if request["op"] == "ping":
            await self.send({"pong": 1}, to=socket)
        if request["op"] not in {"sub", "unsub"}:
            return
        topics, number = set(request["topics"]), request["id"]  # type: ignore[call-overload]
        if request["op"] == "unsub":
            self.sockets[socket] -= topics
        elif topics & self.refused:
            await self.send({"error": str(number), "why": self.why}, to=socket)
            return
        elif passing := sorted(topics & (+self.passing).keys()):
            self.passing.subtract(passing)
            for topic in passing:
                await self.send({"error": None, "topics": [topic], "why": self.why}, to=socket)
            if taken := sorted(topics - set(passing)):
                self.sockets[socket] |= set(taken)
                await self.send({"ack": number, "topics": taken}, to=socket)
            return
        elif topics & self.ignored:
            return
        else:
            self.sockets[socket] |= topics
        await self.send({"ack": number}, to=socket)


class Recorder:
    """Receives events and answers questions about them."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, events: Sequence[Event]) -> None:
        self.events.extend(events)

    @property
    def states(self) -> list[tuple[str, tuple[str, ...], str]]:
        return [(e.state, e.symbols, e.reason) for e in self.events if isinstance(e, StreamState)]

    @property
    def quotes(self) -> list[Quote]:
        return [event for event in self.events if isinstance(event, Quote)]

    @property
    def trades(self) -> list[Trade]:
        return [event for event in self.events if isinstance(event, Trade)]

    def up(self) -> set[str]:
        """The symbols that are up by what was announced."""
        alive: set[str] = set()
        for state, symbols, _ in self.states:
            alive = alive | set(symbols) if state == "up" else alive - set(symbols)
        return alive


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until the condition holds; fails the test when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any condition, not only events
            await asyncio.sleep(0.005)


def instruments(*native_ids: str) -> frozenset[InstrumentConfig]:
    """Instruments of the tiny exchange: native id `a` is symbol `A/USDT`."""
    return frozenset(InstrumentConfig("tiny", symbol(each), each) for each in native_ids)


def symbol(native_id: str) -> str:
    return f"{native_id.upper()}/USDT"


def symbols(native_ids: Iterable[str]) -> set[str]:
    return {symbol(each) for each in native_ids}


class Running:
    """A feed of the tiny exchange that runs in the background for one test."""

    def __init__(
        self, exchange: TinyExchange, wanted: Iterable[str], timing: Timing = TIMING, **sheet: object
    ) -> None:
        self.recorder = Recorder()
        self.feed = Feed(codec_type(**sheet), exchange.config, self.recorder, timing, Turns())
        self.feed.apply(instruments(*wanted))
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.feed.run())
        return self

    async def __aexit__(self, *problem: object) -> None:
        assert self._task is not None
        self.feed.stop("test over")
        async with asyncio.timeout(5):
            await self._task
