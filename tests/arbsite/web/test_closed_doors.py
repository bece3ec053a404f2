"""Headers of answers, names of cookies, and lookups that nobody can ask the admin's lists."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client, RequestFactory
from redis import Redis

from arbsite.middleware.prefix import cookie_name
from markets.models import Exchange
from monitoring.models import AlertChannel
from tests.accounts.test_groups import member, signed_in
from tests.support.live import Web, daphne
from tests.support.rights_table import Roles

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def web(transactional_db: None, empty_redis: Redis) -> Iterator[Web]:
    call_command("seed", verbosity=0)
    with daphne() as running:
        yield running


# --- headers -------------------------------------------------------------------------------------

ADDRESSES = [
    "/", "/scanner", "/funding", "/opportunities", "/health/", "/admin/", "/admin/markets/exchange/",
    "/jsi18n/",
    "/nothing", "/admin/jsi18n/", "/accounts/login/", "/api/charts", "/api/health", "/api/pins",
    "/api/scanner.csv", "/metrics", "/healthz", "/readyz", "/api/nothing", "/api/charts?x=1",
    "/static/nothing", "/scanner?x=%00", "/api/dashboard_data?filter=1", "/admin/autocomplete/?app_label=a",
]  # fmt: skip


def test_no_answer_is_kept_and_none_is_for_another_site(web: Web) -> None:
    """Whether somebody is signed in or not, and refusals as well."""
    roles = Roles()
    for name in ("administrator", "anonymous", "token admin"):
        for address in ADDRESSES:
            answer = requests.get(
                web.url + address, headers=roles.headers(name), timeout=30, allow_redirects=False
            )
            said = {key.lower(): value for key, value in answer.headers.items()}
            assert "no-store" in said["cache-control"], address
            assert "camera=()" in said["permissions-policy"], address
            for key, value in {
                "referrer-policy": "same-origin",
                "cross-origin-opener-policy": "same-origin",
                "cross-origin-resource-policy": "same-origin",
                "x-content-type-options": "nosniff",
            }.items():
                assert said[key] == value, (address, key)


def test_static_files_may_be_kept_and_are_all_there_is(web: Web) -> None:
    """Nothing but them, whichever way a path is written."""
    kept = requests.get(f"{web.url}/static/css/site.css", timeout=30)
    assert "no-store" not in kept.headers["Cache-Control"]
    for path in (
        "/static/", "/static", "/static/css/", "/static/css", "/static//css/site.css",
        "/static/../manage.py", "/static/css/../../manage.py", "/static/%2e%2e/manage.py",
        "/static/..%2fmanage.py", "/static/%2fetc/passwd", "/static/css/..%5c..%5cmanage.py",
        "/static/css/site.css%00", "/static/vendor/uplot/../../../package.json", "/static/.git/config",
        "/static/css/site.css/", "/static/%c0%ae%c0%ae/manage.py", "/.env", "/var/",
    ):  # fmt: skip
        with requests.Session() as session:
            request = requests.Request("GET", web.url).prepare()
            request.url = web.url + path  # as it is written: a library would tidy it up
            answer = session.send(request, timeout=30, allow_redirects=False)
        assert answer.status_code in (301, 400, 404), (path, answer.status_code)
        assert "INSTALLED_APPS" not in answer.text
        assert "#!/usr/bin/env python" not in answer.text
        assert "Index of" not in answer.text


# --- cookies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("https", "prefix", "name"),
    [
        (True, "", "__Host-arbdesk_session_8000"),
        (True, "/desk/one", "__Secure-arbdesk_session_8000_desk_one"),
        (False, "", "arbdesk_session_8000"),
        (False, "/desk", "arbdesk_session_8000_desk"),
    ],
)
def test_a_cookie_is_named_after_its_desk(https: bool, prefix: str, name: str) -> None:
    assert cookie_name("session", https=https, prefix=prefix, port=8000) == name


@pytest.mark.parametrize("prefix", ["", "/desk"])
def test_browsers_hold_cookies_to_this_host_under_https(
    transactional_db: None, empty_redis: Redis, prefix: str
) -> None:
    with daphne(HTTPS="true", BEHIND_PROXY="true", URL_PREFIX=prefix, PORT="8123") as web:
        answer = requests.get(
            f"{web.url}{prefix}/accounts/login/", headers={"X-Forwarded-Proto": "https"}, timeout=30
        )
    name, _, rest = answer.headers["Set-Cookie"].partition("=")
    attributes = {each.strip().lower() for each in rest.split(";")[1:]}
    assert name == cookie_name("csrf", https=True, prefix=prefix, port=8123)
    assert {"secure", f"path={prefix}/", "samesite=lax"} <= attributes
    assert not any(each.startswith("domain") for each in attributes)


def test_two_desks_on_one_host_leave_each_other_signed_in(
    transactional_db: None, empty_redis: Redis, operator_client: Client, settings: Any
) -> None:
    """One browser at both: the other's cookies come along and change nothing."""
    names = {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME}
    with daphne(PORT="8999") as other:
        jar = requests.Session()
        jar.cookies.update({name: each.value for name, each in operator_client.cookies.items()})
        jar.get(f"{other.url}/accounts/login/", timeout=30)
        page = jar.get(f"{other.url}/scanner", timeout=30, allow_redirects=False)
    assert page.status_code == 302, "a session of one desk is none of the other"
    assert not names & {each.name for each in jar.cookies if each.value == ""}
    assert {each.name for each in jar.cookies} - names == {"arbdesk_csrf_8999"}


