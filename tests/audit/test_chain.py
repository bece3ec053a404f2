"""The audit in the database: append-only for everybody, and what was done to it all the same is seen."""

import contextlib
import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

import audit
from audit.chain import retain, verify
from audit.models import Entry, Link

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nothing_yet() -> Iterator[None]:
    """Away with entries of other tests: as the owner of the tables may, past the triggers."""
    _past_the_triggers("DELETE FROM audit_link", "DELETE FROM audit_entry")
    yield
    _past_the_triggers("DELETE FROM audit_link", "DELETE FROM audit_entry")


FORGED = """
    INSERT INTO audit_entry SELECT id + 1000, at, 'forged', user_id, user_name, token, program, address,
    agent, object_type, object_id, object_name, before, after, words, count FROM audit_entry LIMIT 1
"""
TRIGGERS = {
    "audit_entry": ("audit_entry_is_chained", "audit_entry_stays", "audit_entry_is_not_emptied"),
    "audit_link": ("audit_link_stays", "audit_link_is_not_emptied"),
}


def _past_the_triggers(*statements: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        _switch(cursor, "DISABLE")
        for statement in statements:
            cursor.execute(statement)
        _switch(cursor, "ENABLE ALWAYS")


def _switch(cursor: Any, how: str) -> None:
    for table, names in TRIGGERS.items():
        for name in names:
            cursor.execute(f"ALTER TABLE {table} {how} TRIGGER {name}")


def record(count: int, days_ago: float = 0) -> None:
    at = timezone.now() - timedelta(days=days_ago)
    Entry.objects.bulk_create(Entry(kind=f"kind{number}", at=at) for number in range(count))


@pytest.mark.parametrize("replica", [False, True])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET user_name = 'somebody else'",
        "UPDATE audit_entry SET id = id + 1000",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
        "TRUNCATE audit_entry, audit_link CASCADE",
        "UPDATE audit_link SET digest = ''",
        "DELETE FROM audit_link",
        "TRUNCATE audit_link",
        "SET audit.retention = 'on'; DELETE FROM audit_entry",
        "SET audit.retention = 'on'; DELETE FROM audit_link",
        "SET audit.retention = 'on'; UPDATE audit_entry SET at = '2020-01-01'",
        "SET audit.retention = 'on'; TRUNCATE audit_entry",
        "INSERT INTO audit_link VALUES (99, 99, '')",
        "WITH gone AS (DELETE FROM audit_entry RETURNING 1) SELECT * FROM gone",
        "MERGE INTO audit_entry e USING audit_link l ON l.entry = e.id WHEN MATCHED THEN DELETE",
    ],
)
def test_nothing_is_changed_or_removed_for_any_user(statement: str, replica: bool) -> None:
    record(3)
    before = list(Entry.objects.values()), list(Link.objects.values())
    with pytest.raises(DatabaseError, match="append-only"):
        _executed(statement, replica)
    assert (list(Entry.objects.values()), list(Link.objects.values())) == before
    assert verify().problems == ()


def _executed(statement: str, replica: bool) -> None:
    with connection.cursor() as cursor:
        if replica:
            cursor.execute("SET session_replication_role = 'replica'")
        try:
            cursor.execute(statement)
        finally:
            cursor.execute("RESET session_replication_role; RESET audit.retention")


def test_every_entry_has_its_link_in_the_order_of_commits_without_holes() -> None:
    record(5)
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        audit.record("taken_back")
        raise ZeroDivisionError
    record(5)
    assert list(Link.objects.order_by("number").values_list("number", flat=True)) == list(range(1, 11))
    verdict = verify()
    assert (verdict.count, verdict.problems) == (10, ())


