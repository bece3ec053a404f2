"""In a real Chromium: an answer that comes late, or points that come again, do not replace what is newer."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from playwright.async_api import Browser, Page, Route, expect
from redis import Redis

from tests.support.browser import Complaints, profile, session_cookies
from tests.support.live import Web, daphne

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio(loop_scope="session"),
]


@pytest.fixture
def web(transactional_db: None, empty_redis: Redis) -> Iterator[Web]:
    call_command("seed")
    with daphne() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def page(web: Web, operator: User, chromium_running: Browser) -> AsyncIterator[Page]:
    """A signed-in tab; whatever it complained about meanwhile fails the test."""
    cookies = await database_sync_to_async(session_cookies)(operator, web.url)
    async with profile(chromium_running) as context:
        await context.add_cookies(cookies)
        tab, complaints = await context.new_page(), Complaints()
        complaints.watch(tab)
        yield tab
        assert complaints == []


async def test_an_explanation_that_comes_late_does_not_replace_a_newer_one(page: Page, web: Web) -> None:
    asked: list[Route] = []
    newer_shown, asked_again = asyncio.Event(), asyncio.Event()

    async def answer(route: Route) -> None:
        asked.append(route)
        number = len(asked)
        if number == 1:
            await newer_shown.wait()
        said = {"scanned": True, "summary": f"answer {number}", "directions": [], "currency": "USDT"}
        if number > 2:
            asked_again.set()
        else:
            await route.fulfill(body=json.dumps(said), content_type="application/json")

    await page.route("**/api/opportunities/explain*", answer)
    await page.goto(f"{web.url}/scanner")
    await page.locator("#rows tr .open").first.click()
    await expect(page.locator("#drawer-body")).to_have_text("answer 2")
    newer_shown.set()
    async with asyncio.timeout(15):
        await asked_again.wait()  # the first was answered meanwhile
    await expect(page.locator("#drawer-body")).to_have_text("answer 2")
    await page.unroute_all(behavior="ignoreErrors")


async def test_what_a_poll_says_does_not_replace_what_was_pushed_since(page: Page, web: Web) -> None:
    pushed = asyncio.Event()

    answers = iter(['{"status": "ok", "worst": ""}'])

    async def answer(route: Route) -> None:
        body = next(answers, '{"status": "down", "worst": "OKX"}')  # of the first question, then as it is
        await pushed.wait()
        await route.fulfill(body=body, content_type="application/json")

    await page.route("**/api/health/worst", answer)
    async with page.expect_request("**/api/health/worst"):
        await page.goto(f"{web.url}/scanner")
    await page.evaluate(
        """document.dispatchEvent(new CustomEvent("health", { detail: { status: "down", worst: "OKX" } }))"""
    )
    async with page.expect_response("**/api/health/worst"):
        pushed.set()
    assert await page.locator("#health-link").get_attribute("data-tone") == "down"


MESSAGES = """async () => {
  const { Store } = await import("/static/js/dashboard/store.js");
  const store = new Store();
  const receive = (type, seq, times, spreads) => store.take({ type, seq, until: seq, removed: [], charts: [{
    id: "A|b|c", ahead: 0, symbol: "A", exchange1: "b", exchange2: "c", state: "live", reason: "",
    timestamps: times,
    spreads, upperBand: spreads, lowerBand: spreads, edge12: spreads, edge21: spreads, size12: spreads,
    size21: spreads, age1: spreads, age2: spreads }] });
  const seen = [];
  const note = () => {
    const { latest, points } = store.charts.get("A|b|c");
    seen.push([latest.time, points.last]);
  };
  receive("snapshot", 10, [1, 2, 3], [1, 2, 3]); note();
  receive("delta", 11, [4, 5], [4, 5]); note();
  receive("delta", 12, [3, 4], [3, 4]); note();
  receive("delta", 13, [4, 5, 6], [4, 5, null]); note();
  receive("delta", 14, [5, 7], [5, 7]); note();
  receive("snapshot", 15, [2, 3], [2, 3]); note();
  return seen;
}"""


async def test_points_that_come_again_do_not_take_a_cards_figures_back(page: Page, web: Web) -> None:
    await page.goto(f"{web.url}/scanner")
    assert await page.evaluate(MESSAGES) == [[3, 3], [5, 5], [5, 5], [5, 6], [7, 7], [3, 3]]


SET_BACK = """async () => {
  const { Store } = await import("/static/js/dashboard/store.js");
  const store = new Store({ lost: false });
  const receive = (until, times) => store.take({ type: "delta", seq: 1, until, removed: [], charts: [{
    id: "A|b|c", symbol: "A", exchange1: "b", exchange2: "c", state: "live", reason: "", timestamps: times,
    spreads: times, upperBand: times, lowerBand: times, edge12: times, edge21: times, size12: times,
    size21: times, age1: times, age2: times, ahead: 0 }] });
  const seen = [];
  const note = () => {
    const chart = store.charts.get("A|b|c");
    seen.push([chart.latest.time, chart.points.last, chart.points.length, store.newest, chart.state()]);
  };
  receive(9003, [9000, 9001, 9002, 9003]); note();
  receive(5405, [5404, 5405]); note();
  receive(5406, [5406]); note();
  receive(5426, [5426]); note();
  receive(5407, [5407]); note();
  receive(5420, []); note();
  return seen;
}"""


async def test_a_clock_that_is_set_back_takes_the_charts_with_it(page: Page, web: Web) -> None:
    """By an hour, and by the 20 s that it was ahead: no point of the future keeps out those of now."""
    await page.goto(f"{web.url}/scanner")
    assert await page.evaluate(SET_BACK) == [
        [9003, 9003, 4, 9003, "live"], [5405, 5405, 3, 5405, "live"], [5406, 5406, 4, 5406, "live"],
        [5426, 5426, 5, 5426, "live"], [5407, 5407, 6, 5407, "live"], [5407, 5407, 6, 5407, "quiet"],
    ]  # fmt: skip


APART = """async () => {
  const { Store } = await import("/static/js/dashboard/store.js");
  const store = new Store({ lost: false });
  const said = (id, ahead, time) => ({
    id, symbol: "A", exchange1: "b", exchange2: "c", state: "live", reason: "", timestamps: [time],
    spreads: [1], upperBand: [1], lowerBand: [1], edge12: [1], edge21: [1], size12: [1], size21: [1],
    age1: [0], age2: [0], quoted1: time, quoted2: time, ahead });
  const receive = (until, ...charts) => store.take({ type: "delta", seq: 1, until, removed: [], charts });
  const seen = [];
  const note = () => seen.push([...store.charts.values()].map((chart) => [
    chart.state(), chart.time(store.heardUntil) - chart.quoted[0],
  ]));
  receive(9000, said("in time", 0, 9000), said("behind", -600, 8400), said("ahead", 60, 9060)); note();
  receive(9004); note();
  receive(9007, said("behind", -600, 8407)); note();
  return [store.newest, ...seen];
}"""


async def test_each_chart_is_held_against_the_clock_of_its_own_collector(page: Page, web: Web) -> None:
    await page.goto(f"{web.url}/scanner")
    assert await page.evaluate(APART) == [
        9007, [["live", 0]] * 3, [["live", 4]] * 3, [["quiet", 7], ["live", 0], ["quiet", 7]],
    ]  # fmt: skip


CLOCK = """async () => {
  const { ServerClock } = await import("/static/js/shared/clock.js");
  const clock = new ServerClock();
  const at = (stamp, seconds) => {
    clock.take(stamp, performance.now() - seconds * 1000);
    return Math.round(clock.now());
  };
  return [at(9000, 0), at(8996, 5), at(9020, 1), at(9017, 4), at(5420, 1), at(5421, 1)];
}"""


async def test_a_late_message_does_not_set_the_clock_back_but_the_servers_own_clock_does(
    page: Page, web: Web
) -> None:
    """A message may be as late as its question is old; what is older still was stamped by another clock."""
    await page.goto(f"{web.url}/scanner")
    assert await page.evaluate(CLOCK) == [9000, 9000, 9020, 9020, 5420, 5421]


async def test_the_newest_answer_counts_not_the_one_that_came_last(page: Page, web: Web) -> None:
    waiting: dict[str, asyncio.Future[Route]] = {name: asyncio.Future() for name in "1234"}
    await page.route("**/ask/*", lambda route: waiting[route.request.url[-1]].set_result(route))
    await page.goto(f"{web.url}/scanner")
    await page.evaluate(
        """async () => {
      const { Newest } = await import("/static/js/shared/requests.js");
      const questions = new Newest();
      for (const name of ["1", "2", "3", "4"]) {
        const note = ({ late }) => { document.body.dataset[`late${name}`] = late; };
        questions.request("GET", `/ask/${name}`).then(note);
      }
    }"""
    )
    for name, late in (("2", "false"), ("1", "true"), ("4", "false"), ("3", "true")):
        async with asyncio.timeout(15):
            route = await waiting[name]
        await route.fulfill(body="{}", content_type="application/json")
        await expect(page.locator("body")).to_have_attribute(f"data-late{name}", late)


async def test_a_page_in_place_of_an_answer_is_no_answer(page: Page, web: Web) -> None:
    """Some networks answer everything with a page of their own, and with status 200."""
    portal = "<h1>Sign in to the network</h1>"
    await page.route(
        "**/api/scanner/views", lambda route: route.fulfill(body=portal, content_type="text/html")
    )
    async with page.expect_response("**/api/scanner/views"):
        await page.goto(f"{web.url}/scanner")
    answer = await page.evaluate(
        """async () => {
            const { request } = await import("/static/js/shared/requests.js");
            return await request("GET", "/api/scanner/views");
        }"""
    )
    assert answer == {"status": 0, "answer": {}}
    await expect(page.locator("#views option:checked")).to_have_text("all pairs, best edge first")


async def test_an_edge_that_is_not_known_is_not_zero(page: Page, web: Web) -> None:
    """Of when a filter began to pass, the lake may know no edges: old rows have none."""
    await page.goto(f"{web.url}/scanner")
    words = await page.evaluate(
        """async () => {
            const { momentWords } = await import("/static/js/dashboard/words.js");
            const passing = { from: 50, to: 60, filter: 1, edge12: null, edge21: null };
            const marks = { downtime: [], passings: [passing], settlements: [], trades: null };
            const card = { window: { from: 0, to: 100 }, marks, currency: "USDT" };
            return momentWords(card, 100, 50);
        }"""
    )
    assert words == "▶ starts to pass the filter at –"
