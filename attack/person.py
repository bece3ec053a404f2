"""Somebody with a browser or a program: signs in by the form, fills in forms, opens sockets."""

import base64
import hmac
import re
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from typing import Any, Self

import aiohttp

PASSWORD = "a rather long pass phrase 1"
PATIENCE_S = 30.0
SIGN_IN_S = 90.0


@dataclass
class Answer:
    """An answer that was read to its end."""

    status: int
    headers: Mapping[str, str]
    text: str
    path: str


@dataclass
class Form:
    """The largest form of a page that posts, with what it would send."""

    fields: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class Person:
    """A browser with cookies, from an address of its own in 127.0.0.0/8."""

    def __init__(self, url: str, name: str, address: str = "127.0.0.1", token: str = "") -> None:
        self.url, self.name = url, name
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            connector=aiohttp.TCPConnector(local_addr=(address, 0), limit=300),
            timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
            headers=headers,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()

    async def get(
        self, path: str, *, follow: bool = False, seconds: float = PATIENCE_S, **headers: str
    ) -> Answer:
        """`GET` it."""
        return await self._ask("GET", path, follow, seconds, headers=headers)

    async def post(self, path: str, data: Any = None, *, follow: bool = False, json: Any = None) -> Answer:
        """`POST` it, with the token that a page would send against forgery."""
        headers = {"X-CSRFToken": self.cookie("csrf"), "Referer": self.url + path, "Origin": self.url}
        # Passwords are hashed two at a time, which takes long on a busy machine.
        seconds = SIGN_IN_S if path == "/accounts/login/" else PATIENCE_S
        return await self._ask("POST", path, follow, seconds, data=data, json=json, headers=headers)

    async def delete(self, path: str) -> Answer:
        """`DELETE` it, as `post`."""
        headers = {"X-CSRFToken": self.cookie("csrf"), "Referer": self.url + path, "Origin": self.url}
        return await self._ask("DELETE", path, False, PATIENCE_S, headers=headers)

    async def _ask(self, method: str, path: str, follow: bool, seconds: float, **options: Any) -> Answer:
        timeout = aiohttp.ClientTimeout(total=seconds)
        async with self.http.request(
            method, self.url + path, allow_redirects=follow, timeout=timeout, **options
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.text(errors="replace"), answer.url.path)

    def cookie(self, ending: str) -> str:
        """The value of the cookie whose name ends so; names differ by desk."""
        found = [cookie.value for cookie in self.http.cookie_jar if ending in cookie.key.lower()]
        return found[0] if found else ""

    def cookies(self) -> str:
        """All of them, as a header has them."""
        return "; ".join(f"{cookie.key}={cookie.value}" for cookie in self.http.cookie_jar)

    # --- signing in ----------------------------------------------------------------------------------

    async def try_password(self, password: str) -> Answer:
        """The log-in form, filled in."""
        page = await self.get("/accounts/login/")
        data = form_of(page.text).fields | {"username": self.name, "password": password}
        return await self.post("/accounts/login/", data)

    async def sign_in(self) -> Self:
        """Sign in with the right password; sets a second factor up where the desk insists on one.

        Raises:
            RuntimeError: it did not work.
        """
        answer = await self.try_password(PASSWORD)
        if answer.status != 302:
            raise RuntimeError(f"{self.name} cannot sign in: {answer.status}")
        page = await self.get("/", follow=True)
        if "second-factor" in page.path:
            await self._set_up(page)
        return self

    async def _set_up(self, page: Answer) -> None:
        found = re.search(r"\b((?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})\b", page.text)
        if found is None:
            raise RuntimeError(f"{self.name}: the page {page.path} shows no key to set up")
        fields = form_of(page.text).fields | {"code": _code(found[1].replace(" ", ""))}
        answer = await self.post(page.path, fields, follow=True)
        if (await self.get("/")).status != 200:
            raise RuntimeError(f"{self.name}: the second factor was not taken ({answer.status})")

    # --- forms of the admin --------------------------------------------------------------------------

    async def fill_in(self, path: str, **changes: str) -> Answer:
        """Open a form, change fields, save; what the page says then, not followed.

        Raises:
            RuntimeError: there is no such form for this person, or it has no such field.
        """
        page = await self.get(path)
        form = form_of(page.text)
        missing = {name for name in changes if not name.startswith("_")} - form.names
        if page.status != 200 or missing:
            raise RuntimeError(f"{self.name}: {path} answers {page.status}, without {sorted(missing)}")
        return await self.post(path, form.fields | changes)

    # --- sockets -------------------------------------------------------------------------------------

    async def socket(self, path: str, origin: str | None = None) -> aiohttp.ClientWebSocketResponse:
        """An open socket.

        Raises:
            aiohttp.ClientError: it was refused.
        """
        return await self.http.ws_connect(
            self.url + path,
            origin=origin or self.url,
            timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
            max_msg_size=0,
        )


class _Forms(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._open = False
        self._select = self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = given.get("method", "").lower() == "post"
            self.forms += [Form()] if self._open else []
        elif self._open:
            self._take(tag, given)

    def _take(self, tag: str, given: dict[str, str]) -> None:
        form, name = self.forms[-1], given.get("name", "")
        if name:
            form.names.add(name)
        if tag == "input" and name and given.get("type") not in ("submit", "button", "file"):
            if given.get("type") not in ("checkbox", "radio") or "checked" in given:
                form.fields[name] = given.get("value") or ("on" if given.get("type") == "checkbox" else "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in given:
            form.fields[self._select] = given.get("value", "")
        elif tag == "textarea" and name:
            self._area = name
            form.fields[name] = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.forms[-1].fields[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = False
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""


def form_of(text: str) -> Form:
    """The form with the most fields; without any, an empty one."""
    parser = _Forms()
    parser.feed(text)
    return max(parser.forms, key=lambda form: len(form.names), default=Form())


def _code(key: str) -> str:
    """Code that an authenticator app shows now (RFC 6238)."""
    digest = hmac.digest(base64.b32decode(key), struct.pack(">Q", int(time.time()) // 30), "sha1")
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at : at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"