@pytest.mark.parametrize(
    ("past", "words"),
    [
        ("UPDATE audit_entry SET user_name = 'x' WHERE kind = 'kind3'", "not what was recorded"),
        ("UPDATE audit_entry SET after = '{}' WHERE kind = 'kind3'", "not what was recorded"),
        ("UPDATE audit_entry SET at = at - interval '1 h' WHERE kind = 'kind3'", "not what was recorded"),
        ("DELETE FROM audit_entry WHERE kind = 'kind3'", "its entry"),
        ("DELETE FROM audit_link WHERE number = 4", "links 4 to 4 are missing"),
        ("DELETE FROM audit_link WHERE number < 3", "the links before 3 are missing"),
        (FORGED, "has no link"),
        ("UPDATE audit_link SET digest = repeat('0', 64) WHERE number = 4", "link 4"),
    ],
)  # fmt: skip
def test_what_was_done_past_the_triggers_is_seen(past: str, words: str) -> None:
    record(9)
    _past_the_triggers(past)
    assert any(words in problem for problem in verify().problems)
    err = StringIO()
    with pytest.raises(CommandError, match="NOT whole"):
        call_command("audit", "verify", stderr=err)
    assert words in err.getvalue()


def test_what_is_cut_off_at_the_end_shows_by_a_noted_last_link() -> None:
    record(9)
    said = command("verify")
    last = said.rpartition(" ")[2].strip()
    _past_the_triggers(
        "DELETE FROM audit_entry WHERE kind = 'kind8'", "DELETE FROM audit_link WHERE number = 9"
    )
    assert verify().problems == ()
    assert "not there any more" in verify(last).problems[0]


def command(*args: str) -> str:
    out = StringIO()
    call_command("audit", *args, stdout=out)
    return out.getvalue()


def test_retention_removes_what_is_older_than_a_year_and_records_that() -> None:
    record(6, days_ago=500)
    record(4, days_ago=380)
    record(3)
    assert "6 entries older than 400 days are removed." in command("retain", "--days", "400")
    assert Entry.objects.count() == 8
    entry = Entry.objects.get(kind="audit_retention")
    assert entry.after is not None
    assert (entry.after["removed"], entry.after["removed_through"]) == (6, 6)
    assert "8 links" in command("verify")
    command("retain", "--days", "365")
    assert Entry.objects.count() == 5
    assert verify().problems == ()
    assert "0 entries" in command("retain", "--days", "365")


def test_a_hole_at_the_beginning_is_no_retention() -> None:
    record(6, days_ago=500)
    record(2)
    command("retain", "--days", "400")
    _past_the_triggers(
        "DELETE FROM audit_entry WHERE id IN (SELECT entry FROM audit_link WHERE number = 7)",
        "DELETE FROM audit_link WHERE number = 7",
    )
    assert "the links before 8 are missing" in verify().problems[0]


@pytest.mark.parametrize("days", ["364", "0", "-1"])
def test_less_than_a_year_cannot_be_asked_for(days: str) -> None:
    record(3, days_ago=360)
    with pytest.raises(CommandError, match="365 days at least"):
        command("retain", f"--days={days}")
    with pytest.raises(ValueError, match="365"):
        retain(int(days))
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL audit.retention = 'on'; DELETE FROM audit_entry")
    assert Entry.objects.count() == 3


def test_a_recording_does_not_wait_for_another_that_has_not_finished_yet() -> None:
    """A long transaction with entries of its own holds nobody up before it is committed."""
    import threading

    from django.db import connections

    done = threading.Event()

    def other() -> None:
        audit.record("quick")
        connections.close_all()
        done.set()

    with transaction.atomic():
        audit.record("slow")
        thread = threading.Thread(target=other)
        thread.start()
        assert done.wait(20), "it waits for a transaction that goes on"
    thread.join()
    kinds = dict(Entry.objects.values_list("pk", "kind"))
    assert [kinds[link.entry] for link in Link.objects.order_by("number")] == ["quick", "slow"]
    assert verify().problems == ()


def exported(**wanted: Any) -> str:
    return command("export", *(f"--{name}={value}" for name, value in wanted.items()))


def test_the_command_exports_all_in_pieces() -> None:
    record(1203)
    kinds = [json.loads(line)["kind"] for line in exported(format="ndjson").splitlines()]
    assert sorted(kind for kind in kinds if kind.startswith("kind")) == sorted(
        f"kind{n}" for n in range(1203)
    )
    assert "audit_exported" in kinds, "the export itself is in it"
    assert len(exported(format="csv", kind="kind7").splitlines()) == 2
    assert exported(most=3).count("\n") == 3
