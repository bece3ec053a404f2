"""The JSON APIs and API tokens, asked over HTTP from a real Daphne."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from accounts.tokens.tokens import InvalidToken, good_token, make_token
from markets.config import MarketConfig
from markets.follow.runtime import CollectorStatus, report_status
from markets.models import OpportunityFilter
from markets.selectors import load_config
from tests.support.live import DEADLINE_S, Web, daphne, desk, eventually

pytestmark = pytest.mark.django_db(transaction=True)

BTC = "BTC/USDT|binance|bybit"


@pytest.fixture
def seeded(transactional_db: None, empty_redis: Redis) -> MarketConfig:
    call_command("seed")
    return load_config()


@pytest.fixture
def web(seeded: MarketConfig) -> Iterator[Web]:
    with daphne() as running:
        yield running


def get(url: str, token: str = "", cookie: str = "") -> tuple[int, str]:
    """(status, body) of a GET: of a program with a token, or of a browser."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers | ({"Cookie": cookie} if cookie else {}))
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


aget = sync_to_async(get, thread_sensitive=False)


def lines(body: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.splitlines()]


async def test_the_rolling_window_comes_one_chart_per_line_however_names_are_spelled(
    web: Web, seeded: MarketConfig, operator: User
) -> None:
    token, url = await database_sync_to_async(make_token)(operator, 1), f"{web.url}/api/rolling_window_data"
    async with desk(seeded) as running:
        running.quote("bybit", 100.0)
        running.quote("binance", 100.2)
        await eventually(lambda: running.sink.stats()["batches_published"] > 1, "the points are stored")
        for query in (
            "symbol=BTC/USDT&exchange1=binance&exchange2=bybit",
            "symbol=btcusdt&exchange1=Binance&exchange2=BYBIT",
            "symbol=BTC-USDT&exchange1=binance&exchange2=bybit",
        ):
            status, body = await aget(f"{url}?{query}", token)
            assert status == 200
            (chart,) = lines(body)
            assert (chart["id"], chart["state"]) == (BTC, "live")
            assert chart["spreads"][-1] == pytest.approx(0.2)
            assert len({len(values) for values in chart.values() if isinstance(values, list)}) == 1

        status, body = await aget(url, token)
        assert {chart["id"] for chart in lines(body)} == {o.id for o in seeded.opportunities}
        status, body = await aget(f"{url}?symbol=ETHUSDT", token)
        assert len(lines(body)) == 4


