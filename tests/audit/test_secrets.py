"""No door takes a secret into the audit: planted ones are looked for in every column of every entry."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import audit
from accounts.tokens.model import ApiToken
from accounts.tokens.tokens import make_token
from audit.redaction import plain
from markets.models import Exchange
from markets.seed import seed
from monitoring.models import AlertChannel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_redis")]

SECRETS = st.from_regex(r"[A-Za-z0-9]{18,30}", fullmatch=True)
FEW = settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])

TELEGRAM = {"kind": "telegram", "enabled": "on", "chat_id": "-100200", "per_second": "1", "per_minute": "20",
            "security": "starttls"}  # fmt: skip
WEBHOOK = {"kind": "webhook", "enabled": "on", "per_second": "1", "per_minute": "20", "security": "starttls"}
EXCHANGE = {"name": "OKX", "enabled": "on", "taker_fee_bps": "10", "maker_fee_bps": "8",
            "fee_schedules-TOTAL_FORMS": "0", "fee_schedules-INITIAL_FORMS": "0"}  # fmt: skip


def everything() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(e)::text FROM audit_entry e")
        kept = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("SELECT to_jsonb(t)::text FROM audit_tally t")
        return kept + "\n".join(row[0] for row in cursor.fetchall())


@pytest.fixture
def desk(operator: User) -> Client:
    seed()
    browser = Client()
    browser.force_login(operator)
    return browser


def through_channels(desk: Client, secret: str) -> None:
    add = "/admin/monitoring/alertchannel/add/"
    desk.post(add, {**TELEGRAM, "name": f"t{secret[:3]}", "secret": f"123456:{secret}"})
    url = f"https://hooks.example.com/in?token={secret}&n=1#{secret}"
    desk.post(add, {**WEBHOOK, "name": f"w{secret[:3]}", "url": url, "secret": f"whsec_{secret}"})
    for row in AlertChannel.objects.all():
        fields = {**(TELEGRAM if row.kind == "telegram" else WEBHOOK), "name": row.name}
        desk.post(
            f"/admin/monitoring/alertchannel/{row.pk}/change/", {**fields, "url": url, "secret": f"x{secret}"}
        )
        desk.post(f"/admin/monitoring/alertchannel/{row.pk}/delete/", {"post": "yes"})


def through_proxies(desk: Client, secret: str) -> None:
    row = Exchange.objects.get(key="okx")
    for proxy in (f"socks5://{secret}:pw@p.example:1080", f"http://me:{secret}@p.example:1080"):
        desk.post(f"/admin/markets/exchange/{row.pk}/change/", {**EXCHANGE, "proxy": proxy})
    assert secret in Exchange.objects.get(key="okx").proxy, "it is kept, but not there"
    desk.post(f"/admin/markets/exchange/{row.pk}/change/", {**EXCHANGE, "proxy": ""})


def through_people(desk: Client, secret: str) -> None:
    twice = {"password1": secret, "password2": secret, "usable_password": "true"}
    desk.post("/admin/auth/user/add/", {"username": f"u{secret[:4]}", **twice})
    carl = User.objects.get(username=f"u{secret[:4]}")
    desk.post(f"/admin/auth/user/{carl.pk}/password/", {**twice, "set-password": "x"})
    assert User.objects.get(pk=carl.pk).check_password(secret)


def through_the_door(desk: Client, secret: str) -> None:
    browser = Client()
    browser.post("/accounts/login/", {"username": "operator", "password": secret})
    browser.post("/accounts/login/", {"username": secret, "password": "x"})
    browser.post(f"/accounts/login/?next=/{secret}", {"username": "operator", "password": secret})
    headers = {
        "authorization": f"Bearer {secret}",
        "user-agent": f"curl Bearer {secret}",
        "cookie": f"a={secret}",
    }
    Client(headers=headers, HTTP_X_FORWARDED_FOR=secret).get(f"/api/pins?key={secret}")
    Client(headers=headers).post("/accounts/login/", {"username": "operator", "password": "x"})


def through_tokens(desk: Client, secret: str) -> None:
    user = User.objects.get(username="operator")
    made = make_token(user, name="mine")
    Client(headers={"authorization": f"Bearer {made}"}).get("/healthz")
    ApiToken.objects.all().delete()
    assert made not in everything()


def through_the_open_door(desk: Client, secret: str) -> None:
    audit.record(
        "anything", words=f"Authorization: Bearer {secret}", object=f"https://me:{secret}@example.com/",
        before={"password": secret, "nested": {"api_key": secret, "list": [f"wss://a:{secret}@b.c"]}},
        after={"headers": {"Authorization": secret, "Cookie": secret}, "totp": secret, "codes": [secret],
               "url": f"https://example.com/x?k={secret}", "secret_key": {"deep": {"er": secret}}},
    )  # fmt: skip


DOORS = (
    through_channels,
    through_proxies,
    through_people,
    through_the_door,
    through_tokens,
    through_the_open_door,
)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
@FEW
@given(secret=SECRETS)
def test_a_secret_that_comes_through_a_door_is_not_kept(desk: Client, door: Any, secret: str) -> None:
    door(desk, secret)
    assert secret not in everything()


@given(value=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=30,
))  # fmt: skip
def test_whatever_is_recorded_is_json_and_bounded(value: Any) -> None:
    text = json.dumps(plain(value), allow_nan=False)
    assert "\\u0000" not in text


def test_what_is_deep_long_or_wide_is_cut() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = {"a": deep}
    for value in (deep, "x" * 10**6, list(range(10**5)), {str(n): n for n in range(10**5)}):
        assert len(json.dumps(plain(value))) < 60_000
