"""Every door of the API is strict: what would be passed over is refused, in JSON, with the fix in words."""

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from pytest_django import Settings
from redis import Redis

from accounts.access.guard import exchange_of
from accounts.tokens.tokens import make_token
from history.lake.tables import Lake
from history.read.exporting import finished_file
from markets.models import Exchange
from markets.selectors import load_config
from realtime.charts.api import _wanted
from tests.history.test_api import quotes
from tests.support.lakes.lake_data import write_quotes
from tests.support.live import daphne, database_url

pytestmark = pytest.mark.django_db(transaction=True)

PINS = "/api/pins"


def addresses(resolver: URLResolver | None = None, prefix: str = "/") -> list[str]:
    """Every address of the API that there is, out of the site's own table."""
    found = []
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            found += addresses(entry, path)
        elif isinstance(entry, URLPattern) and path.startswith("/api/"):
            found.append(path)
    return found


STRICT = [path for path in addresses() if path != "/api/health"]  # probes may add what they like there


def methods(path: str) -> tuple[str, ...]:
    """Methods that an address takes."""
    taken: tuple[str, ...] = getattr(resolve(path).func, "methods", ("GET",))
    return taken


READ = [path for path in STRICT if "GET" in methods(path)]


@pytest.fixture
def seeded(transactional_db: None, empty_redis: Redis, settings: Settings, tmp_path: Path) -> None:
    settings.LAKE_URL = str(tmp_path / "lake")
    call_command("seed", verbosity=0)


def refusal(response: Any, status: int) -> str:
    """The words of an error answer."""
    assert (response.status_code, response["Content-Type"]) == (status, "application/json"), response.content
    return str(response.json()["error"])


def test_there_are_doors_to_try() -> None:
    assert {"/api/dashboard_data", PINS, "/api/scanner.csv", "/api/opportunities"} <= set(STRICT)


@pytest.mark.parametrize("path", READ)
def test_a_parameter_that_does_not_exist_is_refused_and_named(
    seeded: None, operator_client: Client, path: str
) -> None:
    words = refusal(operator_client.get(f"{path}?pointz=50"), 400)
    assert "pointz" in words
    assert "this takes" in words


def test_the_parameter_that_was_meant_is_suggested(seeded: None, operator_client: Client) -> None:
    words = refusal(operator_client.get("/api/dashboard_data?symbol=BTCUSDT&pointz=50"), 400)
    assert "did you mean points?" in words


@pytest.mark.parametrize("path", ["/api/charts?filter=1&filter=2", "/api/dashboard_data?points=50&points=60"])
def test_a_parameter_given_twice_is_refused(seeded: None, operator_client: Client, path: str) -> None:
    assert "2 times" in refusal(operator_client.get(path), 400)


@pytest.mark.parametrize("path", STRICT)
def test_a_method_that_is_not_possible_is_refused_in_json(
    seeded: None, operator_client: Client, path: str
) -> None:
    response = operator_client.put(path, "{}", "application/json")
    words = refusal(response, 405)
    for method in methods(path):
        assert method in words
        assert method in response["Allow"]


@pytest.mark.parametrize(
    "path", ["/api", "/api/nothing", "/api/charts/", "/api/", "/api/history/quotes?symbol=BTCUSDT"]
)
def test_an_address_that_does_not_exist_is_refused_in_json(
    seeded: None, operator_client: Client, path: str
) -> None:
    assert "docs/api.md" in refusal(operator_client.get(path), 404)


@pytest.fixture
def program(seeded: None, operator: User) -> Client:
    """A program with a token and no cookies, checked as strictly as the world is."""
    token = make_token(operator, 1, scope="act")
    return Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {token}"})


def test_a_token_may_pin_a_chart_without_a_csrf_token(program: Client) -> None:
    chart = "BTC/USDT|binance|bybit"
    response = program.post(PINS, {"id": chart}, "application/json")
    assert (response.status_code, response.json()["pins"]) == (200, [chart])
    assert program.delete(f"{PINS}?id={chart}").json()["pins"] == []


