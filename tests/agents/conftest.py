"""The desk that agents ask, and the SDK's own client at its three doors."""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.management import call_command
from mcp import Client, StdioServerParameters
from pytest_django import Settings
from redis import Redis

from markets.config import MarketConfig
from markets.selectors import load_config
from tests.support.live import database_url

Door = Callable[[], AbstractAsyncContextManager[Client]]


@pytest.fixture
def config(transactional_db: None, empty_redis: Redis, settings: Settings, tmp_path: Path) -> MarketConfig:
    """The seeded desk, with an empty lake."""
    settings.LAKE_URL = str(tmp_path / "lake")
    call_command("seed", verbosity=0)
    return load_config()


@pytest.fixture
def agent(config: MarketConfig, operator: User, tmp_path: Path) -> Door:
    """A client of `manage.py mcp` on pipes, as agents start it."""

    @asynccontextmanager
    async def door() -> AsyncIterator[Client]:
        server = StdioServerParameters(
            command=sys.executable,
            args=["manage.py", "mcp"],
            cwd=str(django_settings.BASE_DIR),
            env=os.environ | {"DATABASE_URL": database_url(), "LAKE_URL": str(tmp_path / "lake")},
        )
        async with Client(server, read_timeout_seconds=60) as client:
            yield client

    return door


async def said(client: Client, tool: str, **arguments: Any) -> Any:
    """A tool's answer; an error fails the test in its words."""
    result = await client.call_tool(tool, arguments)
    text = result.content[0].text  # type: ignore[union-attr]
    assert not result.is_error, text
    return json.loads(text)


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """The words of a refusal."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.content
    return str(result.content[0].text)  # type: ignore[union-attr]
