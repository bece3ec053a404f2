"""Whatever is sent to any address, the desk answers: never 500, no outage where there is none, no error.

A walk over all addresses with a fixed seed, bounded in time; `make fuzz` takes a minute for each.
"""

import asyncio
import json
import os
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import websockets
from django.contrib import admin
from django.core.management import call_command
from redis import Redis

from tests.support.live import Web, daphne
from tests.support.nasty import (
    BODIES,
    CONTENT_TYPES,
    HEADERS,
    HOSTS,
    MESSAGES,
    METHODS,
    VALUES,
    in_an_address,
)
from tests.support.rights_table import Roles, addresses, filled, make_rows, sockets

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

SECONDS: Final = float(os.environ.get("FUZZ_S", "4"))
"""Of each walk."""
AT_LEAST: Final = 250
"""Values asked for, however slow the machine."""

GOOD: Final = {
    "symbol": "BTC/USDT", "exchange": "binance", "exchange1": "binance", "exchange2": "bybit",
    "points": "100",
    "exchanges": "binance,bybit", "id": "BTC/USDT|binance|bybit", "graph": "memory", "range": "1h",
    "zone": "UTC",
    "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z",
}  # fmt: skip
OF_A_LIST: Final = ("q", "o", "p", "all", "e", "_popup", "_to_field", "_changelist_filters", "_facets")
OF_A_PAGE: Final = (
    "next", "symbol", "exchange1", "exchange2", "id", "filter", "start", "end", "pair", "test", "app_label",
    "model_name", "field_name", "term", "domain", "search", "day", "zone",
)  # fmt: skip
DESK: Final = "administrator"


@dataclass
class Door:
    """A running desk, somebody signed in, and what it logged."""

    web: Web
    roles: Roles
    log: Path
    statuses: Counter[int]
    down: set[str]
    """Addresses that say 503 of a desk without collectors, whatever is asked."""
    failures: list[str]

    def ask(self, method: str, path: str, **options: Any) -> requests.Response | None:
        """Ask; None where the connection is closed without an answer, as of what is no HTTP."""
        headers = {**self.roles.headers(options.pop("as_", DESK)), **options.pop("headers", {})}
        request = requests.Request(method, self.web.url, headers=headers, **options).prepare()
        request.url = self.web.url + path  # as it is written
        try:
            with requests.Session() as session:
                answer = session.send(request, timeout=30, allow_redirects=False)
        except (requests.ConnectionError, requests.exceptions.InvalidHeader):
            return None
        self.judge(answer.status_code, f"{method} {path}", answer.text)
        return answer

    def judge(self, status: int, what: str, said: str = "") -> None:
        """Refuse a failure."""
        self.statuses[status] += 1
        is_failure = status == 500 or (
            status in (502, 503) and what.split("?", maxsplit=1)[0].split(" ")[1] not in self.down
        )
        if is_failure:
            self.failures.append(f"{what[:300]}: {status} {said[:300]}")

    def judge_close(self, closed: websockets.ConnectionClosed, what: str) -> None:
        """Refuse a socket that ended in a fault of ours (1011), or is to come again (1012) for nothing."""
        if closed.rcvd is not None and closed.rcvd.code in (1011, 1012):
            self.failures.append(f"{what}: {closed.rcvd}")

    def errors(self) -> list[str]:
        """Lines of errors, and of tracebacks."""
        lines = self.log.read_text(errors="replace").splitlines()
        usual = tuple(f"Service Unavailable: {path}" for path in self.down)
        return [f"{line[:200]} … {line[-1000:]}" for line in lines if _is_an_error(line, usual)]


def _is_an_error(line: str, usual: tuple[str, ...]) -> bool:
    try:
        said = json.loads(line)
    except ValueError:
        return "Traceback" in line or "Error" in line
    if said["message"].startswith(usual):
        return False
    if said["level"] in ("ERROR", "CRITICAL"):
        return True
    return (
        "traceback" in said
        and "PermissionDenied" not in said["traceback"]
        and said["logger"] != "django.security"
    )


