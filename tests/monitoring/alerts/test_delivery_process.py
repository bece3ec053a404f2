"""`manage.py monitor` killed while it sends: nothing is lost, and nothing taken twice by key."""

import asyncio
import datetime
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiohttp import web
from django.conf import settings

from monitoring.alerts.dispatch import LEASE
from monitoring.models import Delivery
from tests.monitoring.alerts.test_delivery import db, delivering, incident, put, until, webhook
from tests.support.desk.alert_servers import Receiver, serving
from tests.support.live import database_url, eventually

pytestmark = pytest.mark.usefixtures("transactional_db", "empty_redis")


@contextmanager
def killed_monitor() -> Iterator[None]:
    """A monitor of its own; leaving kills it."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "monitor"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": database_url()},
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


class Swallowing(Receiver):
    """Takes the first message and dies of it: its answer never comes."""

    async def handle(self, request: web.Request) -> web.Response:
        """Take it, as any receiver."""
        answer = await super().handle(request)
        if self.asked == 1:
            await asyncio.Event().wait()
        return answer


def lease_over() -> None:
    """Let the dead one's claims be made long ago."""
    for row in Delivery.objects.filter(state=Delivery.State.SENDING):
        assert row.claimed_at is not None
        row.claimed_at -= LEASE + datetime.timedelta(seconds=1)
        row.save()


async def test_killed_between_sending_and_writing_it_down() -> None:
    async with serving(Swallowing()) as server:
        to = await db(webhook, server)
        first = await db(put, to)
        with killed_monitor():
            await eventually(lambda: server.ids, "the message has arrived", 60)
            waiting = await db(put, to, await db(incident, "bybit is silent"))
        await db(first.refresh_from_db)
        assert first.state == Delivery.State.SENDING
        await db(lease_over)
        async with delivering():
            for row in (first, waiting):
                await until(row, Delivery.State.SENT)
        assert server.asked == 3
        assert server.ids == [first.idempotency_key, waiting.idempotency_key]
        await db(first.refresh_from_db)
        assert first.tries == 2
