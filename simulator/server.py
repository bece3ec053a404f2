"""The simulator: every market's REST and WebSocket on one port, under `/okx/...` and `/okx-swap/...`.

aiohttp serves both because KuCoin's handshake needs a POST on the same port.
"""

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from core.names.market_keys import SWAP, exchange_of, market_of
from simulator import catalogue
from simulator.catalogue import MARKETS, Listing
from simulator.conversation import converse
from simulator.delivery import Delivery
from simulator.exchanges import SWAP_TYPES, TYPES
from simulator.exchanges.base import RestCall, RestReply, SimulatedExchange, path_of
from simulator.exchanges.perpetual import Perpetuals
from simulator.faults import Fault, FaultBoard, FaultError, parse
from simulator.feed import MarketFeed
from simulator.replay import Played, Recording, ReplayFeed
from simulator.session import Session
from simulator.swaps import swap_listings

logger = logging.getLogger(__name__)

MAX_SPEED = 100_000
TURN_S = 0.05
LATE_S = 0.1


class Simulator:
    """The eight exchanges on loopback; use as an async context manager.

    `exchanges` are keys of markets: `okx` is OKX's spot market, `okx:swap` its perpetual swaps. `symbols` is
    how many are listed; `rate` quotes per second and instrument; `time_scale` shrinks every heartbeat and
    lifetime (0.001: seconds become milliseconds), and the intervals of funding too where `funding_scale`
    does not say otherwise. `replay` plays a recording (a
    folder, or any `simulator.replay.Played`) instead of the seeded market, `speed` times as fast, from
    when `replay_after` quote topics are subscribed (counted over all exchanges), with the `contract_sizes`
    of a file. `traps` lists some more
    (`simulator.catalogue.TRAPS`). Raises ValueError,
    FaultError or RecordingError with the remedy for arguments that make no sense.
    """

    def __init__(
        self,
        *,
        exchanges: Sequence[str] = MARKETS,
        symbols: int = 20,
        rate: float = 5.0,
        seed: int = 1,
        host: str = "127.0.0.1",
        port: int = 0,
        time_scale: float = 1.0,
        funding_scale: float | None = None,
        faults: str = "",
        replay: Path | Played | None = None,
        contract_sizes: Path | None = None,
        speed: float = 1.0,
        loop: bool = False,
        replay_after: int = 0,
        traps: bool = False,
    ) -> None:
        funding_scale = time_scale if funding_scale is None else funding_scale
        _check(exchanges, symbols, rate=rate, speed=speed, time_scale=time_scale, funding_scale=funding_scale)
        _check_whole("port", port, 65_535)
        _check_whole("replay_after", replay_after, 1_000_000)
        self._host, self._port = host, port
        self._time_scale = time_scale
        self._faults = parse(faults)
        self._seed = seed
        self._listings: Mapping[str, Sequence[Listing]] = {
            key: _listings(key, symbols, traps) for key in exchanges
        }
        self.feed: MarketFeed | ReplayFeed
        if replay is None:
            self.feed = MarketFeed(rate, seed)
        else:
            recording = Recording(replay, exchanges, contract_sizes) if isinstance(replay, Path) else replay
            self._listings = recording.listings
            self.feed = ReplayFeed(recording, speed=speed, loop=loop, after=replay_after)
        self.exchanges: dict[str, SimulatedExchange] = {
            key: SWAP_TYPES[key](self._listings.get(key, ()), self.feed, time_scale, seed, funding_scale)
            if market_of(key) == SWAP
            else TYPES[key](self._listings.get(key, ()), self.feed, time_scale)
            for key in exchanges
        }
        self._routes = {
            key: exchange.routes() | exchange.depth.routes() for key, exchange in self.exchanges.items()
        }
        self._book_routes = {key: exchange.depth.routes() for key, exchange in self.exchanges.items()}
        self.port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._turn: asyncio.TimerHandle

    async def __aenter__(self) -> Self:
        self.board = FaultBoard(self._fault_changed)
        delivery = Delivery(self.board, self._seed)
        self.feed.attach(self.exchanges, delivery.quote, delivery.trade, delivery.depth)
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = int(self._runner.addresses[0][1])
        self._take_turn(time.monotonic())
        self._spawn(self.feed.run(), "simulator feed")
        for exchange in self.exchanges.values():
            if exchange.resend_s:
                self._spawn(
                    delivery.resend(exchange, exchange.resend_s * self._time_scale), f"resend {exchange.key}"
                )
            if exchange.depth.idle_s:
                self._spawn(
                    delivery.idle(exchange, exchange.depth.idle_s * self._time_scale), f"idle {exchange.key}"
                )
            if isinstance(exchange, Perpetuals):
                self._spawn(
                    delivery.beat(exchange, exchange.beat_s * self._time_scale), f"beat {exchange.key}"
                )
        self.board.add(self._faults)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.board.heal()
        self._turn.cancel()
        for timer in self._timers:
            timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for exchange in self.exchanges.values():
            for session in list(exchange.sessions):
                session.abort()
        await self._runner.cleanup()

    def _take_turn(self, due: float) -> None:
        """Notice when this process gets the processor late: what it receives then was sent all the while."""
        now = time.monotonic()
        if now - due > LATE_S:
            for exchange in self.exchanges.values():
                exchange.late_at = now
        self._turn = asyncio.get_running_loop().call_later(TURN_S, self._take_turn, now + TURN_S)

    # --- where it is -----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`: what `seed --simulator` takes."""
        return f"http://{self._host}:{self.port}"

    def rest_url(self, key: str) -> str:
        """The REST base URL of one market; that of `okx:swap` ends in `/okx-swap`."""
        return f"{self.url}/{path_of(key)}"

    def ws_url(self, key: str) -> str:
        """The WebSocket base URL of one market; the exchange's own path follows it."""
        return f"ws://{self._host}:{self.port}/{path_of(key)}"

    # --- what is going on ------------------------------------------------------------------------

    def connections(self, key: str) -> int:
        """How many clients are connected to an exchange now."""
        return len(self.exchanges[key].sessions)

    def subscriptions(self, key: str) -> dict[str, int]:
        """Topic names on an exchange's wire and how many connections are subscribed to each."""
        names: dict[str, int] = {}
        for variants in self.exchanges[key].subscribers.values():
            for (name, _), sessions in variants.items():
                names[name] = names.get(name, 0) + len(sessions)
        return names

    def counts(self, key: str) -> Mapping[str, int]:
        """Counters since the start: `opened`, `closed`, `subscribed`, `quotes`, `trades`, `changes` of
        books, `frames_sent`, `statuses`, `dropped_idle`, `cut_too_fast`, `rest_requests`."""
        return self.exchanges[key].counts

    async def replay_finished(self) -> None:
        """Wait until the recording has been played to its end; at once when there is none."""
        if isinstance(self.feed, ReplayFeed):
            await self.feed.finished.wait()

    # --- breaking it -----------------------------------------------------------------------------

    def inject(self, spec: str) -> tuple[Fault, ...]:
        """Break something, as `--faults` spells it; returns the faults, to be healed later."""
        faults = parse(spec)
        self.board.add(faults)
        return faults

    def heal(self, faults: Sequence[Fault] | None = None) -> None:
        """End these faults, or all."""
        self.board.heal(faults)

    def _fault_changed(self, fault: Fault, began: bool) -> None:
        logger.info("fault %s: %s", "begins" if began else "ends", fault.text)
        for exchange in self.exchanges.values():
            if fault.hits(exchange.key):
                self._apply(exchange, fault, began)

    def _apply(self, exchange: SimulatedExchange, fault: Fault, began: bool) -> None:
        exchange.faults = active = self.board.active[exchange.key]
        exchange.silent = self.board.find("silence", exchange.key) is not None
        exchange.quiet = self.board.find("quiet", exchange.key) is not None
        exchange.delay_s = sum(f.value for f in active if f.kind == "slow")
        exchange.skew_ms = int(sum(f.value for f in active if f.kind == "skew") * 1000)
        exchange.delisted = {f.symbol for f in active if f.kind == "delist" and f.symbol}
        if began and fault.kind == "drop":
            self._cut(exchange)
        elif began and fault.kind == "storm":
            self._spawn(self._storm(exchange, fault), f"simulator storm {exchange.key}")
        elif began and fault.kind == "depth-restart":
            exchange.depth.restart(fault)
        elif began and fault.kind == "maintenance":
            self._maintain(exchange, fault.value)

    def _cut(self, exchange: SimulatedExchange) -> None:
        for session in list(exchange.sessions):
            session.abort()

    async def _storm(self, exchange: SimulatedExchange, fault: Fault) -> None:
        while fault in self.board.active[exchange.key]:
            self._cut(exchange)
            await asyncio.sleep(fault.value)

    def _maintain(self, exchange: SimulatedExchange, seconds: float) -> None:
        for session in exchange.sessions:
            exchange.announce_close(session)
            self._later(seconds, session)

    def _later(self, seconds: float, session: Session) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, session.close, 1001, "going away")
        self._timers = {t for t in self._timers if not t.cancelled() and t.when() > time.monotonic()} | {
            timer
        }

    # --- serving ---------------------------------------------------------------------------------

    def _spawn(self, work: Any, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            logger.error("%s failed", task.get_name(), exc_info=task.exception())

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/", self._front_page)
        application.router.add_route("*", "/control/faults", self._control)
        application.router.add_route("*", "/{exchange}{path:/.*|$}", self._serve)
        return application

    async def _front_page(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "simulator": self.url,
                "point_a_collector_here": f"manage.py seed --simulator {self.url}",
                "exchanges": {key: self._describe(key) for key in self.exchanges},
                "faults": [fault.text for fault in self.board.all()],
            },
            dumps=_pretty,
        )

    def _describe(self, key: str) -> dict[str, Any]:
        exchange = self.exchanges[key]
        return {
            "rest": self.rest_url(key),
            "websocket": self.ws_url(key) + exchange.ws_paths[0],
            "symbols": len(exchange.listings),
            "connections": self.connections(key),
            "subscriptions": sum(self.subscriptions(key).values()),
            "counts": dict(exchange.counts),
            "faults": [fault.text for fault in self.board.active[key]],
        }

    async def _control(self, request: web.Request) -> web.Response:
        """`POST {"faults": "okx:silence+20"}` breaks, `DELETE` heals; this machine only, no web page."""
        if request.remote not in ("127.0.0.1", "::1") or "Origin" in request.headers:
            return _problem(403, "faults are given from this machine only, and not by a web page")
        if request.method == "DELETE":
            self.heal()
        elif request.method == "POST":
            try:
                self.inject(_spec(await request.text()))
            except FaultError as error:
                return _problem(400, str(error))
        elif request.method != "GET":
            return _problem(405, "GET lists the faults, POST adds some, DELETE heals all")
        return web.json_response({"faults": [fault.text for fault in self.board.all()]})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["exchange"].replace("-", ":")
        exchange = self.exchanges.get(key)
        if exchange is None:
            there = ", ".join(map(path_of, self.exchanges))
            return _problem(404, f"no exchange {path_of(key)!r} here; there are {there}")
        if refusal := self.board.find("refuse", key):
            return self._refuse(refusal)
        path = request.match_info["path"].removeprefix("/")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(exchange, request, "/" + path.rstrip("/"))
        call = RestCall(request.method, "/" + path, request.query, request.host)
        if _route(call) in self._book_routes[key]:
            return await self._rest_book(exchange, call)
        return self._rest(exchange, call)

    def _refuse(self, fault: Fault) -> web.Response:
        wait = str(max(1, round(self.board.remaining(fault))))
        return web.Response(status=int(fault.value), headers={"Retry-After": wait})

    async def _rest_book(self, exchange: SimulatedExchange, call: RestCall) -> web.Response:
        """Answer with a whole book, refused or late as the active faults say."""
        listing = exchange.depth.listing_of(call)
        active = {f.kind: f for f in exchange.faults if listing is not None and f.concerns(listing.symbol)}
        if refusal := active.get("depth-refuse"):
            exchange.counts["rest_requests"] += 1
            return self._refuse(refusal)
        answer = self._rest(exchange, call)
        if late := active.get("depth-slow"):
            await asyncio.sleep(late.value)
        return answer

    def _rest(self, exchange: SimulatedExchange, call: RestCall) -> web.Response:
        exchange.counts["rest_requests"] += 1
        handler = self._routes[exchange.key].get(_route(call)) or exchange.not_found
        answer = handler(call)
        reply = answer if isinstance(answer, RestReply) else RestReply(answer)
        return web.json_response(reply.body, status=reply.status, headers=dict(reply.headers))

    async def _socket(
        self, exchange: SimulatedExchange, request: web.Request, path: str
    ) -> web.StreamResponse:
        if not exchange.has_socket(path):
            return _problem(404, f"{exchange.key} has no socket at {path}; it is at {exchange.ws_paths[0]}")
        session = Session(exchange, path, dict(request.query), request.headers)
        socket = await session.open(request)
        if self.board.find("drop", exchange.key):
            session.abort()
            return socket
        await converse(exchange, session, socket)
        return socket


