"""Messages to the health page: who gets which, their order, and what many viewers share."""

import json
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from msgspec import structs
from redis import Redis

from core.health.findings import Finding
from monitoring.health.assess import assess
from monitoring.health.observed import Limits
from monitoring.pages.feed import HealthFeed, HealthViewer
from monitoring.pages.graphs import thinned
from monitoring.pages.sections import sections
from monitoring.pages.symbols import Show, SymbolTable, decode_health_message
from monitoring.quality.wire import DOWN, LIVE, QUIET, STALE, SUSPECT, SYMBOL_STATES, Quality, SymbolState
from tests.support.observed import NOW, WELL, exchange, symbols


def shown(quality: Quality, **asked: Any) -> list[str]:
    return [row["symbol"] for row in json.loads(SymbolTable(quality).page(Show(**asked)))["rows"]]


# --- symbols -------------------------------------------------------------------------------------


def test_the_worst_symbols_come_first_and_of_each_state_the_longest_in_it() -> None:
    quality = symbols(LIVE, DOWN, SUSPECT, STALE, DOWN, QUIET)
    quality.rows["since_us"][4] -= 1
    assert shown(quality) == ["C4/USDT", "C1/USDT", "C3/USDT", "C2/USDT", "C5/USDT", "C0/USDT"]
    assert shown(quality, descending=False)[0] == "C0/USDT"


def test_symbols_are_searched_by_words_filtered_and_paged() -> None:
    quality = symbols(LIVE, DOWN, QUIET, STALE)
    assert shown(quality, search="OKX c2") == ["C2/USDT"]
    assert shown(quality, search="binance") == []
    assert shown(quality, exchange="okx", state="ill") == ["C1/USDT", "C3/USDT"]
    assert shown(quality, state="quiet") == ["C2/USDT"]
    assert shown(quality, sort="symbol", descending=False, offset=1, limit=2) == ["C1/USDT", "C2/USDT"]


def test_what_is_not_known_comes_last_either_way() -> None:
    quality = symbols(LIVE, LIVE, LIVE)
    quality.rows["age_ms"] = 5, np.nan, 7
    assert shown(quality, sort="age") == ["C2/USDT", "C0/USDT", "C1/USDT"]
    assert shown(quality, sort="age", descending=False) == ["C0/USDT", "C2/USDT", "C1/USDT"]
    page = json.loads(SymbolTable(quality).page(Show(sort="age", limit=3)))
    assert page["rows"][2]["age_ms"] is None
    assert (page["total"], page["matches"], page["states"]["live"]) == (3, 3, 3)


def test_a_table_of_nothing_can_be_asked_anything() -> None:
    assert shown(Quality(), search="btc", exchange="okx", sort="exchange") == []


@pytest.mark.parametrize(
    "text", ['{"type":"symbols","limit":100000}', '{"type":"symbols","sort":"x"}', '{"type":"rows"}', "\x00"]
)
def test_what_nobody_may_ask_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"docs/health\.md|Invalid|invalid|expected|JSON"):
        decode_health_message(text)


# --- sections ------------------------------------------------------------------------------------


def test_unhealthy_exchanges_and_processes_come_first() -> None:
    down = exchange(exchange="zzz", state="down", reason="refused")
    now = structs.replace(WELL, quality=Quality(at_us=NOW, exchanges=(exchange(), down)))
    finding = Finding("latency", "okx", "warning", NOW, "late", "wait")
    shown_sections = {name: json.loads(text) for name, text in sections(now, [finding]).items()}
    assert [row["id"] for row in shown_sections["exchanges"]] == ["zzz", "okx"]
    assert shown_sections["exchanges"][1]["findings"] == 1
    assert shown_sections["findings"][0] == {
        "id": "latency:okx", "kind": "latency", "subject": "okx", "severity": "warning",
        "since": NOW / 1e6, "words": "late", "remedy": "wait",
    }  # fmt: skip
    assert shown_sections["head"]["status"] == "degraded"
    assert {"collector 1/1", "worker"} <= {row["id"] for row in shown_sections["processes"]}


# --- graphs --------------------------------------------------------------------------------------


