"""A web process that is asked to stop stops, whatever still waits for an answer."""

import asyncio
import signal
import tempfile
from pathlib import Path

import pytest

from tests.support.desk.paused_postgres import paused_postgres
from tests.support.live import daphne, promised


@pytest.mark.django_db(transaction=True)
async def test_a_request_that_waits_for_the_database_does_not_hold_it(operator_cookie: str) -> None:
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        async with paused_postgres(Path(folder)) as way:
            with daphne(DATABASE_URL=way.url) as web:
                way.goes_on.clear()
                reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
                writer.write(
                    f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {operator_cookie}\r\n\r\n".encode()
                )
                with pytest.raises(TimeoutError):  # it is under way
                    async with asyncio.timeout(1):
                        await reader.read(1)
                web.process.send_signal(signal.SIGTERM)
                code = await asyncio.to_thread(web.process.wait, promised(5))
                writer.close()
    assert code == 0
