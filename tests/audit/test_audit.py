"""The audit: who did what, when, from where, before and after; what machines do is nobody's action."""

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils import timezone

import audit
from accounts.tokens.model import ApiToken
from accounts.tokens.tokens import good_token, make_token
from arbsite.auth import _handshake, _who_opens
from audit.models import Entry
from audit.recording import _used
from markets.models import Exchange, ExchangePair, IdentityCase, Instrument, PinnedChart, Symbol
from markets.seed import seed
from monitoring.models import AlertChannel, AlertRule, What
from realtime.models import SavedView

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_redis")]

PASSWORD = "correct horse battery staple"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
FROM = {"REMOTE_ADDR": "192.0.2.7", "headers": {"user-agent": AGENT}}


@pytest.fixture
def desk(operator: User) -> Client:
    """A browser somewhere, in which the operator is signed in."""
    seed()
    browser = Client(**FROM)  # type: ignore[arg-type]
    browser.force_login(operator)
    return browser


def since(mark: int) -> list[Entry]:
    """Entries recorded after a mark, the oldest first."""
    return list(Entry.objects.filter(pk__gt=mark).order_by("pk"))


def mark() -> int:
    newest = Entry.objects.order_by("-pk").first()
    return newest.pk if newest else 0


def shape(entries: list[Entry]) -> list[tuple[str, str, Any, Any]]:
    return [(each.kind, each.object_type, each.before, each.after) for each in entries]


def page_of(row: Any, what: str = "change") -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{what}", args=[row.pk])


