"""The filter form in a real Chromium: the count follows what is typed and chosen, before saving."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.async_api import expect
from pytest_django.live_server_helper import LiveServer

from markets.seed import seed
from tests.support.browser import Complaints, chromium, require_chromium, session_cookies

pytestmark = [pytest.mark.browser]


@pytest.fixture
def signed_in(live_server: LiveServer) -> Any:
    """Cookies of an operator of a seeded desk."""
    seed()
    return session_cookies(User.objects.create_superuser("operator"), live_server.url)


async def test_the_count_follows_typing_and_choosing_pairs(live_server: LiveServer, signed_in: Any) -> None:
    complaints = Complaints()
    async with chromium(require_chromium()) as browser:
        await browser.add_cookies(signed_in)
        page = await browser.new_page()
        complaints.watch(page)
        await page.goto(f"{live_server.url}/admin/markets/opportunityfilter/add/")
        count = page.locator("#selects-now")

        await page.fill("#id_symbols", "BTC/USDT")
        await expect(count).to_have_text("Selects 28 opportunities now.")
        await page.select_option("#id_pairs_from", index=[0, 1])
        await page.locator("#id_pairs_add, #id_pairs_add_link").first.click()
        await expect(count).to_have_text("Selects 2 opportunities now.")

    assert complaints == []
