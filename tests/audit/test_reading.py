"""Readers of the audit: pages, API and files; nobody writes it there."""

import csv
import io
import json
import re
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

import audit
from accounts.access.groups import GROUPS
from accounts.tokens.tokens import make_token
from audit.models import Entry
from core.names.plain_names import FORMULA
from tests.audit.test_audit import mark, whole

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_redis")]

PAGE = "/admin/audit/entry/"
API = "/api/audit"


def ask(browser: Client, query: str = "") -> list[dict[str, Any]]:
    answer = browser.get(f"{API}?{query}")
    assert answer.status_code == 200, answer.content
    return [json.loads(line) for line in async_to_sync(whole)(answer).splitlines()]


def member(group: str) -> Client:
    user = User.objects.create_user(group, is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    browser = Client()
    browser.force_login(user)
    return browser


@pytest.mark.parametrize("group", GROUPS)
def test_it_is_for_administrators(group: str) -> None:
    audit.record("something")
    allowed = group == "administrator"
    browser = member(group)
    entry = Entry.objects.first()
    assert entry is not None
    for address in (PAGE, f"{PAGE}{entry.pk}/change/", API):
        assert browser.get(address).status_code == (200 if allowed else 403), address
    assert ("Audit" in browser.get("/admin/").content.decode()) is allowed


def test_by_the_permission_alone() -> None:
    user = User.objects.create_user("reader", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view", content_type__app_label="audit"))
    browser = Client()
    browser.force_login(user)
    assert browser.get(PAGE).status_code == 200


def test_nobody_writes_it_there(operator_client: Client) -> None:
    audit.record("something")
    entry = Entry.objects.first()
    assert entry is not None
    for address in (f"{PAGE}add/", f"{PAGE}{entry.pk}/delete/"):
        assert operator_client.get(address).status_code == 403
        assert operator_client.post(address, {"post": "yes"}).status_code == 403
    assert operator_client.post(f"{PAGE}{entry.pk}/change/", {"kind": "other"}).status_code == 403
    operator_client.post(PAGE, {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"})
    for method in ("post", "put", "delete", "patch"):
        assert getattr(operator_client, method)(API).status_code == 405
    assert Entry.objects.get(pk=entry.pk).kind == "something"


def test_no_token_but_one_of_an_administrator_reads_it(operator: User) -> None:
    viewer = User.objects.create_user("viewer")
    for user, status in ((operator, 200), (viewer, 403)):
        program = Client(headers={"authorization": f"Bearer {make_token(user)}"})
        assert program.get(API).status_code == status
    assert Client().get(API).status_code == 401


def test_the_pages_filter_search_and_show_before_and_after(operator: User, operator_client: Client) -> None:
    carl = User.objects.create_user("carl")
    with audit.acting_for(Client(REMOTE_ADDR="192.0.2.77").get("/accounts/login/").wsgi_request):
        audit.record("one_thing", user=carl, object=operator, before={"a": 1}, after={"a": "two words"})
    audit.record("other_thing")

    def listed(query: str) -> str:
        page = operator_client.get(f"{PAGE}?{query}")
        assert page.status_code == 200
        return page.content.decode().partition("result_list")[2].partition("changelist-filter")[0]

    for query in ("kind=one_thing", "user=carl", "object=auth.user&user=carl", "q=192.0.2.77", "q=carl"):
        assert "one thing" in listed(query), query
        assert "other thing" not in listed(query), query
    assert "one thing" in listed("within=day")
    assert "one thing" in listed(f"object=auth.user:{operator.pk}&user=carl")
    entry = Entry.objects.get(kind="one_thing")
    page = operator_client.get(f"{PAGE}{entry.pk}/change/").content.decode()
    assert "two words" in page
    assert "192.0.2.77" in page


def test_the_list_asks_as_much_for_many_entries_as_for_few(operator_client: Client) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    operator_client.get(PAGE)
    with CaptureQueriesContext(connection) as few:
        operator_client.get(PAGE)
    for number in range(30):
        audit.record(f"kind{number}", words="x" * 400, after={"field": number})
    with CaptureQueriesContext(connection) as many:
        operator_client.get(PAGE)
    assert len(many) <= len(few) + 1


def test_the_api_chooses_and_goes_on(operator: User, operator_client: Client) -> None:
    start = mark()
    for number in range(5):
        audit.record("counted_up", user=operator, object="thing", words=str(number))
    words = [each["words"] for each in ask(operator_client, "kind=counted_up&limit=2")]
    assert words == ["4", "3"], "the newest first"
    first = ask(operator_client, "kind=counted_up&limit=2")
    rest = ask(operator_client, f"kind=counted_up&limit=2&before={first[-1]['id']}")
    assert [each["words"] for each in rest] == ["2", "1"]
    one = first[0]
    assert (one["user"], one["user_id"], one["object"]) == ("operator", operator.pk, "thing")
    assert one["at"].endswith("Z")
    assert len(one["at"]) == len("2026-11-30T10:51:20.123456Z")
    assert len(ask(operator_client, f"kind=counted_up&start={one['at']}")) == 1
    assert len(ask(operator_client, f"kind=counted_up&end={one['at']}")) == 4
    assert len(ask(operator_client, f"kind=counted_up&user={operator.pk}")) == 5
    assert ask(operator_client, "kind=counted_up&user=nobody") == []
    assert len(ask(operator_client, "kind=counted_up&search=THING")) == 5
    exported = [each for each in Entry.objects.filter(pk__gt=start) if each.kind == "audit_exported"]
    assert len(exported) == 8
    assert all(each.user_name == "operator" for each in exported)


def test_more_than_a_piece_comes_whole(operator_client: Client) -> None:
    Entry.objects.bulk_create(Entry(kind="many") for _ in range(1203))
    assert len(ask(operator_client, "kind=many&limit=1200")) == 1200
    assert len({each["id"] for each in ask(operator_client, "kind=many&limit=5000")}) == 1203


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"), ("limit=50001", "limit"), ("limit=x", "limit"),
        ("format=xml", "format"), ("before=-1", "before"), ("before=99999999999999999999", "before"),
        ("start=yesterday", "start"), ("end=99999999999", "end"),
        ("start=2026-02-02&end=2026-01-01", "start"),
        ("colour=red", "colour"), ("kind=a&kind=b", "kind"), ("user=%00", "user"),
        ("search=" + "x" * 1001, "search"),
        ("start=0001-01-01T00:00%2B14:00", "start"), ("limit=nan", "limit"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_by_name(operator_client: Client, query: str, named: str) -> None:
    answer = operator_client.get(f"{API}?{query}")
    assert answer.status_code == 400, answer.content
    assert named in answer.json()["error"]


def test_a_csv_file_holds_no_formula(operator_client: Client) -> None:
    texts = [
        "=1+1",
        "+1",
        "-1",
        "@x",
        "\t=x",
        "\u200b=1",
        "\uff1d1",
        "\u00a0\uff0b1",
        " =cmd|' /C calc'!A0",
        'a "quoted", text\nof two lines',
    ]
    for text in texts:
        audit.record("formula", object=text, words=text, after={"field": text})
    answer = operator_client.get(f"{API}?kind=formula&format=csv")
    assert answer["Content-Type"].startswith("text/csv")
    assert "attachment" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(async_to_sync(whole)(answer))))
    assert len(rows) == len(texts)
    for row in rows:
        for cell in row.values():
            assert not re.match(FORMULA, cell), row
    assert rows[0]["words"] == texts[-1]
    assert json.loads(rows[0]["after"]) == {"field": texts[-1]}


def test_the_page_leads_to_files_of_what_it_shows(operator_client: Client) -> None:
    audit.record("one_thing")
    audit.record("other_thing")
    page = operator_client.get(f"{PAGE}?kind=one_thing").content.decode()
    address = (
        page.partition(f'href="{API}?')[2].partition('"')[0].replace("&amp;", "&").replace("format=csv&", "")
    )
    assert {each["kind"] for each in ask(operator_client, address)} == {"one_thing"}
