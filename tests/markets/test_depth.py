"""Order books that are wanted: pinned ones, those of filters, and the rule; and the pages that say so."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from markets.config import DepthConfig
from markets.follow.runtime import CollectorStatus
from markets.models import DepthSettings, Instrument, OpportunityFilter, Symbol
from markets.seed import seed
from markets.selectors import current_revision, load_config

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_redis")]

INSTRUMENTS = reverse("admin:markets_instrument_changelist")


@pytest.fixture
def desk() -> None:
    seed()


@pytest.fixture
def pages(desk: None, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


def instrument(exchange: str, symbol: str = "BTC/USDT") -> Instrument:
    return Instrument.objects.get(exchange__key=exchange, symbol__name=symbol)


def follow(symbols: str, **values: object) -> OpportunityFilter:
    """A filter whose order books are followed."""
    return OpportunityFilter.objects.create(name=symbols, symbols=symbols, follow_depth=True, **values)


def act(client: Client, action: str, *rows: Instrument) -> None:
    form = {"action": action, "_selected_action": [row.pk for row in rows]}
    assert client.post(INSTRUMENTS, form).status_code == 302


class TestWanted:
    def test_a_new_desk_follows_none(self, desk: None) -> None:
        assert load_config().depth == DepthConfig()

    def test_a_filter_says_so_for_the_instruments_of_its_pairs(self, desk: None) -> None:
        follow("BTC/USDT")
        wanted = load_config().depth.instruments
        charts = [chart for chart in load_config().opportunities if chart.symbol == "BTC/USDT"]
        assert {market for market, _symbol in wanted} == {
            key for chart in charts for key in (chart.exchange1, chart.exchange2)
        }
        assert {symbol for _market, symbol in wanted} == {"BTC/USDT"}
        assert len(set(wanted)) == len(wanted)

    def test_so_does_one_that_draws_no_charts(self, desk: None) -> None:
        follow("ETH/USDT", charted=False)
        assert {symbol for _market, symbol in load_config().depth.instruments} == {"ETH/USDT"}

    def test_one_that_is_disabled_does_not(self, desk: None) -> None:
        follow("BTC/USDT", enabled=False)
        assert load_config().depth.instruments == ()

    def test_pinned_ones_go_first(self, desk: None) -> None:
        follow("BTC/USDT")
        Instrument.objects.filter(pk=instrument("okx", "ETH/USDT").pk).update(depth_pinned=True)
        assert load_config().depth.instruments[0] == ("okx", "ETH/USDT")

    def test_what_is_not_collected_is_not_wanted(self, desk: None) -> None:
        Instrument.objects.filter(pk=instrument("okx").pk).update(depth_pinned=True)
        Symbol.objects.filter(name="BTC/USDT").update(enabled=False)
        assert load_config().depth.instruments == ()

    def test_an_alias_is_followed_under_its_own_name(self, desk: None) -> None:
        Instrument.objects.filter(pk=instrument("okx").pk).update(enabled=False)
        other = instrument("okx", "ETH/USDT")
        Instrument.objects.filter(pk=other.pk).update(
            counts_as=Symbol.objects.get(name="BTC/USDT"), multiplier=2, depth_pinned=True
        )
        assert load_config().depth.instruments == (("okx", "ETH/USDT"),)

    def test_the_rule_and_the_budget_are_settings(self, desk: None) -> None:
        DepthSettings.objects.create(top=5, stay_s=60, most=20)
        assert load_config().depth == DepthConfig((), 5, 60.0, 20)


class TestPages:
    def test_instruments_are_pinned_and_unpinned_by_an_action(self, pages: Client) -> None:
        before = current_revision()
        act(pages, "follow_books", instrument("okx"), instrument("gate"))
        assert load_config().depth.instruments == (("gate", "BTC/USDT"), ("okx", "BTC/USDT"))
        assert current_revision() == before + 1
        assert LogEntry.objects.filter(change_message="Order book pinned.").count() == 2
        act(pages, "leave_books", instrument("gate"))
        assert load_config().depth.instruments == (("okx", "BTC/USDT"),)

    def test_a_pin_that_is_there_moves_nothing(self, pages: Client) -> None:
        act(pages, "follow_books", instrument("okx"))
        before = current_revision()
        act(pages, "follow_books", instrument("okx"))
        assert current_revision() == before

    def test_the_settings_say_what_collectors_follow_and_what_has_no_room(
        self, pages: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        books = {
            "followed": 3, "known": 2, "levels": 900, "topics": 3, "updates": 70, "updates_per_s": 21.4,
            "most": 3, "refused": 1, "refused_books": ["ETH/USDT on okx"],
        }  # fmt: skip
        status = CollectorStatus(shard="1/1", books=books)
        monkeypatch.setattr("markets.admin.depth.collector_statuses", lambda: [status])
        page = pages.get(reverse("admin:markets_depthsettings_changelist"), follow=True).content.decode()
        assert "3 followed of 3 at most, 2 of them known, 3 topics" in page
        assert "21 updates a second" in page
        assert "No room for 1: ETH/USDT on okx" in page

    def test_without_a_collector_they_say_so(self, pages: Client) -> None:
        page = pages.get(reverse("admin:markets_depthsettings_changelist"), follow=True).content.decode()
        assert "no collector is running" in page
