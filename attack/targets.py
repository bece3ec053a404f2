"""Items 6, 11 and 12: where the desk sends what, and names that mislead."""

import asyncio
import re
from typing import Final

from attack.desk import OPENED
from attack.scene import KEPT_SECRET, Scene, attack, insist, listening

CHANNELS: Final = "/admin/monitoring/alertchannel/"
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
ARRIVES_S: Final = 5.0


@attack(6, "a kept secret is sent to the attacker's own server")
async def redirected_secret(scene: Scene) -> None:
    """A user who changes where a channel sends does not take its secret along."""
    async with listening(OPENED, OK) as mine:
        here = f"http://{OPENED}:{mine.port}"
        tries = {
            "telegram": {"base_url": here}, "pagerduty": {"base_url": here}, "webhook": {"url": here},
            "email": {"host": OPENED, "port": str(mine.port), "security": "none"},
        }  # fmt: skip
        for kind, changes in tries.items():
            path = f"{CHANNELS}{scene.made[kind]}/change/"
            await scene["clerk"].fill_in(path, **changes, _test="1")
        await asyncio.sleep(ARRIVES_S)
        insist(KEPT_SECRET.encode() not in mine.received, "the secret arrived in clear")
        insist(
            not mine.connections, f"{len(mine.connections)} messages went to the new place without its secret"
        )


async def _hook(scene: Scene, name: str, url: str) -> tuple[int, str]:
    """Make a webhook and send a test: the form's status, and what the page says a while later."""
    path = f"{CHANNELS}add/"
    answer = await scene["clerk"].fill_in(
        path, name=name, kind="webhook", url=url, secret="a signing key of mine", enabled="on", _test="1"
    )
    if answer.status != 302:
        return answer.status, answer.text
    await asyncio.sleep(ARRIVES_S)
    return 302, (await scene["clerk"].get(answer.headers["Location"], follow=True)).text


@attack(11, "webhooks into private networks")
async def private_targets(scene: Scene) -> None:
    """Loopback, link-local and their other spellings are refused, and nothing is sent there."""
    async with listening("127.0.0.1", OK) as inner:
        port = inner.port
        for n, host in enumerate(
            (
                "127.0.0.1",
                "localhost",
                "127.1",
                "2130706433",
                "0x7f000001",
                "[::ffff:127.0.0.1]",
                "0.0.0.0",
                "u:p@127.0.0.1",
            )
        ):
            status, _ = await _hook(scene, f"inner {n}", f"http://{host}:{port}/")
            insist(status == 200, f"http://{host} is taken as a webhook")
        status, _ = await _hook(scene, "metadata", "http://169.254.169.254/latest/meta-data/")
        insist(status == 200, "http://169.254.169.254 is taken as a webhook")
        insist(not inner.connections, "something was sent there")


@attack(11, "a webhook that redirects inward, and errors of an inner server shown")
async def redirects(scene: Scene) -> None:
    """Redirects are not followed, and what a server says is not shown."""
    async with listening("127.0.0.1", OK) as inner:
        away = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inner.port}/\r\nContent-Length: 0\r\n\r\n"
        body = "INNER-SECRET-OF-A-SERVER"
        fails = f"HTTP/1.1 500 Oh\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
        async with listening(OPENED, away.encode()) as first, listening(OPENED, fails.encode()) as second:
            (_, one), (_, two) = (
                await _hook(scene, "leads away", f"http://{OPENED}:{first.port}/"),
                await _hook(scene, "fails", f"http://{OPENED}:{second.port}/"),
            )
            insist(first.connections and second.connections, "the tests were not sent at all")
        insist(not inner.connections, "the redirect was followed")
        insist(body not in one + two, "the body of an error is shown")


@attack(11, "an exchange's address leads elsewhere")
async def exchange_addresses(scene: Scene) -> None:
    """Link-local addresses and credentials in them are refused; a way of its own wears a banner."""
    page = await scene["clerk"].get("/admin/markets/exchange/")
    path = next(iter(re.findall(r'href="(/admin/markets/exchange/\w+/change/)', page.text)))
    for field, url in (
        ("rest_url", "http://169.254.169.254/"), ("ws_url", "ws://169.254.169.254/"),
        ("rest_url", "http://user:pw@127.0.0.1/"), ("ws_url", "ws://10.0.0.1/"), ("rest_url", "file:///etc/passwd"),
    ):  # fmt: skip
        answer = await scene["clerk"].fill_in(path, **{field: url})
        insist(answer.status == 200, f"{field} takes {url}")
    banner = (await scene["low"].get("/")).text
    insist("REDIRECTED" in banner or "SIMULATED" in banner, "no page says where prices come from")


@attack(12, "names that turn numbers around, break lines or hide")
async def misleading_names(scene: Scene) -> None:
    """Control and bidi characters are refused where a name is entered."""
    page = await scene["clerk"].get("/admin/markets/exchange/")
    path = next(iter(re.findall(r'href="(/admin/markets/exchange/\w+/change/)', page.text)))
    for name in ("Bi\u202enance", "Bi\u2066nance", "Bi\u200bnance", "Bi\nnance", "Bi\u0007nance", "\u202d"):
        answer = await scene["clerk"].fill_in(path, name=name)
        insist(answer.status == 200, f"the name {name!r} is taken")