@pytest.fixture
def door(transactional_db: None, empty_redis: Redis, tmp_path: Path) -> Iterator[Door]:
    call_command("seed", verbosity=0)
    roles = Roles()
    make_rows()
    log = tmp_path / "web.log"
    with daphne(log=log, LAKE_URL=str(tmp_path / "lake"), LOG_LEVEL="INFO") as web:
        found = Door(web, roles, log, Counter(), set(), [])
        found.down = {path for path in paths() if _is_down(web.url + path)}
        yield found
    failures, errors = found.failures, found.errors()
    assert not failures, "\n".join(failures[:20])
    assert not errors, "\n".join(errors[:20])
    assert web.process.returncode in (0, -15)


def _is_down(url: str) -> bool:
    return url.endswith(("health", "readyz", "health/")) and requests.get(url, timeout=30).status_code == 503


def paths() -> list[str]:
    return [filled(address) for address in addresses()]


def parameters(door: Door, path: str) -> list[str]:
    """Parameters of an address: an API says so itself, a list of the admin filters."""
    if path.startswith("/api/"):
        answer = door.ask("GET", f"{path}?nothing=1")
        assert answer is not None
        named = re.search(r"this takes ([\w, ]+)", answer.text)
        return named[1].split(", ") if named else ["x"]
    for model, of in admin.site._registry.items():
        if path == f"/admin/{model._meta.app_label}/{model._meta.model_name}/":
            listed = [each[0] if isinstance(each, tuple) else each for each in of.list_filter]
            lookups = [f"{each}__exact" for each in listed if isinstance(each, str)]
            dates = [f"{of.date_hierarchy}__{part}" for part in ("year", "gte")] if of.date_hierarchy else []
            return [*OF_A_LIST, *lookups, *dates, "id__in", "pk__isnull"]
    return list(OF_A_PAGE)


def asked(door: Door) -> Iterator[tuple[str, str]]:
    """Paths and queries in an order that comes by every address and parameter before it repeats itself."""
    order = random.Random(13)
    values = list(in_an_address())
    order.shuffle(values)
    open_to = [(path, parameters(door, path)) for path in paths() if "logout" not in path]
    for turn, value in enumerate(values):
        order.shuffle(open_to)
        for path, names in open_to:
            for number, name in enumerate(names):
                given = values[(turn + 7 * number) % len(values)] if turn else value
                others = (
                    [f"{key}={GOOD[key]}" for key in names if key in GOOD and key != name] if turn % 2 else []
                )
                yield path, "&".join([*others, f"{name}={given}"])


def test_every_address_takes_any_value(door: Door) -> None:
    """Each parameter of each address, by turns alone and among good ones."""
    until = time.monotonic() + SECONDS
    for count, (path, query) in enumerate(asked(door), 1):
        door.ask("GET", f"{path}?{query}")
        if count >= AT_LEAST and time.monotonic() > until:
            break
    assert door.statuses[400] > 20


def test_every_address_takes_any_method(door: Door) -> None:
    until = time.monotonic() + SECONDS
    ways = [(path, method) for path in paths() for method in METHODS]
    random.Random(13).shuffle(ways)
    for path, method in ways:
        door.ask(method, path)
        if "logout" in path:
            door.roles.sign_in(DESK)
        if time.monotonic() > until:
            break


def test_every_address_takes_any_body(door: Door) -> None:
    order = random.Random(13)
    until = time.monotonic() + SECONDS
    ways = [(path, body, kind) for path in paths() for body in BODIES for kind in CONTENT_TYPES]
    order.shuffle(ways)
    ways.sort(key=lambda way: not way[0].startswith("/api/"))
    for path, body, kind in ways:
        for method in ("POST", "DELETE") if path.startswith("/api/") else ("POST",):
            door.ask(method, path, data=body, headers={"Content-Type": kind})
        if "logout" in path:
            door.roles.sign_in(DESK)
        if time.monotonic() > until:
            break


def test_forms_take_any_text(door: Door) -> None:
    """Each field of each form of the admin, every value in all of them at once."""
    order = random.Random(13)
    until = time.monotonic() + SECONDS
    forms = [path for path in paths() if path.endswith(("/add/", "/change/", "/password/", "/alias/"))]
    pages = {path: door.ask("GET", path) for path in forms}
    fields = {
        path: sorted(set(re.findall(r'name="([\w-]+)"', page.text))) for path, page in pages.items() if page
    }
    ways = [(path, value) for path in fields for value in VALUES]
    order.shuffle(ways)
    for path, value in ways:
        sent = {name: value for name in fields[path] if name != "csrfmiddlewaretoken"}
        door.ask("POST", path, data=sent)
        if time.monotonic() > until:
            break


