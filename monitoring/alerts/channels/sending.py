"""Hands a parcel to its channel, whichever it is, and always comes back with an answer."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote, urlsplit

import aiohttp
import aiosmtplib
from django.conf import settings
from msgspec import structs

from core.names.plain_names import plain
from core.targets import REFUSED, RefusedTarget, host_problem, socket_factory
from monitoring.alerts.channels import mail, pagerduty, slack, telegram, webhook
from monitoring.alerts.channels.parcels import LONGEST_WORDS, Answer, Parcel, Reply, Request, Target, Unusable
from monitoring.alerts.messages import Message, harmless

logger = logging.getLogger(__name__)

SEND_TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 5.0
LONGEST_REPLY: Final = 65_536

Ask = Callable[[Target, Parcel], Request]
Understand = Callable[[Reply], Answer]

OVER_HTTP: Final[dict[str, tuple[Ask, Understand]]] = {
    "telegram": (telegram.request, telegram.answer),
    "slack": (slack.request, slack.answer),
    "webhook": (webhook.request, webhook.answer),
    "pagerduty": (pagerduty.request, pagerduty.answer),
}
EMAIL: Final = "email"

NEVER_GROUPED: Final = frozenset({"pagerduty"})
"""Each of its messages opens or closes an incident of its own."""


def unusable(target: Target) -> str:
    """Why these settings cannot work, as far as that shows without sending; empty when they may."""
    sample = Message("sample", "", "info", "test", (), "", "sample", 0)
    try:
        if target.kind == EMAIL:
            host = mail.Mailbox(target).host
        else:
            host = urlsplit(OVER_HTTP[target.kind][0](target, Parcel("sample", sample)).url).hostname or ""
    except Unusable as error:
        return str(error)
    return host_problem(host, settings.PRIVATE_TARGETS)


@asynccontextmanager
async def sender(timeout_s: float = SEND_TIMEOUT_S) -> AsyncIterator["Sender"]:
    """HTTP client for all channels.

    Connections are not kept: a POST over one that has died unseen would have to be sent twice.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            force_close=True, limit=0, socket_factory=socket_factory(settings.PRIVATE_TARGETS)
        ),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "arbitrage desk"},
    ) as http:
        yield Sender(http, timeout_s)


class Sender:
    """Sends over whichever channel; `timeout_s` is for all of one sending."""

    def __init__(self, http: aiohttp.ClientSession, timeout_s: float) -> None:
        self._http = http
        self._timeout_s = timeout_s

    async def send(self, target: Target, parcel: Parcel) -> Answer:
        """Send, and return the outcome. Never raises but when cancelled, and never reveals the secret."""
        parcel = structs.replace(
            parcel, message=harmless(parcel.message), parts=tuple(map(harmless, parcel.parts))
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._send(target, parcel)
        except Unusable as error:
            return Answer("broken", str(error))  # our own words
        except (OSError, aiohttp.ClientError, aiosmtplib.SMTPException) as error:
            answer = trouble(error)
        except (
            Exception
        ) as error:  # this message or its answer is more than we can handle; others may be fine
            logger.error("an alert for %s could not be sent: %s", target.kind, type(error).__name__)
            answer = Answer("refused", f"our own fault: {type(error).__name__}")
        return without_secret(answer, target.secret)

    async def _send(self, target: Target, parcel: Parcel) -> Answer:
        if target.kind == EMAIL:
            return await mail.send(target, parcel, self._timeout_s)
        ask, understand = OVER_HTTP[target.kind]
        return understand(await self._post(ask(target, parcel)))

    async def _post(self, request: Request) -> Reply:
        posted = self._http.post(
            request.url, data=request.body, headers=request.headers, allow_redirects=False
        )
        async with posted as response:
            body = b""
            async for piece in response.content.iter_chunked(LONGEST_REPLY):
                body += piece
                if len(body) >= LONGEST_REPLY:
                    break
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, headers, body)


def trouble(error: Exception) -> Answer:
    """Outcome where no answer came; in our words, as errors may quote the address."""
    if fault := _fault_of_settings(error):
        return Answer("broken", fault)
    if isinstance(error, TimeoutError | aiosmtplib.SMTPTimeoutError):
        return Answer("later", "no answer in time")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Answer("later", "its host is not known")
    if isinstance(error, aiohttp.ClientConnectorError | aiosmtplib.SMTPConnectError | ConnectionRefusedError):
        return Answer("later", "nobody answers there")
    return Answer("later", f"broken off ({type(error).__name__})")


def _fault_of_settings(error: Exception) -> str:
    """Fault an operator has to mend before anything gets through; empty where it may pass by itself."""
    reason = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(reason, RefusedTarget):
        return REFUSED
    if isinstance(error, aiohttp.InvalidURL):
        return "its address cannot be read"
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in (error, error.__cause__)):
        return "its certificate is not trusted"
    return ""


def without_secret(answer: Answer, secret: str) -> Answer:
    """Remove the secret where the other side repeats it."""
    words, receipt = answer.words, answer.receipt
    for shown in {secret, secret.strip(), quote(secret, safe="")} - {""}:
        words, receipt = words.replace(shown, "•••"), receipt.replace(shown, "•••")
    return structs.replace(answer, words=plain(words[:LONGEST_WORDS]), receipt=plain(receipt[:200]))
