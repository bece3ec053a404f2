"""E-mail over SMTP, with STARTTLS or TLS from the first byte."""

import hashlib
import ssl
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime, parseaddr
from typing import Final

import aiosmtplib
from aiosmtplib.response import SMTPResponse
from django.conf import settings

from core.targets import connected
from monitoring.alerts.channels.parcels import LONGEST_WORDS, Answer, Parcel, Target, Unusable
from monitoring.alerts.channels.wording import headline, shorten, when
from monitoring.alerts.messages import Message

PORTS: Final = {"starttls": 587, "ssl": 465, "none": 25}
SUBJECT: Final = 200
TOO_BIG: Final = 552
"""A letter may be refused for its size before its text is sent."""


class Mailbox:
    """Destination of the letter, and the way there.

    Raises:
        Unusable: something of it is missing or cannot be read.
    """

    def __init__(self, target: Target) -> None:
        self.host = target.text("host")
        self.security = target.text("security") or "starttls"
        self.username = target.text("username")
        self.password = target.secret
        recipients = target.settings.get("recipients") or []
        named = recipients.split(",") if isinstance(recipients, str) else recipients
        self.recipients = [_address(str(name)) for name in named]
        self.sender = _address(target.text("sender"))
        if not self.host:
            raise Unusable("enter the mail server's host")
        if self.security not in PORTS:
            raise Unusable(f"its security must be one of {', '.join(PORTS)}")
        if not self.recipients:
            raise Unusable("enter at least one recipient")
        if self.password and not self.username:
            raise Unusable("enter the user name its password belongs to")
        try:
            self.port = int(target.settings.get("port") or PORTS[self.security])
        except (TypeError, ValueError):
            raise Unusable("its port must be a number") from None


def _address(text: str) -> str:
    found = parseaddr(text.strip())[1]
    try:
        return Address(addr_spec=found).addr_spec if "@" in found else _no_address(text)
    except (ValueError, IndexError):
        return _no_address(text)


def _no_address(text: str) -> str:
    raise Unusable(f"“{text[:80]}” is no e-mail address" if text.strip() else "enter the sender's address")


def letter(mailbox: Mailbox, parcel: Parcel) -> EmailMessage:
    """Letter whose Message-ID is the parcel's key: a mail server may know a letter that comes twice."""
    mail = EmailMessage(policy=WIRE)
    domain = mailbox.sender.rpartition("@")[2]
    mail["Subject"] = shorten(" ".join(headline(parcel.message).split()), SUBJECT)
    mail["From"] = mailbox.sender
    mail["To"] = ", ".join(mailbox.recipients)
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = _id(parcel.key, domain)
    mail["References"] = _id(f"incident {parcel.message.key}", domain)  # one thread per incident
    mail["Auto-Submitted"] = "auto-generated"  # nobody's holiday notice answers it
    mail.set_content(text(parcel.message))
    return mail


def _id(key: str, domain: str) -> str:
    """Keys may hold what a Message-ID may not."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{domain}>"


def text(message: Message) -> str:
    """The letter's body."""
    facts = [f"{label}: {value}" for label, value in message.facts]
    parts = [message.words, "\n".join(facts), when(message), message.url]
    return "\n\n".join(part for part in parts if part) + "\n"


async def send(target: Target, parcel: Parcel, timeout_s: float) -> Answer:
    """Hand the letter to the mail server; whatever goes wrong there is an answer.

    Raises:
        Unusable: the settings are at fault.
        OSError: the server is not there, or breaks off.
        aiosmtplib.SMTPException: the same, in its words.
    """
    mailbox = Mailbox(target)
    mail = letter(mailbox, parcel)
    server = aiosmtplib.SMTP(
        hostname=mailbox.host,
        sock=await connected(mailbox.host, mailbox.port, settings.PRIVATE_TARGETS),
        timeout=timeout_s,
        use_tls=mailbox.security == "ssl",
        start_tls=False,  # below, where a server without it is distinguished from one that fails at it
        tls_context=None if mailbox.security == "none" else ssl.create_default_context(),
    )
    try:
        await server.connect()
        if mailbox.security == "starttls":
            await server.ehlo()
            if not server.supports_extension("starttls"):
                return Answer("broken", "the server offers no STARTTLS, and nothing is sent in the clear")
            await server.starttls()
        if mailbox.username:
            await server.login(mailbox.username, mailbox.password)
        refused, said = await server.sendmail(mailbox.sender, mailbox.recipients, mail.as_bytes())
    except aiosmtplib.SMTPRecipientsRefused as error:
        return nobody(error)
    except aiosmtplib.SMTPResponseException as error:
        whole = isinstance(error, aiosmtplib.SMTPDataError)
        return answer(error.code, error.message, about_letter=whole or error.code == TOO_BIG)
    except aiosmtplib.SMTPNotSupported:
        return Answer(
            "broken", f"the server offers no {'log-in' if mailbox.username else 'encryption'} we know"
        )
    finally:
        server.close()
    return taken(said, refused)


def taken(said: str, refused: dict[str, SMTPResponse]) -> Answer:
    """The server has it; those it has it not for are named."""
    if not refused:
        return Answer("sent", _short(f"250 {said}"), 250, _short(said))
    without = ", ".join(f"{name} ({response.code})" for name, response in refused.items())
    return Answer("sent", _short(f"250, but not for {without}"), 250, _short(said))


def nobody(error: aiosmtplib.SMTPRecipientsRefused) -> Answer:
    """Answer for a server that refuses all recipients, some perhaps only now: then it is asked again."""
    first = next((each for each in error.recipients if each.code < 500), error.recipients[0])
    return answer(first.code, first.message, about_letter=first.code == TOO_BIG)


def answer(code: int, words: str, *, about_letter: bool) -> Answer:
    """4xx is for now; 5xx is for ever: over this letter once its text was sent, over our settings before."""
    said = _short(f"{code} {words}")
    if 400 <= code < 500 or code < 0:
        return Answer("later", said, code)
    return Answer("refused" if about_letter else "broken", said, code)


def _short(text: str) -> str:
    return " ".join(text.split())[:LONGEST_WORDS]