def test_a_pair_asked_for_the_other_way_round_is_answered_as_it_is_kept_and_says_so(
    web: Web, seeded: MarketConfig, operator: User
) -> None:
    OpportunityFilter.objects.create(name="All pairs", symbols="BTC/USDT")  # bybit comes first in some
    token, url = make_token(operator, 1), f"{web.url}/api/rolling_window_data"

    for query, kept in (
        ("symbol=BTCUSDT&exchange1=bybit&exchange2=binance", "exchange1=binance&exchange2=bybit"),
        ("symbol=BTCUSDT&exchange1=Bybit&exchange2=Binance", "exchange1=binance&exchange2=bybit"),
        ("symbol=BTCUSDT&exchange1=binance&exchange2=bybit", None),
        ("exchange1=binance", None),
    ):
        request = urllib.request.Request(f"{url}?{query}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.headers["X-Pair-Kept-As"] == kept
            charts = lines(response.read().decode())
        assert {(chart["exchange1"], chart["exchange2"]) for chart in charts} >= {("binance", "bybit")}
    status, body = get(f"{url}?symbol=NOPE&exchange1=bybit&exchange2=binance", token)
    assert (status, "'NOPE'" in json.loads(body)["error"]) == (404, True)


def test_what_does_not_exist_is_a_404_that_names_the_parameter_and_what_there_is(
    web: Web, operator: User
) -> None:
    token, url = make_token(operator, 1), f"{web.url}/api/rolling_window_data"
    for query, words in (
        ("symbol=NOPE", ["symbol", "'NOPE'", "BTC/USDT"]),
        ("symbol=BTCUSDT&exchange1=kraken", ["exchange1", "'kraken'", "binance"]),
        ("filter=77", ["filter", "Majors"]),
    ):
        status, body = get(f"{url}?{query}", token)
        assert status == 404, query
        error = json.loads(body)["error"]
        assert all(word in error for word in words), error

    status, body = get(f"{web.url}/api/charts?filter=77", token)
    assert (status, "Majors" in json.loads(body)["error"]) == (404, True)


def test_without_a_valid_sign_in_the_apis_answer_401_in_json(web: Web, operator: User) -> None:
    for path in ("rolling_window_data", "charts"):
        for token, word in (("", "api_token"), ("nonsense", "not valid")):
            status, body = get(f"{web.url}/api/{path}", token)
            assert (status, word in json.loads(body)["error"]) == (401, True)


def test_the_dashboard_learns_filters_and_charts(operator_client: Client, seeded: MarketConfig) -> None:
    answer = operator_client.get("/api/charts").json()
    (row,) = answer["filters"]
    assert answer["filter"] == {"id": row["id"], "name": "Majors"}
    assert (row["charts"], len(answer["charts"]), answer["revision"]) == (20, 20, seeded.revision)
    assert answer["min_spread_pct"] is None
    first = {"symbol": "BTC/USDT", "exchange1": "binance", "exchange2": "bybit", "id": BTC}
    assert any(first.items() <= chart.items() for chart in answer["charts"])
    assert operator_client.get(f"/api/charts?filter={row['id']}").json() == answer


# --- health --------------------------------------------------------------------------------------


async def test_health_gives_everybody_the_status_and_the_signed_in_the_rest(
    web: Web, seeded: MarketConfig, operator: User
) -> None:
    token, url = await database_sync_to_async(make_token)(operator, 1), f"{web.url}/api/health"
    status, body = await aget(url)
    assert status == 503, "no collector runs"
    assert set(json.loads(body)) == {"status", "version", "time"}

    async with AsyncRedis.from_url(_redis_url()) as redis:
        running = CollectorStatus("1/1", revision=seeded.revision, exchanges={"binance": {"state": "live"}})
        await report_status(redis, running)
        detail = await _health(url, token, lambda detail: detail["status"] == "ok")
        assert detail["saved_revision"] == seeded.revision
        assert (detail["database"], detail["redis"]) == ("ok", "ok")
        assert detail["collectors"][0]["exchanges"] == {"binance": {"state": "live"}}
        assert datetime.fromisoformat(detail["time"]).tzinfo is not None
        assert detail["web"].keys() >= {
            "sockets",
            "history_waiting",
            "requests_waiting",
            "requests_of_strangers_refused",
        }
        assert [beat["role"] for beat in detail["processes"]] == ["web"]

        await redis.delete("collector:1/1", "collectors")
        await report_status(redis, CollectorStatus("1/2", revision=seeded.revision))
        detail = await _health(url, token, lambda detail: detail["status"] == "degraded")
        assert [finding["key"] for finding in detail["findings"]] == ["process_missing:collector 2/2"]
        assert "No collector is running for shard 2/2" in detail["findings"][0]["words"]
        await report_status(redis, CollectorStatus("2/2", revision=seeded.revision))
        await _health(url, token, lambda detail: detail["status"] == "ok")


async def _health(url: str, token: str, until: Callable[[Any], bool]) -> Any:
    """The detail, once it is as it should be: a look is shared for a second."""
    deadline = time.monotonic() + DEADLINE_S
    while not until(detail := json.loads((await aget(url, token))[1])):
        assert time.monotonic() < deadline, detail
        await asyncio.sleep(0.1)
    return detail


def _redis_url() -> str:
    from django.conf import settings

    return str(settings.REDIS_URL)


def test_health_answers_503_without_a_traceback_when_a_server_is_gone(
    seeded: MarketConfig, operator: User
) -> None:
    gone = "unix:///nonexistent/redis.sock"
    with daphne(REDIS_URL=gone) as web:
        status, body = get(f"{web.url}/api/health")
        assert get(f"{web.url}/healthz") == (200, '{"status": "alive"}'), "restarting it would heal nothing"
        unready, why = get(f"{web.url}/readyz")
    assert (status, json.loads(body)["status"]) == (503, "down")
    assert unready == 503
    assert json.loads(why)["reasons"] == ["Redis: ConnectionError"]

    with daphne(DATABASE_URL="postgres://127.0.0.1:1/none") as web:
        status, body = get(f"{web.url}/api/health")
        unready, why = get(f"{web.url}/readyz")
        known = get(f"{web.url}/api/health", make_token(operator, days=1))
    assert (status, set(json.loads(body))) == (503, {"status", "version", "time"})
    assert (known[0], set(json.loads(known[1]))) == (503, {"status", "version", "time"})
    assert unready == 503
    assert "PostgreSQL" in why


# --- tokens --------------------------------------------------------------------------------------


def printed_token(*args: str) -> str:
    out = StringIO()
    call_command("api_token", *args, stdout=out)
    return out.getvalue().strip()


def test_the_command_prints_a_token_that_speaks_for_its_user(operator: User) -> None:
    token = printed_token("operator")
    assert good_token(token).user == operator
    assert Client(headers={"Authorization": f"Bearer {token}"}).get("/api/charts").status_code == 200


def test_a_new_password_a_deactivation_or_the_end_of_its_days_revokes_a_token(operator: User) -> None:
    token = printed_token("operator", "--days", "1")
    operator.set_password("another horse battery staple")
    operator.save()
    with pytest.raises(InvalidToken, match="new password"):
        good_token(token)

    token = printed_token("operator")
    operator.is_active = False
    operator.save()
    with pytest.raises(InvalidToken, match="inactive"):
        good_token(token)

    with pytest.raises(InvalidToken, match="expired"):
        good_token(make_token(operator, days=-1))


def test_the_command_says_what_is_wrong(operator: User) -> None:
    with pytest.raises(CommandError, match="no active user 'nobody'"):
        call_command("api_token", "nobody")
    with pytest.raises(CommandError, match="--days"):
        call_command("api_token", "operator", "--days", "0")
