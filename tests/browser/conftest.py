"""One Chromium for all tests of a process that only need a profile of their own in it."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser

from tests.support.browser import launched, require_chromium


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium_running() -> AsyncIterator[Browser]:
    """Playwright's driver and Chromium; tests that use them share the event loop of the session."""
    async with launched(require_chromium()) as browser:
        yield browser
