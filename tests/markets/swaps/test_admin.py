"""Pages of swaps: pairs of a kind all at once, the number of them first; kinds of filters; contract sizes."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry
from markets.models import Exchange, ExchangePair, FeeSchedule, Instrument, OpportunityFilter, Symbol
from markets.pairing import plan
from markets.seed import seed
from markets.selection import scan_pairs
from markets.selectors import current_revision, load_config
from tests.support.swaps import pair, swap

pytestmark = pytest.mark.django_db

BULK = "admin:markets_exchangepair_bulk"


@pytest.fixture
def pages(admin_client: Client) -> Client:
    seed()
    for key in ("binance", "gate", "okx"):
        swap(key)
    return admin_client


def exchanges(*keys: str) -> list[int]:
    return list(Exchange.objects.filter(key__in=keys).order_by("key").values_list("pk", flat=True))


def everything() -> list[Exchange]:
    return list(Exchange.objects.all())


# --- every pair of a kind --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "new", "scanned"),
    [("swap-swap", 28, 3), ("basis", 8, 3), ("spot-swap", 56, 3 * 7), ("spot-spot", 0, 0)],
)
def test_a_plan_counts_pairs_and_what_will_be_scanned(
    pages: Client, kind: str, new: int, scanned: int
) -> None:
    found = plan(kind, everything())

    assert (len(found.new), found.disabled) == (new, ())
    assert found.already == (28 if kind == "spot-spot" else 0)
    assert found.enabled == (28, 28 + new)
    assert found.scanned == (560, 560 + scanned)


def test_the_number_is_shown_before_anything_is_saved_and_is_what_then_comes(pages: Client) -> None:
    chosen = exchanges("binance", "gate", "okx")
    action = {"action": "all_swaps", "_selected_action": chosen}
    address = pages.post(reverse("admin:markets_exchange_changelist"), action).headers["Location"]
    revision = current_revision()

    page = pages.get(address)

    text = " ".join(page.content.decode().split())
    assert "3 pairs are added" in text
    assert "Enabled pairs of all kinds: 28 now, 31 then." in text
    assert "560 now, 563 then." in text
    assert ExchangePair.objects.count() == 28
    assert current_revision() == revision
    form = {"kind": "swap-swap", "exchanges": chosen, "confirmed": page.context["plan"].seal}
    answer = pages.post(reverse(BULK), form, follow=True)
    assert "3 more pairs are compared now." in answer.content.decode()
    assert {(row.key1, row.key2) for row in ExchangePair.objects.exclude(market1="spot")} == {
        ("binance:swap", "gate:swap"), ("binance:swap", "okx:swap"), ("gate:swap", "okx:swap"),
    }  # fmt: skip
    assert len(scan_pairs(load_config())) == 563
    assert current_revision() > revision
    assert LogEntry.objects.filter(change_message="Added with every pair of its kind.").count() == 3
    assert Entry.objects.filter(object_type="markets.exchangepair", kind="added").exists()


def test_another_choice_than_the_one_that_was_counted_is_counted_again_and_not_saved(pages: Client) -> None:
    sealed = plan("swap-swap", Exchange.objects.filter(key__in=("binance", "gate"))).seal
    form = {"kind": "swap-swap", "exchanges": exchanges("binance", "gate", "okx"), "confirmed": sealed}

    page = pages.post(reverse(BULK), form)

    assert "3 pairs are added" in " ".join(page.content.decode().split())
    assert ExchangePair.objects.count() == 28


def test_pairs_that_are_there_are_enabled_and_none_is_added_twice(pages: Client) -> None:
    pair("gate:swap", "binance:swap", enabled=False)
    pair("gate:swap", "okx:swap")
    found = plan("swap-swap", Exchange.objects.filter(key__in=("binance", "gate", "okx")))
    assert (len(found.new), len(found.disabled), found.already) == (1, 1, 1)

    form = {"kind": "swap-swap", "exchanges": exchanges("binance", "gate", "okx"), "confirmed": found.seal}
    pages.post(reverse(BULK), form)

    assert ExchangePair.objects.filter(market1="swap", enabled=True).count() == 3
    again = plan("swap-swap", Exchange.objects.filter(key__in=("binance", "gate", "okx")))
    assert (again.new, again.disabled, again.already) == ((), (), 3)


def test_exchanges_whose_swaps_are_not_followed_are_left_out(pages: Client) -> None:
    Exchange.objects.filter(key="okx").update(rest_url="http://127.0.0.1:9", ws_url="ws://127.0.0.1:9")

    assert len(plan("swap-swap", everything()).new) == 21
    assert len(plan("basis", everything()).new) == 7
    assert len(plan("spot-swap", everything()).new) == 49


@pytest.mark.parametrize("kind", ["", "dream"])
def test_no_kind_or_an_unknown_one_is_refused_in_words(pages: Client, kind: str) -> None:
    page = pages.post(reverse(BULK), {"kind": kind, "exchanges": exchanges("okx")})

    assert page.status_code == 200
    assert page.context["form"].errors["kind"]
    assert ExchangePair.objects.count() == 28


def test_the_page_complains_about_nothing_before_anything_was_chosen(pages: Client) -> None:
    page = pages.get(reverse(BULK))
    assert page.status_code == 200
    assert "errorlist" not in page.content.decode()


def test_who_may_not_change_pairs_may_not_add_them_all(pages: Client, django_user_model: Any) -> None:
    user = django_user_model.objects.create_user("viewer", is_staff=True)
    client = Client()
    client.force_login(user)

    assert client.get(reverse(BULK)).status_code in (302, 403)


# --- lists and forms -------------------------------------------------------------------------------------


def test_pairs_are_listed_by_kind_with_their_markets(pages: Client) -> None:
    pair("binance", "binance:swap")
    pair("okx:swap", "gate")
    address = reverse("admin:markets_exchangepair_changelist")

    def listed(kind: str) -> list[str]:
        rows = pages.get(address, {"kind": kind}).context["cl"].result_list
        return [str(row) for row in rows]

    assert listed("basis") == ["Binance – Binance swap"]
    assert listed("spot-swap") == ["OKX swap – Gate"]
    assert listed("swap-swap") == []
    assert len(listed("spot-spot")) == 28


def test_a_pair_of_markets_is_entered_and_one_that_names_none_is_of_spot(pages: Client) -> None:
    one, two = exchanges("gate", "okx")
    ExchangePair.objects.filter(exchange1__in=(one, two), exchange2__in=(one, two)).delete()
    address = reverse("admin:markets_exchangepair_add")
    plain = {"exchange1": one, "exchange2": two, "tolerance_ms": "1000", "enabled": "on"}

    assert pages.post(address, plain).status_code == 302
    assert pages.post(address, plain | {"market1": "swap", "market2": "swap"}).status_code == 302
    basis = plain | {"exchange2": one, "market2": "swap"}
    assert pages.post(address, basis).status_code == 302

    keys = {
        (row.key1, row.key2) for row in ExchangePair.objects.filter(exchange1=one, exchange2__in=(one, two))
    }
    assert keys == {("gate", "okx"), ("gate:swap", "okx:swap"), ("gate", "gate:swap")}


def filter_form(**changes: Any) -> dict[str, Any]:
    return {
        "name": "swaps",
        "enabled": "on",
        "symbols": "BTC/USDT",
        "min_duration_ms": "0",
        "charted": "on",
    } | changes


def test_a_filter_says_the_kinds_it_selects_and_counts_them(pages: Client) -> None:
    pair("binance:swap", "gate:swap")
    address = reverse("admin:markets_opportunityfilter_add")

    count = pages.post(
        reverse("admin:markets_opportunityfilter_count"), filter_form(pair_kinds=["swap-swap"])
    )
    pages.post(address, filter_form(pair_kinds=["swap-swap", "basis"]))
    pages.post(address, filter_form(name="as before"))

    assert count.content.decode() == "Selects 1 opportunity now."
    assert OpportunityFilter.objects.get(name="swaps").pair_kinds == ["swap-swap", "basis"]
    assert OpportunityFilter.objects.get(name="as before").pair_kinds == ["spot-spot"]


def test_a_filter_that_names_a_pair_of_another_kind_is_refused_in_words(pages: Client) -> None:
    row = pair("binance", "binance:swap")

    page = pages.post(reverse("admin:markets_opportunityfilter_add"), filter_form(pairs=[row.pk]))

    words = "“Binance – Binance swap” is of another kind: tick “basis: spot and swap of one exchange”, too"
    assert words in page.context["adminform"].form.errors["pair_kinds"][0]


def test_an_instrument_says_its_contract_and_why_it_is_not_followed(pages: Client) -> None:
    Instrument.objects.filter(exchange__key="gate", kind="swap").update(
        contract_size=Decimal(120), contract_size_before=Decimal(12), contract_size_since=timezone.now()
    )
    swap("okx", "ETH/USDT:USDT", contract_size=None, not_followed="its contract size cannot be read: “0”")

    page = pages.get(reverse("admin:markets_instrument_changelist"), {"kind__exact": "swap"})

    text = page.content.decode()
    assert "120, 12 until" in text
    assert "its contract size cannot be read: “0”" in text
    unfollowed = pages.get(reverse("admin:markets_instrument_changelist"), {"not_followed__isempty": "0"})
    assert [row.symbol.name for row in unfollowed.context["cl"].result_list] == ["ETH/USDT:USDT"]


def test_an_exchange_says_what_its_swaps_cost_and_unknown_where_nobody_did(pages: Client) -> None:
    Exchange.objects.filter(key="gate").update(swap_taker_fee_bps=5, swap_maker_fee_bps=2)

    listed = pages.get(reverse("admin:markets_exchange_changelist")).content.decode()

    assert "5 / 2 bps" in listed
    assert listed.count("○ unknown") >= 7
    form = pages.get(reverse("admin:markets_exchange_change", args=exchanges("gate"))).content.decode()
    assert "REST base URL of swaps" in form


def test_the_swaps_of_coins_are_enabled_at_once(pages: Client) -> None:
    Symbol.objects.filter(kind="swap").update(enabled=False)
    swap("gate", "ETH/USDT:USDT")
    Symbol.objects.filter(kind="swap").update(enabled=False)
    coins = Symbol.objects.filter(name__in=("BTC/USDT", "SOL/USDT")).values_list("pk", flat=True)

    pages.post(
        reverse("admin:markets_symbol_changelist"),
        {"action": "enable_swaps", "_selected_action": list(coins)},
    )

    assert set(Symbol.objects.filter(kind="swap", enabled=True).values_list("name", flat=True)) == {
        "BTC/USDT:USDT"
    }


def test_schedules_of_spot_and_swaps_of_a_tier_do_not_clash(pages: Client) -> None:
    (gate,) = exchanges("gate")
    form = {
        "exchange": gate, "tier": "VIP 1", "symbols": "", "taker_fee_bps": "5", "maker_fee_bps": "2",
        "valid_from": "2025-01-01", "valid_until": "2030-01-01",
    }  # fmt: skip
    address = reverse("admin:markets_feeschedule_add")

    first, second = (pages.post(address, form | market) for market in ({}, {"market": "swap"}))
    third = pages.post(address, form | {"market": "swap"})

    assert (first.status_code, second.status_code, third.status_code) == (302, 302, 200)
    assert set(FeeSchedule.objects.values_list("market", flat=True)) == {"spot", "swap"}
