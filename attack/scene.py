"""Means of every attack: the desk, people, listeners, and the list of attacks."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from attack.desk import Desk
from attack.person import PASSWORD, Person


class Untried(Exception):
    """Attack of which it was not found out whether the desk holds; the message says why."""


class Broken(Exception):
    """The desk did not hold; the message says how."""


@dataclass
class Scene:
    """A running desk and those who attack it, signed in."""

    desk: Desk
    stack: AsyncExitStack
    people: dict[str, Person] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    """Tokens by name, and numbers of the channels that keep a secret, by kind."""

    def __getitem__(self, name: str) -> Person:
        return self.people[name]

    async def person(self, name: str, address: str = "127.0.0.1", token: str = "") -> Person:
        """A browser of its own."""
        return await self.stack.enter_async_context(Person(self.desk.url, name, address, token))


Attack = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Listed:
    """An attack: the item of the issue, what is tried, and when."""

    item: int
    what: str
    run: Attack
    when: "When"


ATTACKS: list[Listed] = []
When = Literal["as a stranger", "beside others", "alone", "last"]
"""Attacks that need no users run while users sign in; then the others, those that disturb the desk last."""


def attack(item: int, what: str, when: When = "beside others") -> Callable[[Attack], Attack]:
    """Put an attack on the list."""

    def listed(found: Attack) -> Attack:
        ATTACKS.append(Listed(item, what, found, when))
        return found

    return listed


def insist(holds: object, why: str) -> None:
    """Raises Broken: it does not hold."""
    if not holds:
        raise Broken(why)


PEOPLE = {
    # name: single permissions, staff, superuser
    "low": ((), False, False),
    "other": ((), False, False),
    "clerk": (
        ("view_alertchannel", "change_alertchannel", "add_alertchannel", "view_exchange", "change_exchange"),
        True,
        False,
    ),
    "personnel": (("view_user", "change_user"), True, False),
    "root": ((), True, True),
    "newroot": ((), True, True),
    **{f"leaver{n}": ((), False, False) for n in range(4)},
}
KEPT_SECRET = "123456789:AAE-of-the-bot-kept-here"
CHANNELS: dict[str, dict[str, Any]] = {
    "telegram": {"chat_id": "1"},
    "pagerduty": {},
    "webhook": {"url": "https://hook.example.com/"},
    "email": {
        "host": "mail.example.com",
        "sender": "a@example.com",
        "recipients": ["b@example.com"],
        "username": "a",
    },
}
SET_UP = """
import json
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission, User
from accounts.tokens.tokens import make_token
from monitoring.models import AlertChannel
hashed = make_password({password!r})
for name, (permissions, staff, superuser) in {people!r}.items():
    user = User.objects.create(username=name, password=hashed, is_staff=staff, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
root, leaver = User.objects.get(username="root"), User.objects.get(username="leaver3")
made = {{scope: make_token(root, 1, name=scope, scope=scope) for scope in ("read", "act", "admin")}}
made["leaver"] = make_token(leaver, 1, name="leaver", scope="read")
for kind, settings in {channels!r}.items():
    row = AlertChannel(name=f"kept {{kind}}", kind=kind, settings=settings)
    row.secret = {secret!r}
    row.save()
    made[kind] = str(row.pk)
print(json.dumps(made))
"""


async def set_up(scene: Scene) -> None:
    """Make people, tokens and channels on the server."""
    code = SET_UP.format(password=PASSWORD, people=PEOPLE, channels=CHANNELS, secret=KEPT_SECRET)
    scene.made = loaded((await scene.desk.shell(code)).splitlines()[-1])


async def gather_people(scene: Scene) -> None:
    """Have people sign in by the form."""
    names = [name for name in PEOPLE if name != "newroot"]
    signed_in = await asyncio.gather(*(_signed_in(scene, name) for name in names))
    scene.people |= dict(zip(names, signed_in, strict=True))


async def _signed_in(scene: Scene, name: str) -> Person:
    return await (await scene.person(name)).sign_in()


@dataclass
class Listener:
    """A server of the attacker's: what it received, and how often it was connected to."""

    port: int
    received: bytearray
    connections: list[str]


@asynccontextmanager
async def listening(host: str, answer: bytes) -> AsyncIterator[Listener]:
    """Listen on a loopback address; every connection gets the same answer."""
    listener = Listener(0, bytearray(), [])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.connections.append(str(writer.get_extra_info("peername")))
        listener.received += await reader.read(65_536)
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, host, 0)
    listener.port = server.sockets[0].getsockname()[1]
    async with server:
        yield listener


def loaded(text: str) -> dict[str, Any]:
    """An answer's JSON object."""
    found: dict[str, Any] = json.loads(text)
    return found


async def serves(person: Person, path: str = "/", *, tries: int = 3, seconds: float = 8.0, why: str) -> None:
    """A page answers somebody else as ever. A probe may say 503 on a busy machine, if it soon says otherwise.

    Raises:
        Broken: it does not.
    """
    until = time.monotonic() + seconds
    for _ in range(tries):
        try:
            answer = await person.get(path, seconds=seconds)
            while path == "/readyz" and answer.status != 200 and time.monotonic() < until:
                answer = await person.get(path, seconds=seconds)
        except TimeoutError:
            raise Broken(f"{why}: {path} did not answer within {seconds:g} s") from None
        insist(answer.status == 200, f"{why}: {path} answered {answer.status}")
