"""A desk of the version before opens under this one: every table, row and right is still there."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from opportunities.models import OpportunityEpisode, VerdictThresholds

FORMER: Final = Path(__file__).with_name("desk_0_5_0.sql.gz")
"""`pg_dump` of 0.5.0: every table, and the rows of migrations, content types, rights and groups."""

MOMENT: Final = json.dumps({"ts_us": 1, "edge_bps": 9.5, "size": 100.0})
ROWS: Final = f"""
    INSERT INTO realtime_opportunityepisode VALUES (
        '00000000-0000-0000-0000-000000000001', 'all', 'BTC/USDT', 'binance', 'okx', 'binance', 'okx',
        '2026-11-01', '2026-11-01', NULL, NULL, 9.5, 12.5, 10, NULL, 100, 200, '{MOMENT}', '{MOMENT}', NULL,
        '[]', '', NULL, NULL, 'okx', 'sell');
    INSERT INTO history_verdictthresholds (
        id, neutral_pct, cycle_pct, event_pct, trending_below_crossings_per_minute,
        never_closes_above_time_pct, biased_above_asymmetry, excellent_above_crossings_per_minute,
        excellent_above_events_per_hour, excellent_above_mean_peak_pct, excellent_above_big_peaks_pct,
        big_peak_pct)
        VALUES (1, 0.1, 0.4, 0.42, 1, 50, 1, 5, 100, 0.5, 20, 0.5);
    INSERT INTO auth_group (id, name) OVERRIDING SYSTEM VALUE VALUES (1000, 'of our own');
    INSERT INTO auth_group_permissions (group_id, permission_id)
        SELECT 1000, id FROM auth_permission
        WHERE codename IN ('view_opportunityepisode', 'change_verdictthresholds');
"""
COLUMNS: Final = """
    SELECT table_name, column_name, data_type, is_nullable, character_maximum_length
    FROM information_schema.columns WHERE table_schema = 'public'
"""
INDEXES: Final = "SELECT tablename, indexname FROM pg_indexes WHERE schemaname = 'public'"
CONSTRAINTS: Final = """
    SELECT conrelid::regclass::text, conname, contype FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
"""


@pytest.fixture
def upgraded(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    """A database that 0.5.0 made and filled, after this version's `migrate`."""
    given = connection.get_connection_params()
    place: dict[str, Any] = {name: str(given[name]) for name in ("host", "user")} | {
        "port": str(given.get("port") or 5432)
    }
    with psycopg.connect(**place, dbname="postgres", autocommit=True) as server:
        server.execute("DROP DATABASE IF EXISTS former WITH (FORCE)")
        server.execute("CREATE DATABASE former")
        try:
            with psycopg.connect(**place, dbname="former", autocommit=True) as former:
                former.execute("SET check_function_bodies = false")  # they come before their tables
                former.execute(gzip.decompress(FORMER.read_bytes()).decode())
                former.execute(ROWS)
                address = f"postgres://{place['user']}@/{quote(place['host'], safe='')}/former"
                subprocess.run(
                    [sys.executable, "manage.py", "migrate", "--no-input", "--verbosity", "0"],
                    cwd=settings.BASE_DIR,
                    env=os.environ | {"DATABASE_URL": address},
                    check=True,
                    timeout=99,
                )  # fmt: skip
                yield former
        finally:
            server.execute("DROP DATABASE former WITH (FORCE)")


def test_a_desk_of_the_version_before_keeps_all_it_has(upgraded: psycopg.Connection[Any]) -> None:
    for what in (COLUMNS, INDEXES, CONSTRAINTS):
        with connection.cursor() as fresh:
            fresh.execute(what)
            wanted = set(fresh.fetchall())
        assert set(upgraded.execute(what).fetchall()) == wanted, "as in a database that this version made"

    table = OpportunityEpisode._meta.db_table
    assert upgraded.execute(f"SELECT symbol, peak_edge_bps FROM {table}").fetchall() == [("BTC/USDT", 12.5)]
    table = VerdictThresholds._meta.db_table
    assert upgraded.execute(f"SELECT event_pct FROM {table}").fetchall() == [(0.42,)]

    rights = upgraded.execute(
        "SELECT g.name, app_label, codename FROM auth_group g "
        "JOIN auth_group_permissions gp ON gp.group_id = g.id "
        "JOIN auth_permission p ON p.id = gp.permission_id "
        "JOIN django_content_type c ON c.id = p.content_type_id"
    ).fetchall()
    ours = {(app, codename) for name, app, codename in rights if name == "of our own"}
    assert ours == {
        ("opportunities", "view_opportunityepisode"),
        ("opportunities", "change_verdictthresholds"),
    }
    assert ("operator", "opportunities", "change_verdictthresholds") in rights
    assert ("viewer", "opportunities", "view_opportunityepisode") in rights
    of_former = "SELECT count(*) FROM django_content_type WHERE (app_label, model) IN " \
        "(('realtime', 'opportunityepisode'), ('history', 'verdictthresholds'))"  # fmt: skip
    assert upgraded.execute(of_former).fetchone() == (0,), "nothing is left under the former app"