# --- lookups -------------------------------------------------------------------------------------


def test_no_list_answers_by_a_field_that_it_does_not_offer(rf: RequestFactory, operator: User) -> None:
    """Neither its own, nor through a relation, whatever the comparison; that pages keep to it follows."""
    request = rf.get("/")
    request.user = operator
    for model, of in admin.site._registry.items():
        listed = [each[0] if isinstance(each, tuple) else each for each in of.list_filter]
        named = [getattr(each, "parameter_name", None) or str(each) for each in (*listed, of.date_hierarchy)]
        shown = {each.split("__")[0] for each in named}
        for field in model._meta.concrete_fields:
            if field.name not in shown and not field.primary_key:
                for lookup in ("", "__startswith", "__regex", "__isnull", "__gt", "__in"):
                    assert not of.lookup_allowed(f"{field.name}{lookup}", "a", request), (
                        model,
                        field,
                        lookup,
                    )
            if field.related_model is not None:
                for secret in ("password__startswith", "sealed_secret__startswith", "digest__gt"):
                    allowed = of.lookup_allowed(f"{field.name}__{secret}", "a", request)
                    there = {each.name for each in field.related_model._meta.get_fields()}
                    assert not allowed or secret.split("__")[0] not in there, (model, field, secret)


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("/admin/monitoring/alertrule/", "channels__sealed_secret__startswith"),
        ("/admin/monitoring/alertrule/", "channels__settings__url__startswith"),
        ("/admin/monitoring/delivery/", "channel__sealed_secret__startswith"),
        ("/admin/monitoring/delivery/", "message__title__startswith"),
        ("/admin/monitoring/alertchannel/", "sealed_secret__startswith"),
        ("/admin/monitoring/alertchannel/", "settings__url__contains"),
        ("/admin/markets/exchange/", "sealed_proxy__startswith"),
        ("/admin/markets/pinnedchart/", "user__password__startswith"),
        ("/admin/markets/pinnedchart/", "user__api_tokens__digest__startswith"),
        ("/admin/markets/identitycase/", "decided_by__password__startswith"),
        ("/admin/realtime/apitoken/", "digest__startswith"),
        ("/admin/realtime/apitoken/", "user__password__startswith"),
        ("/admin/auth/user/", "password__startswith"),
        ("/admin/auth/user/", "api_tokens__digest__startswith"),
        ("/admin/auth/user/", "groups__user__password__startswith"),
        ("/admin/auth/group/", "user__password__startswith"),
        ("/admin/axes/accesslog/", "session_hash__startswith"),
        ("/admin/markets/exchange/", "_to_field=sealed_proxy"),
        ("/admin/auth/user/", "_to_field=password"),
        ("/admin/auth/user/", "_popup=1&_to_field=password"),
    ],
)
def test_secrets_cannot_be_guessed(operator_client: Client, address: str, asked: str) -> None:
    answer = operator_client.get(f"{address}?{asked}{'' if '=' in asked else '=a'}")
    assert answer.status_code in (302, 400), answer.status_code


def test_what_lists_offer_still_works(operator_client: Client, empty_redis: Redis) -> None:
    call_command("seed", verbosity=0)
    exchange = Exchange.objects.first()
    assert exchange is not None
    for address, asked in (
        ("/admin/markets/symbol/", f"instruments__exchange__id__exact={exchange.pk}"),
        ("/admin/markets/exchange/", "enabled__exact=1"),
        ("/admin/markets/exchange/", f"pk__in={exchange.pk}"),
        ("/admin/markets/instrument/", "symbol__enabled__exact=1"),
        ("/admin/markets/instrument/", "own_taker_fee__isempty=1"),
        ("/admin/auth/user/", "is_staff__exact=1"),
        ("/admin/monitoring/alert/", "rule__id__exact=1&state__exact=firing"),
        ("/admin/monitoring/alert/", "fired_at__year=2026"),
        ("/admin/opportunities/opportunityepisode/", "state=closed"),
        ("/admin/markets/exchange/", "_popup=1&_to_field=id"),
    ):
        answer = operator_client.get(f"{address}?{asked}")
        assert answer.status_code == 200, (address, asked)


def test_neither_order_nor_search_nor_suggestions_reach_a_secret(operator_client: Client) -> None:
    channel = AlertChannel(name="w", kind="webhook", settings={"url": "https://example.com/"})
    channel.sealed_secret = "abcdef"
    channel.save()
    for address in ("/admin/monitoring/alertchannel/", "/admin/auth/user/", "/admin/realtime/apitoken/"):
        for order in ("99", "-99", "x", "1.99", "sealed_secret", "9" * 400, "\ud7ff", "-", "..", "0"):
            assert operator_client.get(address, {"o": order}).status_code in (200, 302, 400), (address, order)
    for term in ("abc", "abcdef"):
        assert (
            "1 alert channel"
            not in operator_client.get("/admin/monitoring/alertchannel/", {"q": term}).content.decode()
        )
    viewer = signed_in(member("viewer"))
    for model, field in (
        ("apitoken", "user"), ("alertrule", "channels"), ("alertchannel", "sealed_secret"),
        ("user", "password"), ("delivery", "channel"), ("pinnedchart", "user"), ("nothing", "x"), ("", ""),
    ):  # fmt: skip
        for app in ("monitoring", "realtime", "auth", "markets", "nothing", "\ud7ff"):
            answer = viewer.get(
                "/admin/autocomplete/",
                {"app_label": app, "model_name": model, "field_name": field, "term": "p"},
            )
            assert answer.status_code == 403, (app, model, field)
