"""The whole desk under a path of another web server: pages, sockets, cookies, links, log-in and log-out."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth.hashers import get_hashers, make_password
from django.contrib.auth.models import User
from django.core.management import call_command
from playwright.async_api import BrowserContext, Page, expect
from redis import Redis

from arbsite.middleware.prefix import prefix_of, under
from markets.config import MarketConfig
from markets.selectors import load_config
from tests.browser.test_dashboard import BTC, Card, quoting
from tests.browser.test_scanner import DEAREST, speaking
from tests.support.browser import Complaints, chromium, require_chromium
from tests.support.desk.reverse_proxy import NEIGHBOUR, reverse_proxy
from tests.support.live import Web, daphne

PREFIX = "/desk/one"
PASSWORD = "correct horse battery staple"  # tests/conftest.py


class TestPrefix:
    @pytest.mark.parametrize(
        ("text", "prefix"),
        [("", ""), ("/", ""), (" ", ""), ("desk", "/desk"), ("/desk", "/desk"), ("/desk/", "/desk"),
         ("//desk//", "/desk"), (" /a/b-c.d_e~f/ ", "/a/b-c.d_e~f"), ("/1", "/1")],
    )  # fmt: skip
    def test_however_it_is_spelled(self, text: str, prefix: str) -> None:
        assert prefix_of(text) == prefix

    @pytest.mark.parametrize(
        "text",
        ["/a b", "/a//b", "/..", "/a/../b", "/a?b", "/a#b", "http://x/a", "/ä", "/a%20", "/a\nb", "/<a>"],
    )
    def test_what_is_no_path_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="URL_PREFIX is"):
            prefix_of(text)

    @pytest.mark.parametrize(
        ("kind", "path", "seen"),
        [
            ("http", "/desk/scanner", "/desk/scanner"),
            ("http", "/scanner", "/desk/scanner"),
            ("http", "/desk", "/desk/"),
            ("http", "/desk/", "/desk/"),
            ("http", "/", "/desk/"),
            ("http", "/deskscanner", "/desk/deskscanner"),
            ("websocket", "/desk/ws/health", "/ws/health"),
            ("websocket", "/ws/health", "/ws/health"),
            ("websocket", "/deskws/health", "/deskws/health"),
            ("lifespan", None, None),
        ],
    )
    async def test_django_sees_it_and_sockets_do_not(self, kind: str, path: Any, seen: Any) -> None:
        scopes: list[dict[str, Any]] = []

        async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
            scopes.append(scope)

        scope = {"type": kind} | ({} if path is None else {"path": path})
        await under("/desk", application)(scope, None, None)
        assert scopes == [scope | ({} if seen is None else {"path": seen, "root_path": ""})]
        assert scope.get("path") == path

    async def test_without_one_only_the_root_a_client_names_is_dropped(self) -> None:
        scopes: list[dict[str, Any]] = []

        async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
            scopes.append(scope)

        await under("", application)({"type": "http", "path": "/x", "root_path": "/evil"}, None, None)
        assert scopes == [{"type": "http", "path": "/x", "root_path": ""}]


def test_no_script_names_an_address_of_the_desk_without_its_prefix() -> None:
    """`ask`, and what goes through it (`request`, `lines`, `readLines`), puts it before them itself."""
    known = re.compile(
        r"""["'`]/(?:ws/|api/|health|accounts|admin|opportunities|scanner|history|metrics|\?)"""
    )
    through = re.compile(
        r"""(?:(?:prefixed|socketPlace|ask|lines|readLines)\(\s*|equest\((?:"[A-Z]+"|method),\s*|ADDRESS = |^\s+)$"""  # noqa: E501
    )
    found = []
    for script in sorted((settings.BASE_DIR / "static" / "js").glob("*.js")):
        for number, line in enumerate(script.read_text().splitlines(), 1):
            for match in known.finditer("" if line.lstrip().startswith(("/**", "*", "//")) else line):
                if not through.search(line[: match.start()]):
                    found.append(f"{script.name}:{number}: {line.strip()}")
    assert found == []


def test_no_template_names_an_address_by_itself() -> None:
    templates = [
        *settings.BASE_DIR.glob("templates/**/*.html"),
        *settings.BASE_DIR.glob("*/templates/**/*.html"),
    ]
    assert len(templates) > 5
    assert [
        each.name for each in templates if re.search(r"""(?:href|src|action)=["']/""", each.read_text())
    ] == []


@pytest.fixture
def config(transactional_db: None, empty_redis: Redis) -> MarketConfig:
    call_command("seed")
    return load_config()


@pytest.fixture
def web(config: MarketConfig) -> Iterator[Web]:
    with daphne(URL_PREFIX=PREFIX) as running:
        yield running


@pytest.fixture(params=[False, True], ids=["kept", "stripped"])
async def url(request: pytest.FixtureRequest, web: Web) -> AsyncIterator[str]:
    async with reverse_proxy(web.port, PREFIX, strips=request.param) as url:
        yield url