def test_lines_are_thinned_to_one_grid_by_mean_or_by_worst() -> None:
    now_s = 1_800_000_000
    points = [now_s - 120, now_s - 110, now_s - 30], [2.0, 4.0, 10.0]
    graph = thinned({"process|web|rss_mb": points, "process|web|loop_lag_ms": points}, "6h", now_s)
    mean, worst = graph.lines
    place = graph.times.index(now_s - 120)
    assert len(graph.times) == 360
    assert (mean.values[place : place + 2], worst.values[place : place + 2]) == ([3.0, 10.0], [4.0, 10.0])
    assert mean.values[place - 1] is None


# --- many viewers --------------------------------------------------------------------------------


class Paper:
    """A pipe that keeps what was sent."""

    ready = True

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, text: bytes) -> None:
        self.sent.append(json.loads(text))


@pytest.mark.django_db
async def test_a_viewer_is_sent_everything_and_then_only_what_differs(empty_redis: Redis) -> None:
    feed, papers = HealthFeed(), [Paper() for _ in range(100)]
    await feed.refresh()
    viewers = [HealthViewer(paper, feed, lambda closed: None, processes=True) for paper in papers]
    for viewer in viewers:
        viewer.show(Show())
    assert feed.made == 1  # for all of them
    assert {"head", "findings", "processes", "exchanges", "stores", "symbols"} <= papers[99].sent[0].keys()
    viewers[0].refreshed()
    assert len(papers[0].sent) == 1  # the first is not acked yet
    viewers[0].acked(1)
    viewers[0].refreshed()
    assert papers[0].sent[1] == {"type": "health", "seq": 2, "time": papers[0].sent[0]["time"]}


# --- over HTTP -----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_strangers_learn_one_word_and_the_time(client: Client, empty_redis: Redis) -> None:
    page = client.get("/health/").content.decode()
    main = page[page.index("<main") : page.index("</main>")]
    assert "down" in main  # no collector runs
    assert "UTC" in main
    assert "Redis" not in page
    assert "collector" not in page
    for path in ("page", "worst", "hour?exchange=okx&symbol=BTC/USDT", "graph?graph=memory"):
        assert client.get(f"/api/health/{path}").status_code == 401


@pytest.mark.django_db
def test_a_signed_in_user_gets_everything(client: Client, operator: User, empty_redis: Redis) -> None:
    client.force_login(operator)
    assert 'id="exchanges"' in client.get("/health/").content.decode()
    page = client.get("/api/health/page?state=ill&limit=10").json()
    assert (page["head"]["status"], page["symbols"]["rows"]) == ("down", [])
    assert client.get("/api/health/worst").json()["status"] == "down"
    assert client.get("/api/health/graph?graph=memory&range=7d").json()["lines"] == []
    hour = client.get("/api/health/hour?exchange=okx&symbol=BTC/USDT")
    assert hour.json() == {"minutes": []}
    refused = client.get("/api/health/graph?graph=weather")
    assert (refused.status_code, "docs/health.md" in refused.json()["error"]) == (400, True)


# --- one word per exchange -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "counts", "word"),
    [
        ("live", {"live": 3, "quiet": 1, "stale": 1}, "live"),
        ("live", {"stale": 22}, "stale"),
        ("live", {"stale": 22, "quiet": 2}, "stale"),
        ("live", {"suspect": 5}, "suspect"),
        ("live", {"suspect": 2, "stale": 3}, "stale"),
        ("live", {}, "live"),
        ("down", {"stale": 22}, "down"),
        ("breaker open", {"live": 3}, "breaker open"),
        ("idle", {}, "idle"),
    ],
)
def test_an_exchange_has_one_word_wherever_it_is_spoken_of(
    state: str, counts: dict[SymbolState, int], word: str
) -> None:
    row = exchange(state=state, symbols=dict.fromkeys(SYMBOL_STATES, 0) | counts, age_ms=60_000.0)
    now = structs.replace(WELL, quality=Quality(at_us=NOW, exchanges=(row,)))
    findings = assess(now, Limits())
    (row,) = json.loads(sections(now, findings)["exchanges"])
    assert row["state"] == word
    silent = [finding for finding in findings if finding.kind == "exchange_silent"]
    assert bool(silent) == (word not in ("live", "idle"))