def raw(door: Door, request: bytes) -> bytes:
    """Answer to bytes on a connection, as far as it comes at once."""
    with socket.create_connection(("127.0.0.1", door.web.port), 10) as line:
        line.sendall(request)
        line.settimeout(5)
        try:
            return line.recv(65_536)
        except (TimeoutError, ConnectionError):
            return b""


def test_any_header(door: Door) -> None:
    """Also such as no library sends: they go out as bytes."""
    session = door.roles.headers(DESK)
    for name, value in HEADERS:
        for path in ("/", "/api/charts", "/admin/", "/accounts/login/", "/static/css/site.css", "/healthz"):
            lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{door.web.port}", f"{name}: {value}"]
            lines += [] if name == "Cookie" else [f"Cookie: {session['Cookie']}"]
            answer = raw(door, "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin1", "replace"))
            if answer.startswith(b"HTTP/1.1 "):
                door.judge(int(answer[9:12]), f"GET {path} {name}: {value[:80]}", answer.decode("latin1"))


def test_no_client_names_the_path_that_the_desk_is_under(door: Door) -> None:
    """Daphne takes a header for SCRIPT_NAME, which links and cookies would follow."""
    for path in ("/", "/accounts/login/", "/admin/", "/scanner"):
        for name in ("Daphne-Root-Path", "daphne-root-path", "DAPHNE-ROOT-PATH"):
            plain, stolen = door.ask("GET", path), door.ask("GET", path, headers={name: "/stolen"})
            assert plain is not None
            assert stolen is not None
            assert "stolen" not in stolen.text + str(stolen.headers)
            assert (plain.status_code, plain.headers.get("Location")) == (
                stolen.status_code,
                stolen.headers.get("Location"),
            )


def test_any_host(door: Door) -> None:
    for host in HOSTS:
        for path in ("/", "/api/charts", "/admin/", "/healthz", "/static/css/site.css", "/nothing"):
            answer = raw(
                door, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin1")
            )
            if answer.startswith(b"HTTP/1.1 "):
                door.judge(int(answer[9:12]), f"GET {path} Host: {host[:80]}", answer.decode("latin1"))


async def test_any_message(door: Door) -> None:
    """Each socket closes over what it cannot read with a reason, or goes on."""
    for address in (*sockets(), "/ws/nothing", "/ws/"):
        for message in (*MESSAGES, b"\xff", b"", b"x" * 100_000, "x" * 2_000_000):
            try:
                async with websockets.connect(
                    f"ws://127.0.0.1:{door.web.port}{address}",
                    origin=websockets.Origin(door.web.url),
                    additional_headers=door.roles.headers(DESK),
                    proxy=None,
                ) as line:
                    await line.send(message)
                    await line.send('{"type": "ack", "seq": 0}')
                    async with asyncio.timeout(0.05):
                        await line.recv()
            except TimeoutError:
                continue
            except websockets.ConnectionClosed as closed:
                door.judge_close(closed, f"{address} {message[:80]!r}")
            except websockets.InvalidStatus as refused:
                door.judge(refused.response.status_code, f"GET {address}")


async def test_any_query_of_a_socket(door: Door) -> None:
    until = time.monotonic() + SECONDS
    ways = list(product(sockets(), ("filter", "seq", "x"), in_an_address()))
    random.Random(13).shuffle(ways)
    for address, name, value in ways:
        if time.monotonic() > until:
            break
        try:
            async with websockets.connect(
                f"ws://127.0.0.1:{door.web.port}{address}?{name}={value}",
                origin=websockets.Origin(door.web.url),
                additional_headers=door.roles.headers(DESK),
                proxy=None,
            ) as line:
                async with asyncio.timeout(0.02):
                    await line.recv()
        except (TimeoutError, websockets.InvalidHandshake):
            continue
        except websockets.ConnectionClosed as closed:
            door.judge_close(closed, f"{address} {name} {value}")
