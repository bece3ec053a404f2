"""Effects of commands on people, rights and traces are in the audit, with command and system user."""

import sys
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from axes.models import AccessFailureLog, AccessLog
from django.contrib.auth.models import User
from django.core import serializers
from django.core.management import ManagementUtility, call_command
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from accounts.mfa import second_factor
from accounts.tokens.model import ApiToken
from accounts.tokens.tokens import make_token
from audit.models import Entry
from monitoring.tasks import retain_alerts

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_redis")]

PASSWORD = "correct horse battery staple"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[Entry]:
    """Entries that `manage.py …` leaves in the audit."""
    newest = Entry.objects.order_by("-pk").first()
    argv = ["manage.py", *arguments]
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "stdout", StringIO())
    ManagementUtility(argv).execute()
    return list(Entry.objects.filter(pk__gt=newest.pk if newest else 0).order_by("pk"))


def said(entries: list[Entry], command: str) -> list[tuple[str, str, str]]:
    """All by that command, and nobody's request."""
    for each in entries:
        assert each.program.startswith(f"manage.py {command} ("), each.program
        assert (each.user_name, each.address) == ("", "")
    return [(each.kind, each.object_name, each.words) for each in entries]


def fail(*names: str) -> None:
    for name in names:
        for _ in range(5):
            Client().post("/accounts/login/", {"username": name, "password": "wrong"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["axes_reset"], ["all"]),
        (["axes_reset_ip", "127.0.0.1"], ["ip_address 127.0.0.1"]),
        (["axes_reset_username", "operator", "other"], ["username operator", "username other"]),
        (["axes_reset_ip_username", "127.0.0.1", "other"], ["ip_address 127.0.0.1, username other"]),
    ],
)
def test_the_end_of_a_lock_out(
    operator: User, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    fail("operator", "other")
    entries = run(monkeypatch, *arguments)
    assert said(entries, arguments[0]) == [("lock_out_ended", "", each) for each in words]


@pytest.mark.parametrize(
    ("command", "model", "name"),
    [("axes_reset_logs", AccessLog, "access logs"),
     ("axes_reset_failure_logs", AccessFailureLog, "access failures")],
)  # fmt: skip
def test_traces_that_are_deleted(
    monkeypatch: pytest.MonkeyPatch, command: str, model: Any, name: str
) -> None:
    assert run(monkeypatch, command) == [], "nothing was there"
    for _ in range(3):
        model.objects.create(username="x", ip_address="192.0.2.1")
    model.objects.update(attempt_time=timezone.now() - timedelta(days=40))
    model.objects.create(username="x", ip_address="192.0.2.1")
    (entry,) = run(monkeypatch, command)
    assert said([entry], command) == [("deleted", name, "older than 30 days")]
    assert (entry.count, model.objects.count()) == (3, 1)


def test_traces_that_are_too_old_by_the_settings_are_nobodys_action() -> None:
    AccessLog.objects.create(username="x", ip_address="192.0.2.1")
    AccessLog.objects.update(attempt_time=timezone.now() - timedelta(days=4000))
    before = Entry.objects.count()
    retain_alerts()
    assert not AccessLog.objects.exists()
    assert Entry.objects.count() == before


def test_people_and_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    entries = run(monkeypatch, "createsuperuser", "--noinput", "--username", "chief", "--email", "c@x.org")
    assert ("added", "chief", "") in said(entries, "createsuperuser")
    assert any((each.after or {}).get("is_superuser") is True for each in entries)
    monkeypatch.setattr("getpass.getpass", lambda **_: "another horse battery")
    entries = run(monkeypatch, "changepassword", "chief")
    assert said(entries, "changepassword") == [("secret_changed", "chief", "")]
    assert User.objects.get().check_password("another horse battery")
    assert "horse" not in "".join(f"{each.before}{each.after}{each.words}" for each in Entry.objects.all())


def test_second_factors_tokens_and_keys(operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    second_factor.begin(operator)
    kinds = [each.kind for each in run(monkeypatch, "reset_mfa", "operator")]
    assert kinds == ["second_factor_reset"]
    kinds = [each.kind for each in run(monkeypatch, "api_token", "operator", "--name", "backup")]
    assert kinds == ["token_made"]
    number = ApiToken.objects.get().pk
    kinds = [each.kind for each in run(monkeypatch, "api_token", "--revoke", str(number))]
    assert kinds == ["token_revoked"]
    assert [each.kind for each in run(monkeypatch, "reseal")] == ["secrets_resealed"]


def test_people_that_a_file_brings(operator: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    file = tmp_path / "people.json"
    operator.is_staff = False
    file.write_text(
        serializers.serialize("json", [operator, User(pk=4711, username="new", is_superuser=True)])
    )
    entries = run(monkeypatch, "loaddata", str(file))
    assert said(entries, "loaddata") == [("changed", "operator", ""), ("added", "new", "")]


@pytest.mark.parametrize("command", ["shell", "remove_stale_contenttypes"])
def test_commands_that_change_rows_past_the_audit_are_recorded_themselves(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    arguments = ["--command", "pass"] if command == "shell" else ["--noinput"]
    entries = run(monkeypatch, command, *arguments)
    assert [each[:2] for each in said(entries, command)] == [("action", f"manage.py {command}")]


def test_a_shell_opens_where_there_is_nothing_to_record_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("audit.record", unreachable)
    assert run(monkeypatch, "shell", "--command", "pass") == []


def test_commands_that_only_look_leave_nothing(operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    make_token(operator)
    fail("operator")
    for arguments in (["axes_list_attempts"], ["api_token", "--list"], ["reseal", "--dry-run"], ["check"]):
        assert [each.kind for each in run(monkeypatch, *arguments)] == [], arguments
    call_command("audit", "verify")