def list_of(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def act(browser: Client, model: Any, action: str, *rows: Any) -> None:
    browser.post(list_of(model), {"action": action, "_selected_action": [row.pk for row in rows]})


# --- rows ------------------------------------------------------------------------------------------------


def test_a_form_makes_one_entry_with_what_changed_who_and_from_where(desk: Client, operator: User) -> None:
    row, start = AlertRule.objects.create(name="disk", what=What.DISK), mark()
    channel = AlertChannel.objects.create(
        name="desk", kind="webhook", settings={"url": "https://example.com"}
    )
    start = mark()
    fields = {"name": "disk", "what": "disk", "severity": "critical", "for_s": "5", "clear_after_s": "0",
              "quiet_zone": "UTC", "funding_unit": "8h", "digest_minutes": "0", "remind_minutes": "0",
              "channels": [channel.pk], "tell_resolved": ""}  # fmt: skip
    assert desk.post(page_of(row), fields).status_code == 302

    (entry,) = since(start)
    assert entry.kind == "changed"
    assert (entry.user_id, entry.user_name) == (operator.pk, "operator")
    assert (entry.address, entry.agent, entry.program) == ("192.0.2.7", AGENT, "")
    assert (entry.object_type, entry.object_id, entry.object_name) == (
        "monitoring.alertrule",
        str(row.pk),
        "disk",
    )
    assert entry.before == {"severity": "warning", "for_s": 0, "enabled": True, "channels": []}
    assert entry.after == {
        "severity": "critical", "for_s": 5, "enabled": False, "channels": [f"desk ({channel.pk})"],
    }  # fmt: skip


def test_adding_and_deleting_say_what_there_was(desk: Client) -> None:
    start, new = mark(), {"name": "NEW/USDT", "base": "NEW", "quote": "USDT", "kind": "spot"}
    desk.post(reverse("admin:markets_symbol_add"), new)
    row = Symbol.objects.get(name="NEW/USDT")
    desk.post(page_of(row, "delete"), {"post": "yes"})
    values = {**new, "enabled": False}
    assert shape(since(start)) == [
        ("added", "markets.symbol", None, values), ("deleted", "markets.symbol", values, None),
    ]  # fmt: skip


def test_what_goes_with_a_row_is_recorded_too(desk: Client) -> None:
    start, row = mark(), Exchange.objects.get(key="gate")
    pairs = (
        ExchangePair.objects.filter(exchange1=row).count()
        + ExchangePair.objects.filter(exchange2=row).count()
    )
    desk.post(page_of(row, "delete"), {"post": "yes"})
    kinds = [(each.kind, each.object_type) for each in since(start)]
    assert kinds.count(("deleted", "markets.exchangepair")) == pairs
    assert kinds.count(("deleted", "markets.exchange")) == 1


@pytest.mark.parametrize("model", [Exchange, Symbol, Instrument, ExchangePair])
def test_a_bulk_action_records_each_row_it_changed(desk: Client, model: Any) -> None:
    start, rows = mark(), list(model.objects.all()[:3])
    act(desk, model, "disable", *rows)
    label = model._meta.label_lower
    assert shape(since(start)) == [("changed", label, {"enabled": True}, {"enabled": False})] * 3
    assert {each.object_id for each in since(start)} == {str(row.pk) for row in rows}
    assert {each.user_name for each in since(start)} == {"operator"}


def test_an_action_that_changes_no_row_is_recorded_in_words(desk: Client) -> None:
    start, row = mark(), AlertChannel.objects.create(name="hook", kind="webhook", settings={})
    start = mark()
    act(desk, AlertChannel, "send_test", row)
    (entry,) = since(start)
    assert (entry.kind, entry.words, entry.object_id) == ("action", "Sent a test.", str(row.pk))


def test_a_decision_on_a_coins_identity_is_recorded(desk: Client) -> None:
    one, two = Exchange.objects.order_by("pk")[:2]
    case = IdentityCase.objects.create(
        symbol=Symbol.objects.get(name="BTC/USDT"), exchange1=one, exchange2=two,
        found_at="2026-01-01T00:00Z", seen_at="2026-01-01T00:00Z",
    )  # fmt: skip
    start = mark()
    act(desk, IdentityCase, "confirm", case)
    (entry,) = since(start)
    assert (entry.kind, entry.object_type) == ("changed", "markets.identitycase")
    assert entry.before is not None
    assert entry.after is not None
    assert (entry.before["verdict"], entry.after["verdict"]) == ("quarantined", "confirmed")
    assert entry.after["decided_by"].startswith("operator (")


def test_pins_and_saved_views_are_recorded(desk: Client) -> None:
    start, kept = mark(), json.dumps({"name": "mine", "query": "search=BTC"})
    chart = json.dumps({"id": "BTC/USDT|binance|bybit"})
    json_body = {"content_type": "application/json"}
    desk.post("/api/pins", chart, **json_body)  # type: ignore[arg-type]
    desk.delete("/api/pins?id=BTC/USDT|binance|bybit")
    desk.post("/api/scanner/views", kept, **json_body)  # type: ignore[arg-type]
    desk.post("/api/scanner/views", json.dumps({"name": "ours", "was": "mine"}), **json_body)  # type: ignore[arg-type]
    desk.delete("/api/scanner/views?name=ours")
    assert not PinnedChart.objects.exists()
    assert not SavedView.objects.exists()
    assert [(each.kind, each.object_type, each.user_name) for each in since(start)] == [
        ("added", "markets.pinnedchart", "operator"), ("deleted", "markets.pinnedchart", "operator"),
        ("added", "realtime.savedview", "operator"), ("changed", "realtime.savedview", "operator"),
        ("deleted", "realtime.savedview", "operator"),
    ]  # fmt: skip


def test_what_machines_write_is_nobodys_action(desk: Client, operator: User) -> None:
    start, row = mark(), Instrument.objects.all()[0]
    row.last_price, row.active = 5, False
    row.save()
    operator.save(update_fields=["last_login"])
    Instrument.catalogue.filter(pk=row.pk).update(status="gone")
    Symbol.catalogue.bulk_create([Symbol(name="Z/USDT", base="Z", quote="USDT")])
    assert since(start) == []


def test_a_program_is_named_with_the_user_it_runs_as() -> None:
    start = mark()
    seed()
    assert {each.user_name for each in since(start)} == {""}
    assert all(each.program.endswith(")") for each in since(start))


def test_what_fails_leaves_no_entry(desk: Client) -> None:
    start = mark()
    with pytest.raises(ZeroDivisionError):
        _fail_halfway()
    row = Exchange.objects.get(key="okx")
    assert desk.post(page_of(row), {"name": ""}).status_code == 200  # refused
    assert since(start) == []


def _fail_halfway() -> None:
    with audit.gathered():
        audit.record("half_done")
        raise ZeroDivisionError


# --- people ----------------------------------------------------------------------------------------------


def test_rights_passwords_and_groups_are_recorded_and_the_password_is_not(desk: Client) -> None:
    start, carl = mark(), User.objects.create_user("carl", password=PASSWORD)
    start = mark()
    new = "another horse battery"
    fields = {"username": "carl", "is_active": "on", "is_staff": "on", "date_joined_0": "2026-01-01",
              "date_joined_1": "00:00:00", "groups": [Group.objects.get(name="trader").pk]}  # fmt: skip
    desk.post(page_of(carl), fields)
    desk.post(
        f"/admin/auth/user/{carl.pk}/password/",
        {"password1": new, "password2": new, "usable_password": "true"},
    )
    changed, password = since(start)
    assert changed.after is not None
    assert (changed.after["is_staff"], changed.after["groups"][0][:6]) == (True, "trader")
    assert (password.kind, password.object_name) == ("secret_changed", "carl")
    assert (password.before, password.after) == ({"password": "•••"}, {"password": "•••"})


def test_signing_in_and_out(operator: User) -> None:
    start, browser = mark(), Client(**FROM)  # type: ignore[arg-type]
    browser.post("/accounts/login/", {"username": "operator", "password": PASSWORD})
    browser.post("/accounts/logout/")
    found = [(each.kind, each.user_name, each.user_id, each.address) for each in since(start)]
    assert found == [
        ("sign_in", "operator", operator.pk, "192.0.2.7"), ("sign_out", "operator", operator.pk, "192.0.2.7"),
    ]  # fmt: skip


def test_refused_sign_ins_are_recorded_once_a_minute_and_counted_exactly(operator: User) -> None:
    start, began = nothing_counted(operator), timezone.now()
    for number in range(12):
        guess = {"username": "operator", "password": f"guess{number}"}
        Client(REMOTE_ADDR="192.0.2.9").post("/accounts/login/", guess)
    first = [each for each in since(start) if each.kind == "sign_in_refused"]
    assert {(each.user_name, each.address) for each in first} == {("operator", "192.0.2.9")}
    assert first[0].count == 1
    # Where a minute ends meanwhile, its count and the first of the next are entries too.
    minutes = timezone.now().minute - began.minute
    assert len(first) <= 1 + 2 * (minutes % 60)
    lines = [json.loads(line) for line in read(operator, "kind=sign_in_refused&user=operator").splitlines()]
    assert sum(line["count"] for line in lines if line["id"] > start) == 12
    assert any(each.kind == "locked_out" for each in since(start))
    assert len(since(start)) < 8


def test_a_rush_from_everywhere_is_bounded(operator: User) -> None:
    start = nothing_counted(operator)
    for number in range(60):
        audit.counted("sign_in_refused", request=None, name="")
        request = Client(REMOTE_ADDR=f"198.51.100.{number}").get("/accounts/login/").wsgi_request
        audit.counted("sign_in_refused", request=request, name=f"invented{number}")
    assert len(since(start)) <= 45, "two minutes at most"
    read(operator, "")
    assert sum(each.count for each in since(start) if each.kind == "sign_in_refused") == 120


def nothing_counted(user: User) -> int:
    """Mark of now, when what this process counted of other tests has been written."""
    read(user, "")
    return mark()


def read(user: User, query: str) -> str:
    """Answer of the API."""
    browser = Client()
    browser.force_login(user)
    answer = browser.get(f"/api/audit?{query}")
    assert answer.status_code == 200, answer.content
    return async_to_sync(whole)(answer)


async def whole(answer: Any) -> str:
    """A streamed answer, to its end."""
    return b"".join([piece async for piece in answer.streaming_content]).decode()


# --- tokens and secrets -----------------------------------------------------------------------------------


def test_a_token_is_recorded_when_it_is_made_first_used_and_revoked(operator: User) -> None:
    start = mark()
    secret = make_token(operator, name="backup", scope="act")
    program = Client(headers={"authorization": f"Bearer {secret}"}, REMOTE_ADDR="192.0.2.8")
    for _ in range(3):
        assert program.get("/api/pins").status_code == 200
    ApiToken.objects.get().delete()
    assert program.get("/api/pins").status_code == 401
    found = [(each.kind, each.object_name.partition(" ")[0], each.address) for each in since(start)]
    assert found == [
        ("token_made", "backup", ""), ("token_first_used", "backup", "192.0.2.8"),
        ("token_revoked", "backup", ""), ("token_refused", "", "192.0.2.8"),
    ]  # fmt: skip
    made = since(start)[0]
    assert made.after is not None
    assert (made.after["scope"], made.after["name"]) == ("act", "backup")
    assert secret not in str([each.__dict__ for each in since(start)])


def test_what_a_token_does_names_it(operator: User) -> None:
    seed()
    secret = make_token(operator, scope="act")
    program = Client(headers={"authorization": f"Bearer {secret}"})
    start = mark()
    program.post("/api/pins", json.dumps({"id": "BTC/USDT|binance|bybit"}), content_type="application/json")
    pinned = [each for each in since(start) if each.kind == "added"]
    assert [(each.user_name, each.token) for each in pinned] == [("operator", str(ApiToken.objects.get().pk))]


def test_secrets_are_recorded_when_entered_changed_and_removed_and_never_shown(desk: Client) -> None:
    row, start = Exchange.objects.get(key="okx"), mark()
    for proxy in ("socks5://me:hunter2hunter2@p.example:1080", "socks5://me:other2other2@p.example:1080", ""):
        row.proxy = proxy
        row.save()
    assert [each.kind for each in since(start)] == ["secret_entered", "secret_changed", "secret_removed"]
    assert since(start)[1].after == {"proxy": "socks5://•••@p.example:1080"}
    assert "other2" not in str([each.__dict__ for each in since(start)])


def test_that_a_secret_is_used_is_recorded_once_a_day_in_a_process() -> None:
    seed()
    _used.clear()
    row, start = Exchange.objects.get(key="okx"), mark()
    for _ in range(1000):
        audit.used(row, "to go out")
    audit.used(row, "for something else")
    assert [(each.kind, each.words) for each in since(start)] == [
        ("secret_used", "to go out"), ("secret_used", "for something else"),
    ]  # fmt: skip


async def test_a_socket_that_uses_a_token_first_says_from_where(operator: User) -> None:
    secret = await database_sync_to_async(make_token)(operator)
    start = await database_sync_to_async(mark)()
    headers = [(b"authorization", f"Bearer {secret}".encode())]
    scope = {"type": "websocket", "path": "/ws/", "headers": headers,
             "client": ("192.0.2.11", 4711), "cookies": {}, "query_string": b""}  # fmt: skip
    user, credential = await database_sync_to_async(_who_opens)(_handshake(scope), {})
    assert (user.pk, credential and credential.token_id) == (operator.pk, (await ApiToken.objects.aget()).pk)
    (entry,) = await database_sync_to_async(since)(start)
    assert (entry.kind, entry.address, entry.user_name) == ("token_first_used", "192.0.2.11", "operator")


async def test_an_asynchronous_request_is_known_wherever_its_answer_is_worked_on(operator: User) -> None:
    await database_sync_to_async(seed)()
    browser = AsyncClient()
    await browser.aforce_login(operator)
    start = await database_sync_to_async(mark)()
    body = json.dumps({"id": "BTC/USDT|binance|bybit"})
    answer = await browser.post("/api/pins", body, content_type="application/json")
    assert answer.status_code == 200
    (entry,) = await database_sync_to_async(since)(start)
    assert (entry.kind, entry.user_name, entry.address) == ("added", "operator", "127.0.0.1")


def test_other_apps_record_what_they_like(operator: User) -> None:
    start = mark()
    audit.record(
        "session_ended", user=operator, object=operator,
        before={"session_key": "abcdefgh", "from": "192.0.2.1"},
        after={"password": "x", "url": "https://me:pw@example.com/a?key=1", "tokens": ["y"]}, words="by hand",
    )  # fmt: skip
    (entry,) = since(start)
    assert (entry.kind, entry.words, entry.object_id) == ("session_ended", "by hand", str(operator.pk))
    assert entry.before == {"session_key": "•••", "from": "192.0.2.1"}
    assert entry.after == {"password": "•••", "url": "https://•••@example.com/a?•••", "tokens": "•••"}


def test_a_good_token_that_cannot_be_noted_is_still_good(operator: User) -> None:
    secret = make_token(operator)
    assert good_token(secret).user == operator


def test_that_a_command_ends_a_lock_out_is_recorded(operator: User) -> None:
    for _ in range(5):
        Client().post("/accounts/login/", {"username": "operator", "password": "wrong"})
    start = mark()
    call_command("axes_reset_username", "operator")
    assert [(each.kind, each.words) for each in since(start)] == [("lock_out_ended", "username operator")]
    call_command("axes_reset_username", "operator")
    assert len(since(start)) == 1


def test_nobody_fills_the_audit_with_their_views(desk: Client) -> None:
    start, kept = mark(), {"name": "mine", "query": "search=BTC"}
    statuses = [
        desk.post(
            "/api/scanner/views", kept | {"query": f"search={n}"}, content_type="application/json"
        ).status_code
        for n in range(70)
    ]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) == len(since(start)) <= 60
