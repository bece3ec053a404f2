"""An open health page follows its user's permission to see processes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import websockets
from channels.db import database_sync_to_async
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client
from redis import Redis

from accounts.access.groups import set_up
from accounts.tokens.tokens import make_token
from tests.accounts.test_groups import member, signed_in
from tests.accounts.test_rights import bearer, cookie
from tests.support.live import Web, daphne, promised

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def web(transactional_db: None, empty_redis: Redis) -> Iterator[Web]:
    call_command("seed", verbosity=0)
    with daphne() as running:
        yield running


def leave_the_group(user: User) -> None:
    user.groups.set([Group.objects.get(name="viewer")])


def take_it_from_the_group(_user: User) -> None:
    Group.objects.get(name="operator").permissions.remove(Permission.objects.get(codename="see_processes"))


def join_the_group(user: User) -> None:
    user.groups.add(Group.objects.get(name="operator"))


def give_it(user: User) -> None:
    user.user_permissions.add(Permission.objects.get(codename="see_processes"))


def make_superuser(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_superuser=True)


@asynccontextmanager
async def health(web: Web, headers: dict[str, str]) -> AsyncIterator[websockets.ClientConnection]:
    async with websockets.connect(
        f"ws://127.0.0.1:{web.port}/ws/health",
        origin=websockets.Origin(web.url),
        additional_headers=headers,
    ) as socket:
        await socket.send('{"type": "symbols"}')
        yield socket


async def read(socket: websockets.ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await socket.recv())
    await socket.send(json.dumps({"type": "ack", "seq": message["seq"]}))
    return message


async def first(web: Web, headers: dict[str, str]) -> dict[str, Any]:
    async with health(web, headers) as socket:
        return await read(socket)


async def until_closed(socket: websockets.ClientConnection) -> None:
    with suppress(websockets.ConnectionClosed):
        async with asyncio.timeout(promised(10)):
            while True:
                await read(socket)


DEEDS: list[tuple[str, Callable[[User], None]]] = [
    ("operator", leave_the_group),
    ("operator", take_it_from_the_group),
    ("viewer", join_the_group),
    ("viewer", give_it),
    ("viewer", make_superuser),
]


async def test_an_open_health_socket_asks_to_come_again(web: Web) -> None:
    """By session and by token, on one server: starting one for each takes longer than all of this."""
    for number, (group, deed) in enumerate(DEEDS):
        await database_sync_to_async(set_up)()
        user = await database_sync_to_async(member)(group, f"{group}{number}")
        if number % 2:
            headers = cookie(await database_sync_to_async(signed_in)(user))
        else:
            headers = bearer(await database_sync_to_async(make_token)(user, 1))
        async with health(web, headers) as socket:
            await read(socket)
            began = time.monotonic()
            await database_sync_to_async(deed)(user)
            await until_closed(socket)
        assert time.monotonic() - began < promised(5)
        assert (socket.close_code, "has changed" in (socket.close_reason or "")) == (1012, True)
        async with asyncio.timeout(promised(10)):
            assert bool((await first(web, headers))["processes"]) is (group == "viewer"), deed


async def test_other_changes_leave_it_open(web: Web, operator: User, operator_client: Client) -> None:
    async with health(web, cookie(operator_client)) as socket:
        await read(socket)
        await database_sync_to_async(join_the_group)(operator)  # a superuser sees them anyway
        ends = time.monotonic() + 6
        while time.monotonic() < ends:
            await read(socket)
