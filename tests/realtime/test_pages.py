"""The pages as a client gets them: who may see them, what guards them, and what every one must show."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from pytest_django import Settings

from realtime.views import server_error

pytestmark = pytest.mark.django_db

PAGES = ["/", "/index.html", "/admin/", "/admin/markets/exchange/", "/admin/markets/exchange/add/?_popup=1"]
PUBLIC = ["/accounts/login/", "/admin/login/", "/nothing-here"]
TEMPLATES = sorted((settings.BASE_DIR / "templates").rglob("*.html"))


@pytest.fixture
def visitor() -> Client:
    """A browser in which nobody is signed in."""
    return Client()


@pytest.mark.parametrize("path", ["/", "/index.html"])
def test_the_charts_are_for_those_who_signed_in(visitor: Client, path: str) -> None:
    response = visitor.get(path)
    assert response.status_code == 302
    assert response["Location"] == f"/accounts/login/?next={path}"


def test_signing_in_leads_to_the_page_that_was_asked_for(visitor: Client, operator: User) -> None:
    answers = {"username": "operator", "password": "correct horse battery staple", "next": "/index.html"}
    assert visitor.post("/accounts/login/", answers)["Location"] == "/index.html"


def test_a_wrong_password_is_reported_and_the_name_stays(visitor: Client, operator: User) -> None:
    page = visitor.post("/accounts/login/", {"username": "operator", "password": "wrong"}).content.decode()
    assert "Please enter a correct username and password" in page
    assert 'value="operator"' in page
    assert 'role="alert"' in page


def test_logging_out_needs_a_post_and_ends_the_session(operator_client: Client) -> None:
    assert operator_client.get("/accounts/logout/").status_code == 405
    assert operator_client.post("/accounts/logout/")["Location"] == "/accounts/login/"
    assert operator_client.get("/").status_code == 302


def test_the_header_leads_to_admin_and_health(operator_client: Client) -> None:
    page = operator_client.get("/").content.decode()
    assert 'href="/admin/"' in page
    assert 'href="/health/"' in page
    assert 'action="/accounts/logout/"' in page


def test_without_staff_rights_there_is_no_link_to_an_admin_that_would_refuse(visitor: Client) -> None:
    visitor.force_login(User.objects.create_user("trader"))
    page = visitor.get("/").content.decode()
    assert "/admin/" not in page.replace("/static/admin/", "")


def test_exchange_names_are_escaped_into_the_page(operator_client: Client) -> None:
    from markets.models import Exchange

    Exchange.objects.create(key="odd", name='"><script>alert(1)</script>', taker_fee_bps=10, maker_fee_bps=10)
    page = operator_client.get("/").content.decode()
    assert "<script>alert" not in page
    assert "&quot;odd&quot;" in page


@pytest.mark.parametrize("path", [*PAGES, *PUBLIC])
def test_every_page_has_a_policy_that_allows_nothing_inline_and_nothing_foreign(
    operator_client: Client, visitor: Client, path: str
) -> None:
    response = (visitor if path in PUBLIC else operator_client).get(path)
    policy = dict(part.strip().split(" ", 1) for part in response["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == "'none'"
    assert "unsafe" not in response["Content-Security-Policy"]


@pytest.mark.parametrize("path", [*PAGES, *PUBLIC])
def test_no_page_has_an_inline_script_style_or_handler(
    operator_client: Client, visitor: Client, path: str
) -> None:
    page = (visitor if path in PUBLIC else operator_client).get(path).content.decode()
    assert "<html" in page
    assert not re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>", page)
    assert not re.findall(r"<style|\sstyle=|\son[a-z]+=", page)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_no_template_has_an_inline_script_style_or_handler(template: Path) -> None:
    text = template.read_text()
    assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son[a-z]+=", text)


@pytest.mark.parametrize("path", [*PAGES, *PUBLIC])
def test_a_simulated_feed_is_said_on_every_page(
    operator_client: Client, visitor: Client, settings: Settings, path: str
) -> None:
    client = visitor if path in PUBLIC else operator_client
    assert "SIMULATED" not in client.get(path).content.decode()
    settings.FEED = "sim"
    page = client.get(path).content.decode()
    assert page.count("SIMULATED") == 1
    assert "css/theme.css" in page, "the sheet that makes it impossible to overlook"


def test_a_page_that_broke_says_so_with_the_banner(rf: RequestFactory, settings: Settings) -> None:
    settings.FEED = "sim"
    response = server_error(rf.get("/"))
    assert response.status_code == 500
    assert "SIMULATED" in response.content.decode()
    assert "The server could not complete the request" in response.content.decode()


def test_the_javascript_catalogue_and_the_chart_library_are_served(visitor: Client) -> None:
    assert "gettext" in visitor.get("/jsi18n/").content.decode()
    dist = settings.BASE_DIR / "node_modules" / "uplot" / "dist"
    if not dist.exists():
        pytest.skip("node_modules is missing: make installs it")
    assert visitor.get("/static/vendor/uplot/uPlot.esm.js").status_code == 200
