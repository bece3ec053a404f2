"""Empties the test database after a transactional test as `flush` does, at a tenth of its cost.

Django's `flush` truncates every table, which makes a file or two for each, and then makes content types,
permissions and groups once more. The first one of a run is Django's own; what it leaves is remembered, and
after each later test only what differs from it is put back.
"""

from functools import cache

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test import TransactionTestCase

KEPT = "kept_by_quick_flush"  # a schema with a copy of each table that a flush leaves filled

_django_flushes = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]  # not in its stubs


def install() -> None:
    """Let all transactional tests of this process be cleaned up this way."""
    TransactionTestCase._fixture_teardown = _teardown  # type: ignore[attr-defined]


def _teardown(self: TransactionTestCase) -> None:
    if _remembered.cache_info().currsize == 0:
        _django_flushes(self)
        _remembered()
    else:
        _restore()


@cache
def _remembered() -> tuple[list[str], dict[str, str]]:
    """The tables that a flush empties, and a digest of each that it leaves filled."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    filled = [table for table in tables if _ask(f'SELECT EXISTS (SELECT FROM "{table}")')[0]]
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {KEPT}")
        for table in filled:
            cursor.execute(f'CREATE TABLE {KEPT}."{table}" AS SELECT * FROM "{table}"')
    return sorted(set(tables) - set(filled)), {table: _ask(_digest(table))[0] for table in filled}


def _restore() -> None:
    emptied, filled = _remembered()
    everything = ", ".join(f'"{table}"' for table in [*emptied, *filled])
    questions = [f'EXISTS (SELECT FROM "{table}")' for table in emptied]
    questions += [f"({_digest(table)})" for table in filled]
    with transaction.atomic(), connection.cursor() as cursor:
        # Whatever still writes is waited for, as TRUNCATE would.
        cursor.execute(f"LOCK {everything} IN SHARE ROW EXCLUSIVE MODE")
        answers = _ask(f"SELECT {', '.join(questions)}")
        written = [table for table, any_rows in zip(emptied, answers, strict=False) if any_rows]
        found = zip(filled, answers[len(emptied) :], strict=True)
        changed = [table for table, digest in found if digest != filled[table]]
        if written or changed:
            cursor.execute("SET LOCAL session_replication_role = replica")  # the order of tables is free
        for table in written + changed:
            cursor.execute(f'DELETE FROM "{table}"')
        for table in changed:
            cursor.execute(f'INSERT INTO "{table}" OVERRIDING SYSTEM VALUE SELECT * FROM {KEPT}."{table}"')
    ContentType.objects.clear_cache()


def _digest(table: str) -> str:
    return f'SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM "{table}" t'


def _ask(question: str) -> tuple[str, ...]:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()  # type: ignore[no-any-return]
