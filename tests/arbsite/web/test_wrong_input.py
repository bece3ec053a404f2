"""Wrong input is a 400 that names it, on every door; only an outage is called one."""

import io
import logging
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import ProgrammingError
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from redis import Redis

from arbsite.logs import LONGEST, CountingHandler, JsonFormatter
from markets.models import Symbol
from monitoring.pages.symbols import decode_health_message
from realtime.charts.wire import decode_client_message
from realtime.scanner.messages import decode_scan_message
from tests.arbsite.test_logs import lines

pytestmark = pytest.mark.django_db(transaction=True)

SYMBOLS = "/admin/markets/symbol/"
DATED = [
    (reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"), of.date_hierarchy)
    for model, of in admin.site._registry.items()
    if of.date_hierarchy
]


@pytest.fixture
def browser(transactional_db: None, empty_redis: Redis, operator: User) -> Client:
    """The operator's, on a seeded desk; a failure is a 500, as people see it."""
    call_command("seed", verbosity=0)
    client = Client(raise_request_exception=False)
    client.force_login(operator)
    return client


def refused(response: Any, *words: str) -> None:
    """It is a 400 that says these words."""
    said = response.content.decode()
    assert response.status_code == 400, (response.status_code, said[-300:])
    for word in words:
        assert word in said


class TestAdminLists:
    @pytest.mark.parametrize(("address", "date"), DATED)
    @pytest.mark.parametrize("year", ["9" * 400, "-" + "9" * 30, "1e400", "\0", "x" * 5000])
    def test_a_year_that_is_none(self, browser: Client, address: str, date: str, year: str) -> None:
        name = f"{date}__year"
        refused(browser.get(address, {name: year}), name)

    @pytest.mark.parametrize(("address", "date"), DATED)
    def test_the_ends_of_the_calendar(self, browser: Client, address: str, date: str) -> None:
        for moment in ("0001-01-01T00:00+23:59", "99999-01-01", "0000-01-01"):
            refused(browser.get(address, {f"{date}__gte": moment}), f"{date}__gte")
        for moment in ("0001-01-01", "9999-12-31"):
            assert browser.get(address, {f"{date}__gte": moment}).status_code == 200

    def test_a_wrong_filter_is_no_broken_database(self, browser: Client) -> None:
        refused(browser.get(SYMBOLS, {"instruments__exchange__id__exact": "x", "e": "1"}), "instruments__")

    @pytest.mark.parametrize("text", ["\0", "a\0b"])
    def test_nul_in_a_search_or_a_filter(self, browser: Client, text: str) -> None:
        for name in ("q", "kind", "kind__in", "enabled__exact"):
            refused(browser.get(SYMBOLS, {name: text}), name, "NUL")

    @pytest.mark.parametrize("row", ["x", "\0", "9" * 5000, "", "1e400", "[1]"])
    @pytest.mark.parametrize("action", ["enable", "delete_selected"])
    def test_an_action_for_what_is_no_row(self, browser: Client, row: str, action: str) -> None:
        refused(browser.post(SYMBOLS, {"action": action, "_selected_action": [row]}), "_selected_action")

    def test_a_choice_that_is_no_row(self, browser: Client) -> None:
        address = reverse("admin:markets_identitycase_add")
        for row in ("x", "9" * 5000, "1e400"):
            refused(browser.post(address, {"symbol": row}), "symbol")

    def test_an_action_over_more_than_a_thousand_rows(self, browser: Client) -> None:
        Symbol.objects.bulk_create(
            Symbol(name=f"C{n}/USDT", base=f"C{n}", quote="USDT", kind="spot", enabled=True)
            for n in range(1500)
        )
        rows = list(Symbol.objects.filter(name__startswith="C").values_list("pk", flat=True)[:1500])
        response = browser.post(SYMBOLS, {"action": "disable", "_selected_action": rows})
        assert response.status_code == 302
        assert not Symbol.objects.filter(pk__in=rows, enabled=True).exists()

    def test_more_than_it_takes_is_said(self, browser: Client, settings: Settings) -> None:
        settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 50
        rows = [str(n) for n in range(60)]
        refused(browser.post(SYMBOLS, {"action": "disable", "_selected_action": rows}), "more than 50 fields")


class TestPagesAndApis:
    @pytest.mark.parametrize(
        "address",
        ["/", "/scanner", "/opportunities", "/opportunities/explain", "/health/", "/accounts/login/"],
    )
    def test_nul_in_an_address(self, browser: Client, address: str) -> None:
        refused(browser.get(f"{address}?id=a%00b"), "id", "NUL")
        refused(browser.get(f"{address}?a%00b=1"), "NUL")

    @pytest.mark.parametrize("name", ["sessionid", "other"])
    def test_nul_in_a_cookie(self, browser: Client, settings: Settings, name: str) -> None:
        name = settings.SESSION_COOKIE_NAME if name == "sessionid" else name
        for address in ("/", "/api/charts", "/accounts/login/", "/admin/"):
            answer = Client(raise_request_exception=False).get(
                address, headers={"Cookie": f'{name}="abcdefghi\\000"'}
            )
            refused(answer, name)

    def test_nul_in_a_sign_in(self, browser: Client) -> None:
        stranger = Client(raise_request_exception=False)
        refused(stranger.post("/accounts/login/", {"username": "a\0", "password": "b"}), "username")
        refused(stranger.post("/accounts/login/?x=%00", {"username": "a", "password": "b"}), "x")

    @pytest.mark.parametrize("name", ["symbol", "zone", "start", "sort"])
    def test_a_very_long_parameter(self, browser: Client, name: str) -> None:
        answer = browser.get("/api/opportunities", {name: "x" * 100_000})
        refused(answer, name)
        assert len(answer.content) < 1000

    @pytest.mark.parametrize(
        "body", ["[" * 4000, '{"id": ' + "[" * 4000, '{"id": "\\ud800"}', '{"id": 1e400}', "", "null",
                 '{"id": "a\\u0000|b|c"}', "\udcff", '{"id": {"a": 1}}'],
    )  # fmt: skip
    def test_json_that_is_none(self, browser: Client, body: str) -> None:
        data = body.encode("utf-8", "surrogateescape")
        answer = browser.post("/api/pins", data, content_type="application/json")
        assert answer.status_code in (400, 404), answer.content

    def test_a_view_with_nul_names_the_field(self, browser: Client) -> None:
        for body in ('{"name": "a\\u0000"}', '{"name": "a", "query": "search=a\\u0000"}'):
            answer = browser.post("/api/scanner/views", body, content_type="application/json")
            refused(answer, "query" if "query" in body else "name")

    def test_a_fault_of_ours_is_no_outage(self, browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken() -> None:
            raise ProgrammingError("no such column")

        monkeypatch.setattr("realtime.charts.api.load_config", broken)
        assert browser.get("/api/charts").status_code == 500


@pytest.mark.parametrize("decode", [decode_client_message, decode_scan_message, decode_health_message])
@pytest.mark.parametrize(
    "text", ["[" * 60_000, '{"type": "ack", "seq": 1e400}',
             '{"x":' * 10_000, '{"type": "\ud800"}', '{"type": []}', "null", "", "\0"],
)  # fmt: skip
def test_what_sockets_cannot_read_has_words(decode: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode(text)


class TestTheLog:
    @pytest.fixture
    def log(self) -> tuple[logging.Logger, io.StringIO]:
        written = io.StringIO()
        handler = CountingHandler(written)
        handler.setFormatter(JsonFormatter())
        logger = logging.Logger("desk")
        logger.addHandler(handler)
        return logger, written

    def test_made_up_names_do_not_fill_it(self, log: tuple[logging.Logger, io.StringIO]) -> None:
        logger, written = log
        for number in range(5000):
            logger.warning("Not Found: %s", f"/{number}")
        assert len(lines(written)) == 100
        logger.handlers[0]._repeats.flush()  # type: ignore[attr-defined]
        assert lines(written)[-1]["message"] == "Not Found: /100 … 4900 more of this kind in the last minute"

    def test_nor_do_their_tracebacks(self, log: tuple[logging.Logger, io.StringIO]) -> None:
        logger, written = log
        for number in range(500):
            try:
                raise OSError(number)
            except OSError:
                logger.exception("Internal Server Error: /%s", number)
        assert len(lines(written)) == 5
        logger.handlers[0]._repeats.flush()  # type: ignore[attr-defined]
        assert "495 more of this kind" in lines(written)[-1]["message"]

    def test_another_fault_is_still_reported(self, log: tuple[logging.Logger, io.StringIO]) -> None:
        logger, written = log
        for number in range(50):
            try:
                raise OSError(number) if number < 49 else KeyError("another")
            except (OSError, KeyError):
                logger.exception("Internal Server Error: /%s", number)
        assert "KeyError" in lines(written)[-1]["traceback"]

    def test_a_line_has_an_end(self, log: tuple[logging.Logger, io.StringIO]) -> None:
        logger, written = log
        logger.warning("Not Found: %s", "x" * 100_000)
        assert len(lines(written)[0]["message"]) <= LONGEST + 1
