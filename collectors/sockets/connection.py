"""One socket's life, written once for all exchanges; codec and data sheet say what differs."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from collectors.exchanges.base import Control
from collectors.exchanges.order import Order
from collectors.exchanges.sheet import DataSheet, Topic
from collectors.sockets.answers import foreign
from collectors.sockets.exchange import FollowedExchange
from collectors.sockets.exchange_socket import ExchangeSocket
from collectors.sockets.handshake import address, open_socket
from collectors.sockets.pending import Request, Requests
from collectors.sockets.refusals import Refusals, is_busy
from collectors.sockets.rest import ConnectFailed
from collectors.sockets.timing import Timing
from collectors.sockets.turns import Message
from core.backoff import Pace
from markets.events import BookUpdate, Event, Quote, StreamState, Terms, Trade

logger = logging.getLogger(__name__)

WATCH_S = 1.0


class Connection:
    """An open socket. `run` reads it until it ends; `subscribe` and `unsubscribe` work meanwhile.

    `acked` are the topics the exchange confirmed, `refused` those it did not take, with its reason;
    `refusals` remembers these beyond this socket and says when to ask again.
    `on_change` is called, without waiting, whenever one of these, `ended` or `retiring` changes:
    in the order of the frames, so a state announced there is in order with the quotes.
    """

    def __init__(
        self,
        name: str,
        socket: ExchangeSocket,
        exchange: FollowedExchange,
        on_change: Callable[[], None],
        refusals: Refusals | None = None,
    ) -> None:
        self.name = name
        self.acked: dict[Topic, str] = {}
        self.refused: dict[Topic, str] = {}
        self.ended = ""
        self.counts: Counter[str] = Counter()
        self._socket = socket
        self._codec = exchange.codec
        self._codec.standstill = exchange.turns.standstill
        self._order = Order()
        self._trades = exchange.trades
        self._sheet = exchange.sheet
        self._emit = exchange.emit
        self._timing = exchange.timing
        self._refusals = Refusals(exchange.timing) if refusals is None else refusals
        self._on_change = on_change
        self._books = exchange.books
        self._epoch = exchange.books.opened(on_change)
        self._requests = Requests()
        self._test_id = 0  # of the last test of a silence
        self._turns = exchange.turns
        self._pace = Pace(1 / exchange.sheet.requests_per_second)
        self._retire_at = time.monotonic() + _life_s(exchange.sheet)

    @classmethod
    async def open(
        cls,
        name: str,
        exchange: FollowedExchange,
        on_change: Callable[[], None],
        refusals: Refusals | None = None,
        own_url: str = "",
    ) -> Self:
        """Connect to one of the exchange's own addresses, the main one if none is said.

        Where the exchange greets first, its welcome is waited for. Raises ConnectFailed.
        """
        sheet, config = exchange.sheet, exchange.config
        url = await address(sheet, config, exchange.timing, own_url)
        socket = await open_socket(url, exchange.timing, exchange.turns, config, sheet.headers)
        if sheet.token_path is not None:
            await _welcome(socket, exchange.timing)
        return cls(name, socket, exchange, on_change, refusals)

    @property
    def topics(self) -> set[Topic]:
        """All topics asked for and answered."""
        return self.acked.keys() | self.refused.keys()

    @property
    def received_ns(self) -> int:
        """Monotonic time of the last arrival."""
        return self._socket.received_ns

    @property
    def retiring(self) -> bool:
        """Whether a successor should take over: the exchange will close this one, soon or some time."""
        return time.monotonic() >= self._retire_at

    def retire_in(self, seconds: float) -> None:
        """Ask for the successor (again) after this time."""
        self._retire_at = time.monotonic() + seconds

    async def run(self) -> None:
        """Read until the socket ends; `ended` then says why. Always leaves it closed."""
        try:
            async with asyncio.TaskGroup() as tasks:
                side = [
                    tasks.create_task(self._watch(), name=f"{self.name} watch"),
                    tasks.create_task(self._heartbeat(), name=f"{self.name} heartbeat"),
                ]
                self._socket.receive(self._read, self._end)
                await self._socket.wait_closed()
                for task in side:
                    task.cancel()
        finally:
            self._end("closed by us")
            await self._socket.close(self._timing.close_s)

    async def close(self, reason: str) -> None:
        """Say goodbye; `run` returns soon after."""
        self._end(reason)
        await self._socket.close(self._timing.close_s)

    async def subscribe(self, topics: Sequence[Topic]) -> None:
        """Ask for topics; on return each is in `acked` or `refused`, or the connection has ended."""
        for topic in topics:
            self.refused.pop(topic, None)
        async with asyncio.TaskGroup() as tasks:
            for batch in self._codec.batches(topics):
                tasks.create_task(self._subscribe(batch), name=f"{self.name} subscribe")

    async def unsubscribe(self, topics: Sequence[Topic]) -> None:
        """Ask for no more of these; what the exchange answers changes nothing, so it is only counted."""
        asked = [topic for topic in topics if topic in self.acked]
        for topic in topics:
            self.acked.pop(topic, None)
            self.refused.pop(topic, None)
        for batch in self._codec.batches(asked):
            if await self._ask(self._codec.unsubscribe, batch):
                self.counts["unsubscribe_failed"] += 1

    async def _subscribe(self, batch: Sequence[Topic]) -> None:
        problem = await self._ask(self._codec.subscribe, batch, accepted=self._accept)
        left = [topic for topic in batch if topic not in self.acked and topic not in self.refused]
        if self.ended or not left:
            return
        if len(left) == 1 or is_busy(problem):
            for topic in left:
                self._refuse(topic, problem)
            return
        # One bad topic may have failed all of them: halve until it stands alone.
        middle = len(left) // 2
        async with asyncio.TaskGroup() as halves:
            halves.create_task(self._subscribe(left[:middle]))
            halves.create_task(self._subscribe(left[middle:]))

    async def _ask(
        self,
        text: Callable[[Sequence[Topic], int], str],
        batch: Sequence[Topic],
        accepted: Callable[[Iterable[Topic]], None] | None = None,
    ) -> str:
        """Send one request; returns "" once all of it is accepted, else why not."""
        await self._pace.turn()
        if self.ended:
            return self.ended
        self._count_request()
        request_id, request = self._requests.next_id(), Request(batch, accepted)
        self._requests.add(request_id, request)
        try:
            async with asyncio.timeout(self._timing.ack_s):
                self._socket.send(text(batch, request_id))
                return await request.answer
        except TimeoutError:
            self.counts["unanswered"] += 1
            return f"no answer within {self._timing.ack_s:g} s"
        finally:
            self._requests.remove(request_id)

    def _count_request(self) -> None:
        """Ask for a successor, with an allowance of its own, before the hourly one is used up."""
        self.counts["requests"] += 1
        allowed = self._sheet.requests_per_hour
        if allowed is not None and self.counts["requests"] == int(allowed * 0.9):
            self.retire_in(0)

    def _read(self, messages: Sequence[Message], read_us: int, read_ns: int) -> None:
        """Decode what was read together; it was received then, however long decoding waits or takes.

        A state is stamped when it is published: what follows must not look older than it, or a reader that
        sorts by time (a replay) would put it before the state.
        """
        codec, data, terms, books = self._codec, list[Event](), list[Event](), list[BookUpdate]()
        codec.order = self._order
        if read_ns >= codec.lateness.due_ns:
            codec.lateness.reckon(read_ns)
        for message in messages:
            for event in codec.decode(message, read_us, read_ns):
                if isinstance(event, Quote):
                    data.append(event)
                elif isinstance(event, Trade):
                    if self._is_news(event):
                        data.append(event)
                elif isinstance(event, Terms):
                    terms.append(event)
                elif isinstance(event, BookUpdate):
                    books.append(event)
                else:
                    self._hand_on(data)
                    data = []
                    if isinstance(event, Control):
                        self._answer(event)
                    else:
                        self._say(event)
                    read_us, read_ns = self._turns.stamps()
        if data and isinstance(data[-1], Quote):
            self._see(data[-1])
        self._hand_on(data)
        self._hand_on(terms)
        self._take(books)

    def _is_news(self, trade: Trade) -> bool:
        """Whether a trade is one to emit: not from before the subscription, and not seen lately."""
        if trade.is_history:
            self.counts["history_trades"] += 1
            return False
        if not self._trades.is_new(trade.symbol, trade.trade_id):
            self.counts["duplicate_trades"] += 1
            return False
        self._see(trade)
        return True

    def _see(self, event: Quote | Trade) -> None:
        if event.exchange_ts_us is not None:
            now_ns, traded = event.received_mono_ns, isinstance(event, Trade)
            self._codec.lateness.see(
                event.symbol, now_ns // 1000 - event.exchange_ts_us, now_ns, traded=traded
            )

    def _say(self, state: StreamState) -> None:
        """Emit a state between what came before it and what comes after, in the order of stamps too."""
        state.received_ts_us, state.received_mono_ns = self._turns.stamps()
        self._hand_on([state])

    def _hand_on(self, data: Sequence[Event]) -> None:
        if data and not self.ended:
            self._emit(data)

    def _take(self, books: Sequence[BookUpdate]) -> None:
        if books and not self.ended:
            self._books.take(books, self._epoch)

    def _answer(self, control: Control) -> None:
        if control.message:
            control.message = foreign(control.message)
        if control.reply is not None:
            self._socket.send(control.reply)
        if control.kind in {"ack", "error", "unsubscribed"}:
            self._settle(control)
        if control.reconnect:
            self.retire_in(0)
            self._on_change()

    def _settle(self, control: Control) -> None:
        problem = (control.message or "refused without a reason") if control.kind == "error" else ""
        request = self._requests.answered_by(control)
        if request is None:
            self._stray(control)
        elif not problem:
            request.accept(control.topics)
        elif len(control.topics) == 1:
            for topic in request.reject(control.topics, problem):
                if request.subscribes:
                    self._refuse(topic, problem)
        else:  # which of several was bad is not said: `_subscribe` halves what is left
            request.reject(control.topics, problem)

    def _stray(self, control: Control) -> None:
        """An answer to nothing we wait for: late, about the connection as such, or a subscription's end."""
        kind = f"stray_{control.kind}"
        self.counts[kind] += 1
        if control.kind == "ack":
            named = [topic for topic in self.refused if topic.name in control.topics]
            if named:  # it did answer, only later than we waited
                self._accept(named)
            return
        for topic in [topic for topic in self.acked if topic.name in control.topics]:
            self.counts["ended_by_exchange"] += 1
            del self.acked[topic]
            self._refuse(topic, control.message or "the exchange has ended the subscription")
        if control.kind == "error" and self.counts[kind] == 1:
            logger.warning("%s: the exchange reports an error: %s", self.name, control.message)

    def _accept(self, topics: Iterable[Topic]) -> None:
        topics = list(topics)
        for topic in topics:
            self.acked[topic] = ""
            self.refused.pop(topic, None)
        self._refusals.taken(topics)
        self._books.subscribed(topics, self._epoch)
        self._on_change()

    def _refuse(self, topic: Topic, reason: str) -> None:
        self.refused[topic] = reason
        self._books.refused(topic, self._epoch)
        if self._refusals.note(topic, reason):
            logger.warning("%s: %s refused: %s", self.name, topic.name, reason)
        self._on_change()

    async def _watch(self) -> None:
        """End a connection that is silent and does not answer either; call for a successor in time.

        A market may be quieter than the data sheet thinks. So before the time of silence is over the
        exchange is asked for a sign of life, and only when it gives none is the silence believed.
        """
        silence_s = self._sheet.silence_s
        patience_s = min(self._timing.ack_s, silence_s / 2)
        while True:
            await asyncio.sleep(min(WATCH_S, silence_s / 8))
            if self._silent_s() > silence_s - patience_s and not await self._lives(patience_s):
                self._end(f"nothing received for {silence_s:g} s")
                self._socket.abort()
                return
            if self.retiring:
                self._on_change()

    def _silent_s(self) -> float:
        return (time.monotonic_ns() - self._socket.received_ns) / 1e9

    async def _lives(self, within_s: float) -> bool:
        """Ask for any frame, in the exchange's own words, and wait for one.

        With its own ping; where the server pings, by subscribing again to a topic that is subscribed;
        before there is one, with a ping of the WebSocket protocol, which some do not answer.
        """
        self.counts["silence_tests"] += 1
        self._requests.remove(self._test_id)
        asked_ns, request_id = time.monotonic_ns(), self._requests.next_id()
        topics = list(self.acked)[:1]
        text = self._codec.ping(request_id)
        if text is None and topics:
            text = self._codec.subscribe(topics, request_id)
            self._requests.add(request_id, Request(topics))  # until the next test: its answer is no refusal
            self._test_id = request_id
        if text is None:
            self._socket.ping()
        else:
            self._socket.send(text)
        end_ns = asked_ns + within_s * 1e9
        while self._socket.received_ns < asked_ns and time.monotonic_ns() < end_ns:  # noqa: ASYNC110
            await asyncio.sleep(min(WATCH_S, within_s) / 8)
        return self._socket.received_ns >= asked_ns

    async def _heartbeat(self) -> None:
        ping_s = self._sheet.ping_s
        while ping_s is not None:
            await asyncio.sleep(ping_s)
            text = self._codec.ping(self._requests.next_id())
            if text is None:
                return
            self._socket.send(text)

    def _end(self, reason: str) -> None:
        if self.ended:
            return
        self.ended = reason
        self._requests.finish_all(reason)
        self._books.ended(self._epoch, reason)
        self._on_change()


def _life_s(sheet: DataSheet) -> float:
    """Seconds until a successor takes over: before the exchange's cut, and not all at the same time."""
    life_s = sheet.life_s
    return float("inf") if life_s is None else life_s * random.uniform(0.8, 0.95)  # noqa: S311  # nosec B311 # no secret


async def _welcome(socket: ExchangeSocket, timing: Timing) -> None:
    try:
        async with asyncio.timeout(timing.open_s):
            greeted = await socket.welcome()
    except TimeoutError:
        greeted = False
    if not greeted:
        await socket.close(timing.close_s)
        raise ConnectFailed("no welcome after the handshake")
