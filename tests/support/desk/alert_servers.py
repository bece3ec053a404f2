"""The other ends of alert channels, on loopback: they check what they are sent as the real ones do.

Each keeps what it took, and answers with `replies` first, where a test has put some in.
"""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Server = TypeVar("Server", bound="HttpServer")
Reply = web.Response | Callable[[], Awaitable[web.Response]]


class HttpServer:
    """Server that takes a POST."""

    def __init__(self) -> None:
        self.url = ""
        self.asked = 0
        self.taken: list[dict[str, Any]] = []
        self.replies: deque[Reply] = deque()
        self.down = False  # every connection is cut

    async def handle(self, request: web.Request) -> web.Response:
        """Script first, then what the real one would say."""
        self.asked += 1
        if self.down and request.transport is not None:
            request.transport.abort()
        if self.replies:
            reply = self.replies.popleft()
            return reply if isinstance(reply, web.Response) else await reply()
        return self.answer(request, await request.read())

    def answer(self, request: web.Request, body: bytes) -> web.Response:
        """Answer like the real one."""
        raise NotImplementedError


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    """Let it listen on loopback."""
    app = web.Application()
    app.router.add_post("/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


# --- Telegram ------------------------------------------------------------------------------------------


class Markup(HTMLParser):
    """Reads Telegram's HTML: which tags are open, and what is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = ""
        self.tags: list[str] = []
        self.wrong = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("b", "i", "a", "code", "pre", "u", "s"):
            self.wrong = f'Unsupported start tag "{tag}"'
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.tags or self.tags.pop() != tag:
            self.wrong = f'Unmatched end tag "{tag}"'

    def handle_data(self, data: str) -> None:
        self.shown += data


def shown(text: str) -> str:
    """Text that a reader of Telegram's HTML sees.

    Raises:
        ValueError: the markup is wrong.
    """
    markup = Markup()
    markup.feed(text)
    markup.close()
    if markup.wrong or markup.tags:
        raise ValueError(markup.wrong or f"Can't find end tag {markup.tags[-1]}")
    return markup.shown


class Telegram(HttpServer):
    """`sendMessage` of one bot that is a member of one chat."""

    token = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"
    chat = "-1001234567890"
    topic = 17

    def __init__(self) -> None:
        super().__init__()
        self.moved: dict[str, int] = {}  # chat -> where it is now

    def answer(self, request: web.Request, body: bytes) -> web.Response:
        called = re.fullmatch(r"/bot(\d+:[\w-]+)/sendMessage", request.path)
        if not called:
            return self._no(404, "Not Found")
        if called[1] != self.token:
            return self._no(401, "Unauthorized")
        asked = json.loads(body)
        if asked["chat_id"] in self.moved:
            words = "Bad Request: group chat was upgraded to a supergroup chat"
            return self._no(400, words, {"migrate_to_chat_id": self.moved[asked["chat_id"]]})
        if asked["chat_id"] != self.chat:
            return self._no(400, "Bad Request: chat not found")
        if asked.get("message_thread_id", self.topic) != self.topic:
            return self._no(400, "Bad Request: message thread not found")
        try:
            text = shown(asked["text"])
        except ValueError as problem:
            return self._no(400, f"Bad Request: can't parse entities: {problem}")
        if len(text.encode("utf-16-le")) > 2 * 4096:
            return self._no(400, "Bad Request: message is too long")
        self.taken.append(asked | {"shown": text})
        result = {"message_id": len(self.taken), "chat": {"id": int(self.chat)}, "text": text}
        return web.json_response({"ok": True, "result": result})

    @staticmethod
    def flood(seconds: int) -> web.Response:
        """Too many messages."""
        words = f"Too Many Requests: retry after {seconds}"
        return Telegram._no(429, words, {"retry_after": seconds})

    @staticmethod
    def _no(code: int, words: str, parameters: dict[str, int] | None = None) -> web.Response:
        said: dict[str, Any] = {"ok": False, "error_code": code, "description": words}
        if parameters:
            said["parameters"] = parameters
        return web.json_response(said, status=code)


# --- Slack ---------------------------------------------------------------------------------------------


class Slack(HttpServer):
    """An incoming webhook."""

    path = "/services/T000/B000/XXXXsecretXXXX"

    def answer(self, request: web.Request, body: bytes) -> web.Response:
        if request.path != self.path:
            return web.Response(status=404, text="no_service")
        try:
            asked = json.loads(body)
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        if not isinstance(asked.get("text"), str) or not asked["text"]:
            return web.Response(status=400, text="no_text")
        self.taken.append(asked)
        return web.Response(text="ok")


# --- our own webhook -----------------------------------------------------------------------------------


class Receiver(HttpServer):
    """Verifies as https://www.standardwebhooks.com asks receivers to, and takes each id once."""

    key = base64.b64encode(b"a key of twenty-four byte").decode()
    secret = f"whsec_{key}"

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []

    def answer(self, request: web.Request, body: bytes) -> web.Response:
        id, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        if abs(int(at) - datetime.now(UTC).timestamp()) > 300:
            return web.Response(status=401)
        signed = hmac.new(base64.b64decode(self.key), f"{id}.{at}.".encode() + body, hashlib.sha256)
        given = request.headers["webhook-signature"].removeprefix("v1,")
        if not hmac.compare_digest(given, base64.b64encode(signed.digest()).decode()):
            return web.Response(status=401)
        if id not in self.ids:
            self.ids.append(id)
            self.taken.append(json.loads(body))
        return web.Response(status=204)


# --- PagerDuty -----------------------------------------------------------------------------------------


class PagerDuty(HttpServer):
    """Events v2 of one service: keeps which incidents are open."""

    routing_key = "R0123456789ABCDEF0123456789ABCDE"

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, list[dict[str, Any]]] = {}  # incident -> the alerts it holds
        self.resolved: list[str] = []

    def answer(self, request: web.Request, body: bytes) -> web.Response:
        event = json.loads(body)
        if request.path != "/v2/enqueue":
            return web.Response(status=404)
        if errors := list(self._wrong(event)):
            said = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
            return web.json_response(said, status=400)
        key = event["dedup_key"]
        if event["event_action"] == "resolve":
            if self.open.pop(key, None) is not None:
                self.resolved.append(key)
        else:
            self.open.setdefault(key, []).append(event["payload"])
        self.taken.append(event)
        said = {"status": "success", "message": "Event processed", "dedup_key": key}
        return web.json_response(said, status=202)

    def _wrong(self, event: dict[str, Any]) -> Any:
        if len(event.get("routing_key", "")) != 32:
            yield "Length of 'routing_key' is incorrect (should be 32 characters)"
        if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            yield "'event_action' is invalid"
        if not 0 < len(event.get("dedup_key", "")) <= 255:
            yield "'dedup_key' is invalid"
        if event.get("event_action") != "trigger":
            return
        payload = event.get("payload") or {}
        if not 0 < len(payload.get("summary", "")) <= 1024:
            yield "'payload.summary' is missing or blank"
        if not payload.get("source"):
            yield "'payload.source' is missing or blank"
        if payload.get("severity") not in ("info", "warning", "error", "critical"):
            yield "'payload.severity' is invalid (must be one of the following: 'critical', ...)"


