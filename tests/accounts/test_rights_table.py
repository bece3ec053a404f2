"""docs/security.md says what each role may at each address, and a running server says the same."""

import os

import pytest
from django.core.management import call_command
from redis import Redis

from tests.support.live import daphne
from tests.support.rights_table import (
    BEGIN,
    DOCUMENT,
    END,
    Roles,
    Table,
    addresses,
    asked,
    make_rows,
    sockets,
    written,
)

REWRITE = os.environ.get("REWRITE_RIGHTS") == "1"
"""Set by `make rights`, which writes the table instead of comparing it."""


def documented() -> tuple[str, str, str]:
    """Text before the table, the table, and the text after it."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    table, _, after = rest.partition(END)
    return before, table, after


def test_every_address_has_a_row() -> None:
    """Asks no server: this is the quick word on a new address."""
    if REWRITE:
        return
    rows = documented()[1].replace("\\|", "|")
    missing = [each for each in (*addresses(), *sockets()) if f"| `{each}` |" not in rows]
    assert not missing, "`make rights` adds the rows"


@pytest.mark.timeout(600)
@pytest.mark.django_db(transaction=True)
def test_the_table_says_what_a_server_does(empty_redis: Redis) -> None:
    call_command("seed", verbosity=0)
    roles = Roles()
    make_rows()
    with daphne() as web:
        table: Table = asked(web.url, roles)
    made = written(table, roles.names)
    before, there, after = documented()
    if REWRITE:
        DOCUMENT.write_text(f"{before}{BEGIN}{made}{END}{after}")
    else:
        assert there == made, "`make rights` writes the table again; read what changed"