def test_a_session_must_prove_that_the_change_comes_from_our_page(seeded: None, operator: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(operator)
    words = refusal(browser.post(PINS, {"id": "BTC/USDT|binance|bybit"}, "application/json"), 403)
    assert "X-CSRFToken" in words
    browser.get("/")  # its sign-out form sets the cookie
    token = browser.cookies[django_settings.CSRF_COOKIE_NAME].value
    body = {"id": "BTC/USDT|binance|bybit"}
    assert browser.post(PINS, body, "application/json", headers={"X-CSRFToken": token}).status_code == 200


def test_a_token_does_not_open_the_admin_to_forgery(program: Client) -> None:
    assert program.post("/admin/auth/user/add/", {}).status_code == 403


def test_the_healthcheck_asks_the_port_this_desk_serves() -> None:
    environment = os.environ | {"PORT": "18765", "ENV_FILE": "/dev/null"}
    done = subprocess.run(
        [sys.executable, "manage.py", "healthcheck", "web"],
        cwd=django_settings.BASE_DIR, env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "http://127.0.0.1:18765/healthz" in done.stderr


@pytest.mark.parametrize("format", ["csv", "ndjson", "parquet"])
def test_an_export_whose_reader_has_seen_enough_ends_in_silence(seeded: None, format: str) -> None:
    write_quotes(Lake(django_settings.LAKE_URL), quotes(20_000))
    environment = os.environ | {
        "DATABASE_URL": database_url(), "LAKE_URL": django_settings.LAKE_URL, "ENV_FILE": "/dev/null",
    }  # fmt: skip
    command = [sys.executable, "manage.py", "export", "quotes", "--format", format]
    with subprocess.Popen(
        command, cwd=django_settings.BASE_DIR, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as export:
        assert export.stdout
        assert export.stderr
        assert export.stdout.read(4)
        export.stdout.close()  # as head does
        words = export.stderr.read().decode()
        assert export.wait(60) == 0, words
    assert "CommandError" not in words
    assert "Traceback" not in words


def test_an_export_that_cannot_be_written_says_why(seeded: None, tmp_path: Path) -> None:
    write_quotes(Lake(django_settings.LAKE_URL), quotes(100))
    with pytest.raises(CommandError) as refused:
        call_command("export", "quotes", "-o", str(tmp_path / "missing" / "file.csv"))
    assert "None" not in str(refused.value)
    assert "No such file or directory" in str(refused.value)


ODD = (
    "\x00", "a\x00b", "9" * 400, "-1", "1e400", "nan", "inf", "٣", "0001-01-01", "9999-12-31T23:59:59.999999",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "253402300800", "../../etc/passwd", "💥", "%",
    "BTC/USDT|binance|binance", "a|b|c|d", "Etc/\x00", "\u202eBTC", "' OR 1=1 --", "BTC" * 200,
)  # fmt: skip
PARAMETERS = {
    "/api/dashboard_data": ("symbol", "exchange1", "exchange2", "filter", "start", "end", "points"),
    "/api/history/trades": ("symbol", "exchange", "start", "end", "points"),
    "/api/history/states": ("symbol", "exchange", "start", "end"),
    "/api/history/opportunities": ("symbol", "exchange1", "exchange2", "start", "end"),
    "/api/history/funding": ("symbol", "exchange", "start", "end", "points"),
    "/api/history/funding_spread": ("symbol", "exchange1", "exchange2", "start", "end", "points"),
    "/api/history/marks": ("symbol", "exchange", "start", "end", "points"),
    "/api/history/settlements": ("symbol", "exchange", "start", "end"),
    "/api/charts/pair": ("symbol", "exchange1", "exchange2"),
    "/api/funding": (
        "sort", "descending", "search", "exchanges", "min_spread", "hours", "offset", "limit",
    ),
    "/api/funding/net": ("symbol", "buy", "sell", "hours", "size", "borrow", "median_spread"),
    "/api/rolling_window_data": ("symbol", "exchange1", "exchange2", "filter"),
    "/api/charts": ("filter",),
    "/api/opportunities": ("symbol", "exchanges", "filter", "min_peak", "min_duration", "open", "start",
                           "end", "zone", "sort", "descending", "offset", "limit"),
    "/api/opportunities/distributions": ("symbol", "exchanges", "filter", "start", "end", "zone"),
    "/api/opportunities/statistics": ("symbol", "exchange1", "exchange2", "start", "end", "points"),
    "/api/opportunities/ranking": ("start", "end"),
    "/api/opportunities/ticks": ("id",),
    "/api/opportunities/explain": ("id", "symbol", "exchange1", "exchange2"),
    "/api/pins": (),
    "/api/health/hour": ("exchange", "symbol"),
    "/api/health/graph": ("graph", "range"),
}  # fmt: skip
SOUND = {
    "symbol": "BTCUSDT", "exchange": "okx", "exchange1": "binance", "exchange2": "bybit", "buy": "okx",
    "sell": "gate", "zone": "UTC",
    "id": "BTC/USDT|binance|bybit", "graph": "memory",
}  # fmt: skip


@pytest.mark.parametrize("path", PARAMETERS)
def test_whatever_a_parameter_holds_the_answer_is_no_failure_of_the_server(
    seeded: None, operator_client: Client, path: str
) -> None:
    names = PARAMETERS[path]
    sound = {name: SOUND[name] for name in names if name in SOUND and (name != "id" or len(names) == 1)}
    for name in names:
        for odd in ODD:
            query = sound | {name: odd}
            response = operator_client.get(path, query)
            assert response.status_code < 500, (query, response.content)
            if response.status_code >= 400:
                assert refusal(response, response.status_code)


@pytest.mark.parametrize("odd", ODD)
def test_whatever_is_to_be_pinned_the_answer_is_no_failure_of_the_server(program: Client, odd: str) -> None:
    assert program.post(PINS, {"id": odd}, "application/json").status_code in (400, 404)
    assert program.post(PINS, {"id": f"{odd}|binance|bybit"}, "application/json").status_code in (400, 404)
    assert program.delete(PINS, query_params={"id": odd}).status_code in (200, 400, 404)


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_method_that_is_not_taken_is_said_before_where_it_comes_from(
    seeded: None, operator: User, method: str, signed_in: bool
) -> None:
    browser = Client(enforce_csrf_checks=True)
    if signed_in:
        browser.force_login(operator)
    response = browser.generic(method, "/api/charts")
    assert "GET" in refusal(response, 405)
    assert response["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Token x"}, {"Authorization": "Basic eDp5"}])
def test_a_change_by_nobody_asks_for_a_sign_in(seeded: None, headers: dict[str, str]) -> None:
    browser = Client(enforce_csrf_checks=True, headers=headers)
    assert "Bearer" in refusal(browser.post(PINS, {"id": "x"}, "application/json"), 401)


@pytest.mark.parametrize(
    ("path", "named", "fix"),
    [
        ("/api/opportunities?exchanges=nope", "exchanges", "binance"),
        ("/api/opportunities/distributions?exchanges=binance,nope", "exchanges", "binance"),
        ("/api/opportunities?filter=99999", "filter", "there are"),
        ("/api/opportunities?filter=x", "filter", "a whole number"),
        ("/api/opportunities?min_peak=nan", "min_peak", "no number"),
        ("/api/opportunities?min_peak=x", "min_peak", "a number"),
        ("/api/opportunities?open=perhaps", "open", "true or false"),
        ("/api/opportunities?sort=Peak", "sort", "peak"),
        ("/api/opportunities?limit=201", "limit", "from 1 to 200"),
        ("/api/opportunities?start=200&end=100", "start", "before end"),
        ("/api/opportunities/distributions?start=200&end=100", "start", "before end"),
        ("/api/opportunities?start=1_000", "start", "seconds"),
        ("/api/opportunities?zone=UTC", "zone", "there is no such parameter"),
        ("/api/opportunities/distributions?sort=peak", "sort", "there is no such parameter"),
        ("/api/opportunities/explain?id=BTC/USDT|binance|bybit&symbol=BTC/USDT", "symbol", "either"),
        (
            "/api/history/opportunities?symbol=BTC/USDT&exchange1=okx&exchange2=OKX",
            "exchange2",
            "the same as exchange1",
        ),
        ("/api/scanner.csv?exchanges=nope", "exchanges", "binance"),
        ("/api/scanner.csv?filter=99999", "filter", "there are"),
        ("/api/scanner.csv?min_edge=inf", "min_edge", "no number"),
        ("/api/health/hour?exchange=nope&symbol=BTC/USDT", "exchange", "binance"),
        ("/api/health/hour?exchange=okx&symbol=NOPE/USDT", "symbol", "/health/"),
        ("/api/health/hour?exchange=okx", "symbol", "missing"),
        ("/api/health/graph?graph=nope", "graph", "memory"),
        ("/api/history/trades?symbol=" + "A" * 5000 + "&exchange=okx", "symbol", "longer than"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_what_can(
    seeded: None, operator_client: Client, path: str, named: str, fix: str
) -> None:
    response = operator_client.get(path)
    assert response.status_code in {400, 404}
    words = response.json()["error"]
    assert words.startswith(f"{named}: ")
    assert fix in words
    assert len(words) < 1500


def test_an_exchange_is_named_in_any_spelling_everywhere(seeded: None, operator_client: Client) -> None:
    for path in (
        "/api/opportunities?exchanges=Binance, BYBIT",
        "/api/opportunities/distributions?exchanges=Binance,bybit",
        "/api/scanner.csv?exchanges=Binance",
        "/api/health/hour?exchange=OKX&symbol=btcusdt",
    ):
        assert operator_client.get(path).status_code == 200, path


def test_an_exchange_is_meant_exactly_before_it_is_meant_loosely(
    seeded: None, operator_client: Client
) -> None:
    """The first whose key or name was spelled alike was taken, though another is called exactly so."""
    Exchange.objects.filter(key="binance").update(name="OKX")
    Exchange.objects.filter(key="okx").update(name="Okex")
    chosen = exchange_names_and_keys()
    assert exchange_of(chosen, "okx", "exchange1") == "okx", "a key"
    assert exchange_of(chosen, "OKX", "exchange1") == "binance", "a name"
    assert exchange_of(chosen, " okex ", "exchange1") == "okx"
    Exchange.objects.filter(key="gate").update(name="BY-BIT")
    Exchange.objects.filter(key="bybit").update(name="BitHouse")
    assert exchange_of(exchange_names_and_keys(), "ByBit", "exchange1") == "bybit", "keys go before names"
    Exchange.objects.filter(key="mexc").update(name="Bit-House")
    query = "symbol=BTC/USDT&exchange1=bithouse&exchange2=kucoin"
    response = operator_client.get(f"/api/opportunities/explain?{query}")
    words = refusal(response, 400)
    assert words.startswith("exchange1: 'bithouse' may be bybit or mexc")


def exchange_names_and_keys() -> list[tuple[str, str]]:
    return list(Exchange.objects.order_by("key").values_list("key", "name"))


def test_charts_take_an_exchange_by_its_name_too(seeded: None) -> None:
    Exchange.objects.filter(key="binance").update(name="Big B")
    one, other = (_wanted(load_config(), asked)[0] for asked in (asking("Big B"), asking("binance")))
    assert one == other
    assert {(each.exchange1, each.exchange2) for each in one} == {("binance", "bybit")}


def asking(exchange1: str) -> HttpRequest:
    return RequestFactory().get("/api/rolling_window_data", {"exchange1": exchange1, "exchange2": "Bybit"})


@pytest.mark.parametrize("path", ["/api/opportunities", "/api/opportunities/distributions"])
def test_a_list_of_exchanges_that_names_none_is_not_all_of_them(
    seeded: None, operator_client: Client, path: str
) -> None:
    assert "exchanges: ',' names none" in refusal(operator_client.get(f"{path}?exchanges=,"), 400)


@pytest.mark.parametrize("path", ["/api/health", "/health"])
def test_health_refuses_other_methods_in_json(seeded: None, operator_client: Client, path: str) -> None:
    response = operator_client.delete(path)
    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD"
    assert "GET, HEAD" in response.json()["error"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "it is empty; this takes a JSON object with id"),
        ("{", "it is no JSON"),
        ("[]", "it is no object"),
        ("{}", "id: missing"),
        ('{"id": 1}', "id: '1' must be text"),
        ('{"idd": "x"}', "idd: there is no such field; this takes id"),
    ],
)
def test_a_body_that_cannot_be_says_what_can(program: Client, body: str, words: str) -> None:
    response = program.post("/api/pins", body, content_type="application/json")
    assert words in refusal(response, 400)


def test_a_pin_may_name_the_exchanges_either_way_round(program: Client) -> None:
    one = program.post("/api/pins", '{"id": "BTC/USDT|binance|bybit"}', content_type="application/json")
    other = program.post("/api/pins", '{"id": "BTC/USDT|bybit|binance"}', content_type="application/json")
    assert one.json() == other.json()


def test_a_view_to_delete_must_be_named(program: Client) -> None:
    assert "name: missing" in refusal(program.delete("/api/scanner/views"), 400)


class TestWhereAnExportGoes:
    """Destinations that people pass to `-o` besides a new file."""

    def test_a_device_stays_what_it_is(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        with finished_file(pipe) as file:
            file.write(b"rows")
        assert os.read(reading, 10) == b"rows"
        assert pipe.is_fifo()

    def test_a_directory_is_refused_before_anything_is_read(self, tmp_path: Path) -> None:
        with pytest.raises(IsADirectoryError, match="name a file in it"), finished_file(tmp_path):
            pytest.fail("unreachable")
        assert list(tmp_path.parent.glob("*.part")) == []


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=x", "text/html"]
)
def test_a_body_of_another_type_is_read_or_refused_in_words(
    seeded: None, operator: User, content_type: str
) -> None:
    """By the real server, whose own parser used to answer before Django, with an empty 400."""
    with daphne() as web:
        bearer = f"Bearer {make_token(operator, 1, scope='act')}"
        token = {"Authorization": bearer, "Content-Type": content_type}
        for body in (b'{"id": "BTC/USDT|binance|bybit"}', b"--x\r\n"):
            connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
            connection.request("POST", PINS, body, token)
            answer = connection.getresponse()
            found = json.loads(answer.read())
            connection.close()
            assert "pins" in found if answer.status == 200 else found["error"]
