"""The database role that reads: agents' tools have no other, so that no fault of ours can write.

`desk_reader` cannot sign in. The desk's role is a member of it, and a process becomes it for good as it
connects (`role` among the options of the connection), in transactions that are read-only.
"""

import logging
from collections.abc import Iterable
from typing import Any, Final

from django.apps import apps
from django.db import DatabaseError, connections, transaction
from psycopg import sql
from psycopg.conninfo import make_conninfo

from orderbook.store.tables import SCHEMA

logger = logging.getLogger(__name__)

READER: Final = "desk_reader"
HOW: Final = (
    "run deploy/postgres/application.sql as PostgreSQL's superuser (docs/agents.md#the-database-role), "
    "then `manage.py migrate`"
)
_OPTIONS: Final = f"-c role={READER} -c default_transaction_read_only=on"

OPEN_APPS: Final = ("auth", "contenttypes", "markets", "opportunities", "orderbook", "history", "realtime")
OPEN_TABLES: Final = ("accounts_mysize", "monitoring_healthlimits")
"""Tables that the tools read. What is added to the desk is closed to them until somebody opens it here."""


class NoReader(Exception):
    """The role is not there or may not be taken; the message says what to do."""


def grant_reading(using: str) -> None:
    """Create the role where that is possible, and let it read; logs what to do where it is not."""
    connection = connections[using]
    try:
        with transaction.atomic(using), connection.cursor() as cursor:
            cursor.execute(_CREATE)
            cursor.execute(_IS_THERE, [READER])
            if not cursor.fetchone()[0]:
                logger.warning("agents' tools have no database role %s yet: %s", READER, HOW)
                return
            for statement in _grants(*_missing(cursor)):
                cursor.execute(statement)
    except DatabaseError as problem:
        logger.warning("agents' tools may not read everything: %s: %s", problem, HOW)


def readable() -> list[str]:
    """Tables of the schema `public` that agents may read."""
    models = (model for label in OPEN_APPS for model in apps.get_app_config(label).get_models(True))
    return [*(model._meta.db_table for model in models if model._meta.managed), *OPEN_TABLES]


def become_reader(using: str = "default") -> None:
    """Make every connection of this process, from now on, one that reads. Raises NoReader, DatabaseError."""
    connections[using].close()
    options = connections.settings[using].setdefault("OPTIONS", {})
    options["options"] = f"{options.get('options', '')} {_OPTIONS}".strip()
    try:
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT current_user, current_setting('default_transaction_read_only')")
            if cursor.fetchone() != (READER, "on"):
                raise NoReader(f"a proxy before PostgreSQL passes over the role of connections: {HOW}")
    except DatabaseError as problem:
        if READER in str(problem):
            reason = str(problem).strip().splitlines()[-1]
            raise NoReader(f"the database role {READER} cannot be taken ({reason}): {HOW}") from None
        raise


def _missing(cursor: Any) -> tuple[list[str], bool]:
    """Tables that the role should read and does not yet, and whether the store is yet to be opened to it."""
    cursor.execute(_MAY_NOT, [READER, readable()])
    lacking = [table for (table,) in cursor.fetchall()]
    cursor.execute("SELECT NOT has_schema_privilege(%s, %s, 'USAGE')", [READER, SCHEMA])
    return lacking, cursor.fetchone()[0]


def _grants(tables: Iterable[str], store_too: bool) -> Iterable[sql.Composed]:
    role, schema = sql.Identifier(READER), sql.Identifier(SCHEMA)
    for table in tables:
        yield sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier("public", table), role)
    if store_too:
        yield sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role)
        yield sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(schema, role)
        # Tables that a later migration makes there, too.
        yield sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT SELECT ON TABLES TO {}").format(
            schema, role
        )


# Two databases of one server may be migrated at once: whose role comes second has it.
_CREATE: Final = """
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'desk_reader')
     AND (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
    CREATE ROLE desk_reader NOLOGIN;
    EXECUTE format('GRANT desk_reader TO %I', current_user);
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END
$$
"""
_IS_THERE: Final = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)"
_MAY_NOT: Final = (
    "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
    "AND NOT has_table_privilege(%s, quote_ident(schemaname) || '.' || quote_ident(tablename), 'SELECT') "
    "AND tablename = ANY(%s)"
)


def reader_dsn(using: str = "default") -> str:
    """Connection string of the role, for what does not connect through Django."""
    params = connections[using].get_connection_params()
    libpq = {name: value for name, value in params.items() if name in _LIBPQ and value not in (None, "")}
    return make_conninfo("", **libpq)


_LIBPQ: Final = ("host", "port", "dbname", "user", "password", "options", "connect_timeout", "sslmode")
