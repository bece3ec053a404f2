"""An exchange's public REST on loopback that answers whatever a test says, for real ccxt clients."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

CHALLENGE = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>checking</body></html>"


class Reply:
    """Something else than JSON with 200."""

    def __init__(
        self, text: str | bytes, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        self.body = text.encode() if isinstance(text, str) else text
        self.status, self.headers = status, {"Content-Length": str(len(self.body))} | dict(headers or {})


HTML = Reply(CHALLENGE)


@contextmanager
def serving(answers: dict[str, Any]) -> Iterator[str]:
    """Serve `answers` by path, each JSON or a `Reply`; what is not there is 404. Yields the base URL."""

    def answer(path: str) -> Reply:
        found = answers.get(urlsplit(path).path, Reply("{}", 404))
        return found if isinstance(found, Reply) else Reply(json.dumps(found))

    with answering(answer) as url:
        yield url


@contextmanager
def tampering(upstream: str, change: Callable[[str, Any], Any]) -> Iterator[str]:
    """Serve what `upstream` answers after `change(path, answer)`, which may return a `Reply`."""

    def answer(path: str) -> Reply:
        try:
            with urlopen(upstream + path, timeout=10) as response:
                found = change(path, json.load(response))
        except HTTPError as error:
            return Reply(error.read().decode(), error.code)
        return found if isinstance(found, Reply) else Reply(json.dumps(found))

    with answering(answer) as url:
        yield url


@contextmanager
def answering(answer: Callable[[str], Reply]) -> Iterator[str]:
    """Serve what `answer(path)` says, which is asked in a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = answer(self.path)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def with_rows(answer: Any, *rows: Any) -> Any:
    """An answer with more rows in front of its longest list, wherever that is."""
    longest: list[Any] = max(lists(answer), key=len, default=[])
    longest[:0] = rows
    return answer


def lists(node: Any) -> Iterator[list[Any]]:
    if isinstance(node, list):
        yield node
    elif isinstance(node, dict):
        for child in node.values():
            yield from lists(child)


# --- Gate ----------------------------------------------------------------------------------------


def pair(name: str, **changes: Any) -> dict[str, Any]:
    """A row of Gate's currency pairs."""
    base, _, quote = name.partition("_")
    return {
        "id": name, "base": base, "quote": quote, "fee": "0.2", "min_base_amount": "0.001",
        "min_quote_amount": "3", "amount_precision": 4, "precision": 3, "trade_status": "tradable",
        "sell_start": 0, "buy_start": 0,
    } | changes  # fmt: skip


def ticker(name: str, volume: str = "5000") -> dict[str, Any]:
    """A row of Gate's tickers."""
    return {
        "currency_pair": name, "last": "2", "lowest_ask": "2.1", "highest_bid": "1.9", "base_volume": "1",
        "quote_volume": volume, "high_24h": "2.1", "low_24h": "1.9", "change_percentage": "0",
    }  # fmt: skip


def gate(pairs: Any, tickers: Any = None, currencies: Any = None) -> dict[str, Any]:
    """Gate's answers: rows, or a reply instead of them."""
    if tickers is None:
        tickers = [ticker(row["id"]) for row in pairs]
    return {
        "/api/v4/spot/currency_pairs": pairs,
        "/api/v4/spot/tickers": tickers,
        "/api/v4/spot/currencies": currencies if currencies is not None else [],
        "/api/v4/margin/currency_pairs": [],
    }


def coin(name: str, *chains: Any) -> dict[str, Any]:
    """A row of Gate's currencies."""
    return {
        "currency": name,
        "name": name,
        "delisted": False,
        "trade_disabled": False,
        "chains": list(chains),
    }


def chain(name: str, deposit: bool = True, withdraw: bool = True) -> dict[str, Any]:
    """A network of it."""
    return {
        "name": name, "addr": "", "withdraw_disabled": not withdraw, "withdraw_delayed": False,
        "deposit_disabled": not deposit,
    }  # fmt: skip
