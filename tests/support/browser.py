"""A real Chromium for tests: any one on this machine, found through CHROME_BIN or PATH."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

# The first draws no window that nobody sees: a page costs it two thirds of what it costs the others.
NAMES = (
    "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"
)  # fmt: skip
HOW_TO_GET_ONE = (
    "no Chromium found: install one (Debian: apt-get install chromium-headless-shell) "
    "or point CHROME_BIN at its program"
)
QUIET = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def chromium_program() -> str | None:
    """The path of a Chromium, or None."""
    found = os.environ.get("CHROME_BIN") or next(filter(None, map(shutil.which, NAMES)), None)
    return shutil.which(found) if found else None


def chromium_arguments() -> list[str]:
    """Command line for a quiet Chromium; as root it cannot have its sandbox."""
    return [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def require_chromium() -> str:
    """The path of a Chromium; without one the test is skipped, or fails where REQUIRE_BROWSER=1."""
    program = chromium_program()
    if program is None and os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"REQUIRE_BROWSER=1, but {HOW_TO_GET_ONE}")
    if program is None:
        pytest.skip(HOW_TO_GET_ONE)
    return program


PATIENCE_MS = 15_000
"""Of an action and of an expectation alike: a page that has the machine to itself needs a tenth of it."""
expect.set_options(timeout=PATIENCE_MS)

LEFT_WHILE_CONNECTING = "WebSocket is closed before the connection is established"
"""What Chromium says of every page that is left before its socket is open."""


class Complaints(list[str]):
    """Complaints of the page's console and of its content security policy."""

    def watch(self, page: Page) -> None:
        """Collect errors, warnings and uncaught exceptions of a page."""
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.append(str(error)))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and LEFT_WHILE_CONNECTING not in message.text:
            self.append(message.text)

    def forgive(self, part: str) -> None:
        """Drop the complaints a test provoked on purpose; there must be one."""
        rest = [text for text in self if part not in text]
        assert len(rest) < len(self), f"nothing complained about {part}"
        self[:] = rest


@asynccontextmanager
async def launched(program: str, *, keeps_pages: bool = False) -> AsyncIterator[Browser]:
    """A running Chromium, in which each test opens a profile of its own.

    With `keeps_pages` it keeps pages that are left, to show them again as they were (back/forward cache).
    """
    without = ["--disable-back-forward-cache"] if keeps_pages else None
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=chromium_arguments(), ignore_default_args=without
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def profile(browser: Browser, **options: object) -> AsyncIterator[BrowserContext]:
    """A fresh browser profile; `options` are those of playwright's `new_context`."""
    context = await browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    try:
        yield context
    finally:
        await context.close()


@asynccontextmanager
async def chromium(
    program: str, *, keeps_pages: bool = False, **options: object
) -> AsyncIterator[BrowserContext]:
    """A fresh profile in a Chromium of its own."""
    async with launched(program, keeps_pages=keeps_pages) as browser, profile(browser, **options) as context:
        yield context


def session_cookies(user: User, url: str) -> list[dict[str, str]]:
    """Cookies that sign the user in at `url`, as `add_cookies` takes them."""
    client = Client()
    client.force_login(user)
    value = client.cookies[settings.SESSION_COOKIE_NAME].value
    return [{"name": settings.SESSION_COOKIE_NAME, "value": value, "url": url}]
