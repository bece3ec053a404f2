"""Opportunities over HTTP: lists, distributions and ticks; the statistics of pairs and their verdicts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from msgspec import structs
from pytest_django import Settings
from redis import Redis

from engine.deviation import DeviationStatistics, DeviationTerms, Floats, Verdict, statistics
from history.lake.tables import Lake
from history.read.reader import LakeReader
from markets.config import ListingConfig
from markets.events import Episode, Quote, StreamState
from markets.selectors import load_config
from opportunities.episodes import Asked, episodes, in_order
from opportunities.models import OpportunityEpisode, VerdictThresholds
from opportunities.services import save_episodes
from opportunities.ticks import ticks
from opportunities.verdicts import reasons
from tests.engine.test_deviation import of, seconds, swings
from tests.opportunities.test_episodes import START_US, closed, episode
from tests.support.lakes.lake_data import write, write_quotes, write_states

pytestmark = pytest.mark.django_db

WAVE = (0.0, 0.2, 0.6, 0.2, 0.0, -0.2, -0.6, -0.2)
START = START_US // 1_000_000
FIRST = "00000000-0000-0000-0000-000000000001"
THRESHOLDS = "/admin/opportunities/verdictthresholds/"


@pytest.fixture
def lake(tmp_path: Path, settings: Settings, db: None, empty_redis: Redis) -> Lake:
    """The lake the site reads, empty."""
    settings.LAKE_URL = str(tmp_path / "lake")
    call_command("seed")
    return Lake(settings.LAKE_URL)


def store_spreads(
    lake: Lake, spreads: Sequence[float | None], symbol: str = "BTC/USDT", start_us: int = START_US
) -> None:
    """Points of a symbol on Binance and Bybit as the collector stores them, one a second."""
    count = len(spreads)
    names = {"symbol": symbol, "exchange1": "binance", "exchange2": "bybit"}
    rows: dict[str, Any] = {"ts_us": [start_us + i * 1_000_000 for i in range(count)], "spread": spreads}
    write(lake, "spreads", {name: [value] * count for name, value in names.items()} | rows)


def asked(path: str, client: Client, **query: Any) -> dict[str, Any]:
    response = client.get(f"/api/opportunities{path}?{urlencode(query)}")
    assert response.status_code == 200, response.content
    return dict(response.json())


def lines_of(path: str, client: Client, **query: Any) -> list[dict[str, Any]]:
    """Lines of a streamed answer."""
    response: Any = client.get(f"/api/opportunities{path}?{urlencode(query)}")
    assert response.status_code == 200, response.content

    async def pieces() -> bytes:
        return b"".join([piece async for piece in response])

    return [json.loads(line) for line in async_to_sync(pieces)().splitlines()]


def on(number: int, one: str, two: str, **changes: Any) -> Episode:
    return episode(number, exchange1=one, exchange2=two, buy_on=one, sell_on=two, **changes)


def started(minutes_ago: float) -> int:
    return int((timezone.now().timestamp() - minutes_ago * 60) * 1e6)


# --- lists ---------------------------------------------------------------------------------------


class TestAsked:
    def numbers(self, **wanted: Any) -> list[int]:
        return sorted(row.pk.int for row in episodes(Asked(**wanted)))

    def test_one_exchange_means_the_pairs_it_is_part_of_several_the_pairs_among_them(self, db: None) -> None:
        save_episodes([on(1, "binance", "bybit"), on(2, "bybit", "okx"), on(3, "okx", "gate")])
        assert self.numbers(exchanges=("bybit",)) == [1, 2]
        assert self.numbers(exchanges=("okx", "bybit")) == [2]
        assert self.numbers(exchanges=("okx", "bybit", "binance")) == [1, 2]

    @pytest.mark.parametrize(
        ("kind", "numbers"),
        [("spot-spot", [1]), ("swap-swap", [2]), ("spot-swap", [3, 4]), ("basis", [5, 6])],
    )
    def test_a_kind_of_pair_is_what_its_two_markets_make(
        self, kind: str, numbers: list[int], operator_client: Client, db: None
    ) -> None:
        pairs = (
            ("bybit", "gate"), ("bybit:swap", "gate:swap"), ("bybit", "gate:swap"), ("bybit:swap", "gate"),
            ("gate", "gate:swap"), ("gate:swap", "gate"),
        )  # fmt: skip
        save_episodes([on(n, *pair) for n, pair in enumerate(pairs, 1)])
        assert self.numbers(kind=kind) == numbers
        assert asked("", operator_client, kind=kind)["matches"] == len(numbers)
        assert asked("/distributions", operator_client, kind=kind)["routes"] == len(numbers)

    def test_a_kind_that_there_is_not_is_refused_with_those_there_are(
        self, operator_client: Client, db: None
    ) -> None:
        refused = operator_client.get("/api/opportunities?kind=futures")
        assert refused.status_code == 400
        assert "kind: 'futures' must be one of" in refused.json()["error"]
        assert "basis" in refused.json()["error"]

    def test_what_is_open_has_lasted_until_now(self, db: None) -> None:
        save_episodes([closed(episode(1), 900), closed(episode(2), 1000), episode(3, started_us=started(10))])
        assert self.numbers(min_duration_ms=1000) == [2, 3]
        assert self.numbers(min_duration_ms=3_600_000) == []

    def test_what_is_open_lasts_longest_and_equals_come_newest_first(self, db: None) -> None:
        stories = [closed(episode(1), 900), closed(episode(2), 5000), episode(3)]
        later = closed(episode(4, started_us=START_US + 1), 900)
        save_episodes([*stories, later])
        found = OpportunityEpisode.objects.all()
        assert [row.pk.int for row in in_order(found, "duration", True)] == [3, 2, 4, 1]
        assert [row.pk.int for row in in_order(found, "duration", False)] == [4, 1, 2, 3]


def test_episodes_come_in_pages_with_how_many_match(db: None, operator_client: Client) -> None:
    save_episodes([closed(episode(n, started_us=START_US + n), mean_edge_bps=float(n)) for n in range(1, 6)])
    found = asked("", operator_client, sort="mean", offset=1, limit=2, symbol="btc")
    assert (found["matches"], found["more"]) == (5, False)
    assert [row["mean_edge_bps"] for row in found["episodes"]] == [4, 3]
    first = found["episodes"][0]
    assert (first["symbol"], first["buy_on"], first["sell_on"]) == ("BTC/USDT", "bybit", "binance")
    assert (first["open"], first["duration_ms"], first["reason"]) == (False, 3400, "edge fell below 2.0 bps")


def test_a_period_is_of_the_start(db: None, operator_client: Client) -> None:
    save_episodes([episode(n, started_us=START_US + n * 1_000_000) for n in range(4)])
    assert asked("", operator_client, start=START + 1, end=START + 3)["matches"] == 2
    assert asked("", operator_client, start="2026-03-01T09:30:03Z")["matches"] == 1


def test_hours_are_those_of_the_viewers_zone(db: None, operator_client: Client) -> None:
    save_episodes([closed(episode())])  # 09:30 UTC
    hours = asked("/distributions", operator_client, zone="Asia/Kolkata")["hours"]
    assert [hour for hour, count in enumerate(hours) if count] == [15]
    durations = asked("/distributions", operator_client)["durations"]
    assert dict(zip(durations["edges_ms"], durations["counts"][1:], strict=True))[2500] == 1


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("sort=colour", "sort"),
        ("limit=100000", "limit"),
        ("start=yesterday", "start"),
        ("start=1772357400000", "milliseconds"),
        ("nonsense=1", "nonsense"),
        ("min_duration=-1", "min_duration"),
    ],
)
def test_what_cannot_be_asked_is_named(db: None, operator_client: Client, query: str, named: str) -> None:
    response = operator_client.get(f"/api/opportunities?{query}")
    assert response.status_code == 400
    assert named in response.json()["error"]


@pytest.mark.parametrize("path", ["", "/distributions", "/statistics", "/ranking", "/ticks"])
def test_the_apis_are_for_those_who_signed_in(db: None, path: str) -> None:
    assert Client().get(f"/api/opportunities{path}").status_code == 401


# --- statistics ----------------------------------------------------------------------------------


def test_the_statistics_of_a_known_wave_are_those_counted_by_hand(
    lake: Lake, operator_client: Client
) -> None:
    store_spreads(lake, list(WAVE) * 30)
    found = asked(
        "/statistics", operator_client,
        symbol="btcusdt", exchange1="Binance", exchange2="bybit", start=START, end=START + 240, points=1000,
    )  # fmt: skip
    numbers = found["statistics"]
    assert (numbers["points"], numbers["minutes"]) == (240, pytest.approx(239 / 60))
    assert numbers["cycles"] == 59, "the last way out does not come back"
    assert numbers["crossings_per_minute"] == pytest.approx(59 / (239 / 60))
    assert (numbers["events"], numbers["peaks"]) == (60, [0, 60, 0])
    assert numbers["mean_peak_pct"] == pytest.approx(0.6)
    assert numbers["time_above_pct"] == pytest.approx(60 / 239 * 100)
    assert numbers["asymmetry"] == pytest.approx(0, abs=1e-9)
    assert [reason["verdict"] for reason in found["reasons"]] == ["excellent"]
    assert found["sources"] == ["stored"]
    line = found["line"]
    assert line["timestamps"][:3] == [START, START + 1, START + 2]
    assert line["deviation_pct"][:8] == pytest.approx(list(WAVE), abs=1e-6)


def test_a_gap_breaks_the_line_and_completes_nothing(lake: Lake, operator_client: Client) -> None:
    store_spreads(lake, [0.0, 0.6, None, 0.0, -0.6, 0.0])
    found = asked(
        "/statistics", operator_client,
        symbol="BTC/USDT", exchange1="binance", exchange2="bybit", start=START, end=START + 6, points=100,
    )  # fmt: skip
    assert found["statistics"]["cycles"] == 1
    assert found["line"]["deviation_pct"][2] is None
    assert found["reasons"][0]["words"].startswith("5 points")


def test_a_pair_without_stored_spreads_is_judged_by_its_quotes(lake: Lake, operator_client: Client) -> None:
    write_quotes(lake, [
        Quote(exchange, "DOGE/USDT", bid, 1.0, bid * 1.01, 1.0, None, START_US + i * 1_000_000, i * 10**9)
        for i in range(120)
        for exchange, bid in (("okx", 100 + WAVE[i % 8]), ("gate", 100.0))
    ])  # fmt: skip
    found = asked(
        "/statistics", operator_client,
        symbol="DOGE/USDT", exchange1="okx", exchange2="gate", start=START, end=START + 120,
    )  # fmt: skip
    assert found["sources"] == ["computed"]
    assert found["statistics"]["cycles"] == 29
    assert "line" not in found


def test_statistics_look_at_a_day_at_most(lake: Lake, operator_client: Client) -> None:
    response = operator_client.get(f"/api/opportunities/ranking?start={START}&end={START + 90_000}")
    assert response.status_code == 400
    assert "start" in response.json()["error"]


def test_a_ranking_says_how_many_there_are_and_then_each(lake: Lake, operator_client: Client) -> None:
    store_spreads(lake, list(WAVE) * 30)
    store_spreads(lake, [i / 1000 for i in range(200)], symbol="ETH/USDT")
    store_spreads(lake, [0.1, None, 0.1], symbol="XRP/USDT")
    head, *rows = lines_of("/ranking", operator_client, start=START, end=START + 300)
    assert (head["pairs"], head["left_out"]) == (3, 0)
    by_symbol = {row["symbol"]: row for row in rows}
    assert by_symbol["BTC/USDT"]["cycles"] == 59
    assert {symbol: row["verdicts"] for symbol, row in by_symbol.items()} == {
        "BTC/USDT": ["excellent"],
        "ETH/USDT": ["trending"],
        "XRP/USDT": ["too little data"],
    }
    assert lines_of("/ranking", operator_client, start=1, end=2) == [
        {"pairs": 0, "left_out": 0, "start": 1, "end": 2}
    ]


def test_an_edited_threshold_changes_the_verdict(lake: Lake, operator_client: Client) -> None:
    store_spreads(lake, list(WAVE) * 30)
    VerdictThresholds(excellent_above_mean_peak_pct=0.7).save()
    _head, row = lines_of("/ranking", operator_client, start=START, end=START + 240)
    assert row["verdicts"] == ["ordinary"]
    assert "✕\u00a00.6 % mean peak, not above 0.7" in row["reasons"][0]


# --- verdicts in words ---------------------------------------------------------------------------


def words(found: DeviationStatistics, terms: DeviationTerms | None = None) -> dict[Verdict, str]:
    return {reason.verdict: reason.words for reason in reasons(found, terms or DeviationTerms())}


def test_each_verdict_names_the_threshold_that_decided() -> None:
    drifting = of(*(i / 100 - 1 for i in range(201)))
    assert "crossings per minute, below 1" in words(drifting)["trending"]
    assert "more than 50 %" in words(drifting)["never closes"]
    assert "at least 100 points and 1 min are needed" in words(of(0.1, -0.1))["too little data"]
    assert "✓\u00a0100 % of peaks above 0.5 %, above 20" in words(of(*swings(40, 0.8)))["excellent"]


def test_a_bias_says_whether_the_spread_or_the_deviation_leans() -> None:
    ratio = 1.01 + of_wave()
    leaning = words(statistics(seconds(len(ratio)), ratio))["biased"]
    assert leaning.startswith("the spread itself has an asymmetry of +")
    strict = DeviationTerms(biased_above_asymmetry=0.2)
    lopsided = of(*([0.6, -0.2, -0.2, -0.2] * 50), terms=strict)
    assert words(lopsided, strict)["biased"].startswith("the ")


def of_wave() -> Floats:
    """The wave as fractions."""
    return np.array(list(WAVE) * 30) / 100


# --- ticks ---------------------------------------------------------------------------------------


def quote(exchange: str, second: float, bid: float, ask: float, symbol: str = "BTC/USDT") -> Quote:
    us = START_US + int(second * 1e6)
    return Quote(exchange, symbol, bid, 1.0, ask, 2.0, None, us, us * 1000)


def edge(bid: float, ask: float, sell: str, buy: str) -> float:
    fees = {exchange.key: exchange.taker_fee_bps / 10_000 for exchange in load_config().exchanges}
    return bid * (1 - fees[sell]) / (ask * (1 + fees[buy])) * 10_000 - 10_000


def test_an_episodes_ticks_are_its_edge_out_of_both_legs_quotes(lake: Lake, operator_client: Client) -> None:
    save_episodes([closed(episode())])
    write_quotes(lake, [
        quote("bybit", -90, 99.9, 100.0), quote("binance", -80, 100.0, 100.1),
        quote("binance", 0, 101.0, 101.1), quote("binance", 2, 100.0, 100.1),
    ])  # fmt: skip
    down = StreamState("bybit", ("BTC/USDT",), "down", "no frame", START_US + 3_000_000, START_US * 1000)
    write_states(lake, [structs.replace(down, received_mono_ns=(START_US + 3_000_000) * 1000)])
    found = lines_of("/ticks", operator_client, id=OpportunityEpisode.objects.get().pk)
    low, high = edge(100.0, 100.0, "binance", "bybit"), edge(101.0, 100.0, "binance", "bybit")
    assert [row["timestamp"] - START for row in found] == [-60, 0, 2, 3], "it holds from before the picture"
    assert [row["edge"] for row in found[:3]] == pytest.approx([low, high, low], abs=1e-3)
    assert found[1]["spread"] == pytest.approx((101 / 99.9 - 1) * 100, abs=1e-5)
    assert found[1]["size"] == pytest.approx(100.0)
    assert found[3]["edge"] is None, "a side was down"


def test_an_episodes_spread_has_the_sign_of_its_direction(lake: Lake, operator_client: Client) -> None:
    save_episodes([closed(episode(buy_on="binance", sell_on="bybit"))])
    write_quotes(lake, [quote("binance", 0, 100.0, 100.1), quote("bybit", 0, 101.0, 101.1)])
    found = lines_of("/ticks", operator_client, id=OpportunityEpisode.objects.get().pk)
    (spread,) = {row["spread"] for row in found if row["spread"] is not None}
    assert spread == pytest.approx((101 / 100 - 1) * 100, abs=1e-5), "the place to sell is dearer"


def scaled(lake: Lake, listing: ListingConfig, bid: float) -> list[float]:
    """Edges of an episode that sells on Gate what is listed there as `listing`, at this recorded bid."""
    pair: dict[str, Any] = {"symbol": listing.counts_as, "exchange1": "gate", "exchange2": "bybit"}
    moment = episode().opened
    opened = structs.replace(moment, sell=structs.replace(moment.sell, exchange="gate", bid=100.4))
    save_episodes([closed(episode(**pair, buy_on="bybit", sell_on="gate", opened=opened, peak=opened))])
    write_quotes(lake, [
        quote("bybit", -1, 99.9, 100.0, listing.counts_as), quote("gate", 0, bid, bid * 1.01, listing.symbol),
    ])  # fmt: skip
    config = structs.replace(load_config(), listings=(listing,))
    row = OpportunityEpisode.objects.get()
    (frame,) = ticks(LakeReader(lake), config, row, START_US - 5_000_000, START_US + 5_000_000)
    return list(frame["edge"])


def test_prices_of_what_is_listed_by_the_thousand_are_those_of_one(lake: Lake) -> None:
    thousand = ListingConfig("gate", "1000PEPE/USDT", "1", "1000PEPE", "USDT", "PEPE/USDT", 1000.0)
    assert scaled(lake, thousand, 100_400.0) == pytest.approx([edge(100.4, 100.0, "gate", "bybit")])


def test_prices_in_another_currency_are_converted_as_at_the_opening(lake: Lake) -> None:
    in_usdc = ListingConfig("gate", "BTC/USDC", "1", "BTC", "USDC", "BTC/USDT")
    assert scaled(lake, in_usdc, 100.2) == pytest.approx([edge(100.4, 100.0, "gate", "bybit")])


def test_ticks_of_no_episode(lake: Lake, operator_client: Client) -> None:
    assert operator_client.get("/api/opportunities/ticks?id=first").status_code == 400
    assert operator_client.get(f"/api/opportunities/ticks?id={'0' * 32}").status_code == 404


# --- pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/statistics", f"/{FIRST}"])
def test_the_pages_are_for_those_who_signed_in(db: None, operator_client: Client, path: str) -> None:
    save_episodes([closed(episode(gates=("wallets: unknown",)))])
    address = f"/opportunities{path}" if len(path) < 20 else f"/opportunities/{FIRST}"
    assert Client().get(address).status_code == 302
    assert operator_client.get(address).status_code == 200


def test_the_page_of_an_episode_has_its_whole_story(db: None, operator_client: Client) -> None:
    save_episodes([closed(episode(), closed=None, reason="bybit: stream down: no frame for 20 s")])
    page = operator_client.get(f"/opportunities/{FIRST}").content.decode()
    for part in (
        "closed after 3.4 s: bybit: stream down",
        "+12.0 bps",
        "150 USDT",
        "wallets: unknown",
        "100.4",
    ):
        assert part in page
    missing = operator_client.get(f"/opportunities/{FIRST[:-1]}2")
    assert missing.status_code == 404


def test_thresholds_are_one_row_that_permission_opens(operator_client: Client, operator: User) -> None:
    assert operator_client.get(THRESHOLDS).headers["Location"].endswith("/add/")
    VerdictThresholds().save()
    assert operator_client.get(THRESHOLDS).headers["Location"].endswith("/1/change/")
    assert operator_client.get(f"{THRESHOLDS}add/").status_code == 403
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_verdictthresholds"))
    client = Client()
    client.force_login(viewer)
    page = client.get(f"{THRESHOLDS}1/change/").content.decode()
    assert 'name="neutral_pct"' not in page, "who may only view gets no fields"
