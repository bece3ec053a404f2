"""Items 5, 7 to 10: having more than one may, or having it for longer."""

import asyncio
import time
from contextlib import suppress
from urllib.parse import urlencode

import aiohttp

from attack.person import PASSWORD, Answer, Person, form_of
from attack.scene import Broken, Scene, attack, insist, loaded

GONE_WITHIN_S = 12.0
LEAVE = """
from importlib import import_module
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
User.objects.filter(username="leaver0").update(is_active=False)
user = User.objects.get(username="leaver1"); user.set_password("another long enough pass phrase"); user.save()
User.objects.get(username="leaver2").delete()
number = str(User.objects.get(username="leaver3").pk)
for session in Session.objects.all():
    if session.get_decoded().get("_auth_user_id") == number:
        session.delete()
from realtime.models import ApiToken
ApiToken.objects.filter(user__username="leaver3").delete()
"""


@attack(5, "sockets stay open after the account is gone")
async def leavers(scene: Scene) -> None:
    """Deactivated, another password, deleted, session deleted, signed out, token revoked: each ends."""
    program = await scene.person("a token's", token=scene.made["leaver"])
    other = await (await scene.person("leaver3")).sign_in()  # a second session of the same user
    people = [*(scene[f"leaver{n}"] for n in range(4)), other, program]
    sockets = [
        (person.name, path, await person.socket(path))
        for person in people
        for path in ("/ws/health", "/ws/realtime_charts")
    ]
    await other.post("/accounts/logout/")
    await scene.desk.shell(LEAVE)
    ended = await asyncio.gather(*(_ends(opened) for _, _, opened in sockets))
    open_still = [f"{name} {path}" for (name, path, _), gone in zip(sockets, ended, strict=True) if not gone]
    for _, _, opened in sockets:
        with suppress(aiohttp.ClientError, ConnectionError):
            await opened.close()
    insist(not open_still, f"open {GONE_WITHIN_S:.0f} s later: {', '.join(open_still)}")


async def _ends(opened: aiohttp.ClientWebSocketResponse) -> bool:
    until = time.monotonic() + GONE_WITHIN_S
    while (left := until - time.monotonic()) > 0:
        try:
            message = await opened.receive(timeout=left)
        except TimeoutError:
            return False
        except (aiohttp.ClientError, ConnectionError):
            return True
        if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
            return True
    return False


@attack(7, "a superuser's API token opens the admin")
async def tokens(scene: Scene) -> None:
    """A token is not the account, and opens what its scope says."""
    scopes = ("read", "act", "admin")
    made = {scope: await scene.person("root", token=scene.made[scope]) for scope in scopes}
    for path in ("/admin/", "/admin/auth/user/add/", "/", "/scanner"):
        answer = await made["admin"].get(path)
        insist(answer.status != 200, f"{path} answered {answer.status} to a token")
    chart = next(iter(loaded((await made["read"].get("/api/charts")).text)["charts"]))["id"]
    statuses = {
        scope: (await person.post("/api/pins", json={"id": chart})).status for scope, person in made.items()
    }
    insist(statuses["read"] == 403, f"a token to read pinned a chart: {statuses['read']}")
    insist(statuses["act"] == 200, f"a token to act could not pin: {statuses['act']}")


@attack(8, "change_user makes itself superuser, or takes one over")
async def self_made_superuser(scene: Scene) -> None:
    """A user who may change users gives only rights they have."""
    listed = await scene["personnel"].get("/admin/auth/user/?q=personnel")
    own = _first_link(listed, "/admin/auth/user/")
    page = form_of((await scene["personnel"].get(own)).text)
    fields = page.fields | {"is_superuser": "on", "is_staff": "on", "is_active": "on"}
    await scene["personnel"].post(own, fields)
    root = _first_link(await scene["root"].get("/admin/auth/user/?q=root"), "/admin/auth/user/")
    stolen = {
        "password1": PASSWORD + "x",
        "password2": PASSWORD + "x",
        "usable_password": "true",
        "is_superuser": "on",
    }
    for path in (root, root.replace("/change/", "/password/")):
        await scene["personnel"].post(
            path, form_of((await scene["personnel"].get(path)).text).fields | stolen
        )
    for path in ("/admin/monitoring/alertchannel/", "/admin/auth/group/"):
        insist((await scene["personnel"].get(path)).status != 200, f"it made itself one: {path} opens")
    again = await scene.person("root", "127.0.4.1")
    insist((await again.try_password(PASSWORD)).status == 302, "it has changed a superuser's password")


def _first_link(page: Answer, beginning: str) -> str:
    """The first row's page of a list.

    Raises:
        Broken: there is none: the user asking does not see the list.
    """
    at = page.text.find(f'href="{beginning}', page.text.find('id="result_list"'))
    while at >= 0:
        link = page.text[at + 6 : page.text.index('"', at + 6)].partition("?")[0]
        if link.endswith("/change/"):
            return link
        at = page.text.find(f'href="{beginning}', at + 6)
    raise RuntimeError(f"no row in a list of {beginning} ({page.status})")