@pytest.mark.django_db(transaction=True)
async def test_addresses_that_answer_without_a_browser(url: str, web: Web, operator: User) -> None:
    async with aiohttp.ClientSession() as client:

        async def get(address: str) -> tuple[int, str, str]:
            async with client.get(address, allow_redirects=False) as answer:
                return answer.status, answer.headers.get("Location", ""), await answer.text()

        login = f"{PREFIX}/accounts/login/?next={PREFIX}/scanner"
        assert (await get(f"{url}{PREFIX}/scanner"))[:2] == (302, login)
        assert (await get(f"{url}{PREFIX}"))[:2] == (302, f"{PREFIX}/accounts/login/?next={PREFIX}/")
        assert (await get(f"{url}{PREFIX}/admin/"))[1].startswith(f"{PREFIX}/admin/login/")
        assert (await get(f"{url}{PREFIX}/healthz"))[0] == 200
        assert (await get(f"{web.url}/healthz"))[0] == 200  # who asks the process itself
        assert (await get(f"{url}{PREFIX}/nothing"))[0] == 404
        assert (await get(f"{url}/healthz"))[2] == NEIGHBOUR
        status, _, page = await get(f"{url}{PREFIX}/accounts/login/")
        assert status == 200
        for asset in re.findall(r'(?:href|src)="([^"]+)"', page):
            assert asset.startswith((f"{PREFIX}/", "#")), asset
        (icon,) = re.findall(r'rel="icon"[^>]*href="([^"]+)"', page)
        assert (await get(url + icon))[0] == 200


@pytest.fixture
async def browser(url: str) -> AsyncIterator[BrowserContext]:
    async with chromium(require_chromium(), viewport={"width": 1280, "height": 800}) as context:
        yield context


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
async def test_a_browser_signs_in_sees_everything_move_and_signs_out(
    url: str, config: MarketConfig, empty_redis: Redis, operator: User, browser: BrowserContext
) -> None:
    page, complaints, asked = await browser.new_page(), Complaints(), []
    complaints.watch(page)
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.on("websocket", lambda socket: asked.append(urlsplit(socket.url).path))
    await database_sync_to_async(_let_in)(operator)
    await page.goto(f"{url}{PREFIX}/")
    await page.fill("[name=username]", "operator")
    await page.fill("[name=password]", PASSWORD)
    await page.press("[name=password]", "Enter")
    await page.wait_for_url(f"{url}{PREFIX}/")
    assert {cookie["path"] for cookie in await browser.cookies()} == {f"{PREFIX}/"}

    async with quoting(config):
        await expect(page.locator("#connection")).to_have_text("connected")
        card = Card(page, BTC)
        await card.says(".state .word", "live")
        await _moves(page, f'.grid [data-id="{BTC}"] .leg1')

    async with speaking(empty_redis, config) as shard:
        await page.click('.site a[href$="/scanner"], a[href$="/scanner"]')
        await page.wait_for_url(f"{url}{PREFIX}/scanner")
        row = page.locator(f'tr[data-id="{DEAREST}"]')
        await expect(row.locator("td.state .word")).to_have_text("live")
        before = await row.inner_text()
        shard.quote("okx", 109.0)
        await expect(row).not_to_have_text(before, use_inner_text=True)
        await row.locator(".open").click()
        await expect(page.locator("#drawer-facts")).to_contain_text("live")
        link = await page.locator("#drawer-page").get_attribute("href")
        assert link is not None
        assert link.startswith(f"{PREFIX}/opportunities/explain?")

    for place in ("/opportunities", "/health/", "/admin/", "/admin/markets/exchange/"):
        await page.goto(f"{url}{PREFIX}{place}")
        await page.wait_for_load_state("networkidle" if place.startswith("/admin") else "load")
    await page.goto(f"{url}{PREFIX}/health/")
    await expect(page.locator("#connection")).to_have_text("connected")
    assert complaints == []
    await page.locator('form[action$="/accounts/logout/"] button').first.click()
    await page.wait_for_url(f"{url}{PREFIX}/accounts/login/")
    await page.goto(f"{url}{PREFIX}/scanner")
    assert urlsplit(page.url).path == f"{PREFIX}/accounts/login/"
    assert [path for path in asked if not path.startswith(f"{PREFIX}/")] == []
    assert sorted({path for path in asked if "/ws/" in path}) == [
        f"{PREFIX}/ws/{name}" for name in ("health", "realtime_charts", "scanner")
    ]
    # The page that is being left may ask once more, and is refused as signed out.
    assert [text for text in complaints if "401 (Unauthorized)" not in text] == []


def _let_in(user: User) -> None:
    """The suite's quick hash of a password is none to a web process of its own."""
    hasher = get_hashers()[1].algorithm
    assert hasher
    user.password = make_password(PASSWORD, hasher=hasher)
    user.save()


async def _moves(page: Page, selector: str) -> None:
    before = await page.locator(selector).inner_text()
    await expect(page.locator(selector)).not_to_have_text(before)