# --- a mail server -------------------------------------------------------------------------------------


class MailServer:
    """SMTP with log-in; `refusals` answer the next letters, `unknown` recipients have no mailbox."""

    username, password = "desk", "wintergreen-secret"

    def __init__(self) -> None:
        self.port = 0
        self.letters: list[EmailMessage] = []
        self.encrypted: list[bool] = []
        self.refusals: deque[str] = deque()
        self.unknown: set[str] = set()

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, who: Any) -> Any:
        """The one user there is."""
        known = LoginPassword(self.username.encode(), self.password.encode())
        return AuthResult(success=who == known, handled=False)

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.unknown:
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        if self.refusals:
            return self.refusals.popleft()
        content = envelope.content
        assert isinstance(content, bytes)
        letter = message_from_bytes(content, policy=modern)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        assert server.transport is not None
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 2.0.0 Queued as 4711"


@asynccontextmanager
async def mail_server(
    certificate: Path | None = None,
    *,
    from_the_first_byte: bool = False,
    kind: type[MailServer] = MailServer,
) -> AsyncIterator[MailServer]:
    """One that offers STARTTLS, or speaks TLS at once, with the certificate; in the clear without one."""
    mail = kind()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    def protocol() -> SMTP:
        return SMTP(
            mail,
            hostname="mail.test",
            tls_context=None if from_the_first_byte else context,
            require_starttls=context is not None and not from_the_first_byte,
            authenticator=mail.authenticate,
            auth_required=True,
            auth_require_tls=False,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context if from_the_first_byte else None)
    mail.port = server.sockets[0].getsockname()[1]
    try:
        yield mail
    finally:
        server.close()


def certificate(directory: Path) -> Path:
    """A certificate for 127.0.0.1, with its key, that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = directory / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path