@attack(8, "hosts, process numbers and metrics for everybody")
async def details(scene: Scene) -> None:
    """Health shows a user no more than their rights; metrics need their own right."""
    health = await scene["low"].get("/api/health")
    found = {key for key in ("processes", "collectors", "web") if loaded(health.text).get(key)}
    insist(not found, f"/api/health shows {sorted(found)} to everybody")
    for name in ("low", "clerk"):
        insist((await scene[name].get("/metrics")).status != 200, f"/metrics opens to {name}")
    async with Person(scene.desk.url, "stranger") as stranger:
        for path in ("/", "/api/charts", "/metrics", "/scanner", "/admin/auth/user/", "/api/audit"):
            insist((await stranger.get(path)).status != 200, f"{path} opens to a stranger")


@attack(9, "a superuser works with a password alone", "as a stranger")
async def second_factor(scene: Scene) -> None:
    """A user who may touch keys has a second factor, before anything opens."""
    person = await scene.person("newroot")
    insist((await person.try_password(PASSWORD)).status == 302, "the password is not taken")
    for path in ("/admin/", "/admin/monitoring/alertchannel/add/", "/api/charts", "/"):
        answer = await person.get(path)
        insist(answer.status != 200, f"{path} opens without a second factor")


@attack(9, "a page of one's own sessions and password for everybody")
async def own_account(scene: Scene) -> None:
    """A user who suspects somebody else in their account can end that, staff or not."""
    second = await (await scene.person("low", "127.0.3.1")).sign_in()
    for path in ("/accounts/sessions/", "/accounts/password/"):
        answer = await scene["low"].get(path)
        insist(answer.status == 200, f"{path} answers {answer.status}")
    ended = await scene["low"].post("/accounts/sessions/end-others/")
    insist(ended.status == 302, f"ending the others answers {ended.status}")
    insist((await second.get("/api/charts")).status == 401, "the other session goes on")
    insist((await scene["low"].get("/api/charts")).status == 200, "one's own ended, too")


@attack(10, "two operators save the same exchange")
async def overwriting(scene: Scene) -> None:
    """The second is warned, and the first's change stands."""
    first, second = scene["clerk"], scene["root"]
    path = _first_link(await first.get("/admin/markets/exchange/"), "/admin/markets/exchange/")
    opened = form_of((await second.get(path)).text).fields
    saved = await first.fill_in(path, name="changed by the first")
    insist(saved.status == 302, f"the first could not save: {saved.status}")
    answer = await second.post(path, opened | {"taker_fee_bps": "7.25"})
    insist(answer.status != 302, "the second saved over the first without a word")
    now = form_of((await second.get(path)).text).fields
    insist(now["name"] == "changed by the first", "the first's change is gone")


@attack(10, "an audit that is missing, shows secrets, or can be rewritten")
async def audit(scene: Scene) -> None:
    """The audit is kept, for administrators, without secrets, and cannot be changed by the desk itself."""
    answer = await scene["root"].get("/api/audit?limit=1000")
    insist(answer.status == 200, f"/api/audit answers {answer.status} to a superuser")
    insist("low" in answer.text and "sign" in answer.text, "no sign-in in it")
    known = [PASSWORD, *scene.desk.planted.values(), scene["low"].cookie("session")]
    insist(not [each for each in known if each in answer.text], "a secret is in it")
    insist((await scene["clerk"].get("/api/audit")).status == 403, "everybody may read it")
    said = await scene.desk.shell(REWRITE)
    insist("done" not in said, f"its rows can be changed by the desk itself: {said}")
    insist("refused" in said, "there is no table of it")


REWRITE = """
from django.apps import apps
from django.db import connection, Error
models = apps.get_app_config("audit").get_models()
tables = [model._meta.db_table for model in models if not model._meta.proxy]
for statement in ("UPDATE {} SET id = id + 1000000", "DELETE FROM {}", "TRUNCATE {}"):
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement.format(tables[0]))
        print("done:", statement, tables[0])
    except Error:
        print("refused")
"""


@attack(12, "a socket from a page of another port or host")
async def origins(scene: Scene) -> None:
    """An origin is scheme, host and port."""
    host = f"127.0.0.1:{scene.desk.port}"
    for origin in (
        "http://127.0.0.1:1",
        f"https://{host}",
        f"http://{host}.evil.example",
        "http://localhost",
        "null",
    ):
        try:
            opened = await scene["low"].socket("/ws/realtime_charts", origin)
        except aiohttp.WSServerHandshakeError:
            continue
        await opened.close()
        raise Broken(f"a page of {origin} opens a socket")


@attack(12, "signed-in pages in a cache, cookies of another desk, lookups by a secret")
async def pages(scene: Scene) -> None:
    """A user's own rows stay theirs, and no list can be asked letter by letter."""
    page = await scene["low"].get("/")
    insist("no-store" in page.headers.get("Cache-Control", ""), "a signed-in page may be stored")
    insist("Permissions-Policy" in page.headers, "no Permissions-Policy")
    insist("Content-Security-Policy" in page.headers, "no Content-Security-Policy")
    for cookie in scene["low"].http.cookie_jar:
        insist(
            str(scene.desk.port) in cookie.key or cookie.key.startswith("__Host-"),
            f"{cookie.key} is any desk's",
        )
    for lookup in ("sealed_secret__startswith", "user__password__startswith"):
        answer = await scene["clerk"].get(f"/admin/monitoring/alertchannel/?{urlencode({lookup: 'g'})}")
        insist(answer.status != 200, f"a list answers {lookup}")