def _route(call: RestCall) -> str:
    return f"{call.method} {call.path.rstrip('/')}"


def _listings(key: str, symbols: int, traps: bool) -> Sequence[Listing]:
    exchange = exchange_of(key)
    spot = (*catalogue.listings(symbols), *(catalogue.TRAPS[exchange] if traps else ()))
    return swap_listings(exchange, spot) if market_of(key) == SWAP else spot


def _check(exchanges: Sequence[str], symbols: int, **above_zero: float) -> None:
    """Refuse arguments that make no sense, naming the remedy."""
    unknown = sorted(set(exchanges) - set(MARKETS))
    if unknown or not exchanges:
        there = ", ".join(MARKETS)
        raise ValueError(f"exchanges: no exchange {', '.join(unknown) or 'given'}; choose from {there}")
    if not 1 <= symbols <= 5_000:
        raise ValueError(f"symbols must be from 1 to 5000, not {symbols}")
    for name, value in above_zero.items():
        if not 0 < value <= MAX_SPEED:
            raise ValueError(f"{name} must be above 0 and at most {MAX_SPEED}, not {value}")


def _check_whole(name: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise ValueError(f"{name} must be from 0 to {most}, not {value}")


def _problem(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def _spec(text: str) -> str:
    """The `faults` of a control request's JSON body."""
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    spec = body.get("faults") if isinstance(body, dict) else None
    if not isinstance(spec, str) or not spec:
        raise FaultError('send JSON like {"faults": "okx:silence+20"}')
    return spec
