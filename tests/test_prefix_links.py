"""Every page that an operator can reach by links lies below URL_PREFIX, and is there."""

import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from redis import Redis

from arbsite.prefix import cookie_name
from monitoring.evaluator import HealthWatch
from realtime.services import save_episodes
from tests.live import Web, daphne
from tests.reverse_proxy import reverse_proxy
from tests.test_alert_rules_at_work import SILENT, T0, channel, rule
from tests.test_episodes import closed, episode
from tests.test_prefix import PREFIX

pytestmark = pytest.mark.django_db(transaction=True)

MOST = 200
LEADS = re.compile(r'(?:href|src|action)="([^"]+)"')
ONLY_POSTED = ("/logout/", "/preview/", "/count/", "/jsi18n/", "/autocomplete/")


def rows() -> None:
    """One of what the admin lists, so that its pages are there."""
    call_command("seed_rules")
    rule(channels=(channel(),))
    HealthWatch().judge([SILENT], T0)
    save_episodes([closed(episode(1))])


def kind_of(path: str) -> str:
    """Pages of one kind differ by their row alone."""
    return re.sub(r"/(\d+|[0-9a-f-]{36})(?=/|$)", "/#", path)


@pytest.fixture
def web(transactional_db: None, empty_redis: Redis) -> Iterator[Web]:
    call_command("seed")
    with daphne(URL_PREFIX=PREFIX) as running:
        yield running


@pytest.mark.parametrize("strips", [False, True], ids=["kept", "stripped"])
async def test_no_link_leaves_the_prefix_or_leads_nowhere(
    web: Web,
    operator: User,
    operator_client: Client,
    strips: bool,
) -> None:
    await database_sync_to_async(rows)()
    names = {
        getattr(settings, f"{what.upper()}_COOKIE_NAME"): cookie_name(
            what, https=False, prefix=PREFIX, port=settings.PORT
        )
        for what in ("session", "csrf")
    }
    cookies = {names.get(name, name): morsel.value for name, morsel in operator_client.cookies.items()}
    async with (
        reverse_proxy(web.port, PREFIX, strips=strips) as url,
        aiohttp.ClientSession(cookies=cookies) as http,
    ):
        seen: set[str] = set()
        waiting, wrong = [f"{url}{PREFIX}/"], []
        while waiting and len(seen) < MOST:
            address = waiting.pop(0)
            if (kind := kind_of(urlsplit(address).path)) in seen:
                continue
            seen.add(kind)
            async with http.get(address, allow_redirects=False) as answer:
                text = await answer.text() if "html" in answer.headers.get("Content-Type", "") else ""
                onward = [answer.headers["Location"]] if "Location" in answer.headers else LEADS.findall(text)
            if answer.status >= 400:
                wrong.append(f"{address}: {answer.status}")
            for link in onward:
                leads = urlsplit(urljoin(address, link.replace("&amp;", "&")))
                if leads.scheme not in ("http", "https") or leads.path.endswith(ONLY_POSTED):
                    continue
                if leads.netloc == urlsplit(url).netloc and not leads.path.startswith(f"{PREFIX}/"):
                    wrong.append(f"{address}: {link}")
                elif leads.netloc == urlsplit(url).netloc:
                    waiting.append(leads._replace(fragment="").geturl())
        assert wrong == []
        assert len(seen) > 60
        assert f"{PREFIX}/admin/monitoring/alert/#/change/" in seen


@pytest.mark.parametrize("path", ["scanner", "opportunities", "metrics", "opportunities/explain"])
def test_a_slash_too_many_leads_to_the_page(operator_client: Client, path: str) -> None:
    answer = operator_client.get(f"/{path}/?filter=1&x=a%20b")
    assert (answer.status_code, answer["Location"]) == (301, f"/{path}?filter=1&x=a%20b")
    assert operator_client.post(f"/{path}/").status_code in (403, 404)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing/",
        "/scanner//x/",
        "/scanner/nothing/",
        "/admin/nothing/",
        "/admin/r/3/999/",
        "/admin/no/page/",
    ],
)
def test_what_is_no_page_stays_none(operator_client: Client, path: str) -> None:
    assert operator_client.get(path).status_code == 404


def test_the_admin_leads_back_to_the_dashboard() -> None:
    assert str(admin.site.site_url) == reverse("dashboard")
