"""Fees, wallets, thresholds, pins and the identity queue in the admin: who decides what, and what it says."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from markets.events import IdentityFinding
from markets.models import (
    Exchange,
    ExchangePair,
    FeeSchedule,
    GateThresholds,
    IdentityCase,
    Instrument,
    OpportunityFilter,
    PinnedChart,
    Symbol,
    WalletSync,
)
from markets.seed import seed
from markets.selectors import current_revision, load_config
from markets.services import record_findings
from markets.sync.wallet_answers import ListedNetwork
from markets.sync.wallets import store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_redis")]

TODAY = datetime.now(UTC).date()


@pytest.fixture
def operator() -> User:
    return User.objects.create_superuser("operator")  # no password: hashing one is slow


@pytest.fixture
def pages(operator: User, client: Client) -> Client:
    seed()
    client.force_login(operator)
    return client


def changelist(model: str) -> str:
    return reverse(f"admin:markets_{model}_changelist")


def text(client: Client, url: str) -> str:
    response = client.get(url, follow=True)
    assert response.status_code == 200, url
    return response.content.decode()


def finding(one: str, two: str, ratio: float = 1000.0, symbol: str = "PEPE/USDT") -> IdentityFinding:
    return IdentityFinding(symbol, one, two, ratio, 0.93, time.time_ns() // 1000)


def furnish(user: User, symbol: str = "PEPE/USDT", coin: str = "PEPE") -> None:
    """A row of everything, of one symbol."""
    okx = Exchange.objects.get(key="okx")
    FeeSchedule.objects.create(exchange=okx, tier=coin, taker_fee_bps=8, maker_fee_bps=6, valid_from=TODAY)
    doors = ((True, True), (False, True), (None, None))
    store(okx, [ListedNetwork(coin, f"N{n}", *door, Decimal("0.10")) for n, door in enumerate(doors)])
    record_findings([finding("binance", "kucoin", symbol=symbol), finding("gate", "okx", symbol=symbol)])
    PinnedChart.objects.create(
        user=user, symbol=Symbol.objects.get(name=symbol), pair=ExchangePair.objects.earliest("pk")
    )


MODELS = ("feeschedule", "walletstatus", "identitycase", "pinnedchart", "gatethresholds")


@pytest.mark.parametrize("model", MODELS)
def test_every_list_and_form_renders_and_asks_no_query_per_row(
    pages: Client, operator: User, model: str
) -> None:
    furnish(operator)
    GateThresholds.objects.create()
    row = apps.get_model("markets", model)._default_manager.first()
    assert row is not None
    text(pages, reverse(f"admin:markets_{model}_change", args=[row.pk]))
    text(pages, changelist(model) + "?q=pepe")
    with CaptureQueriesContext(connection) as few:
        text(pages, changelist(model))
    furnish(operator, "DOGE/USDT", "DOGE")
    with CaptureQueriesContext(connection) as many:
        text(pages, changelist(model))

    assert len(many) == len(few)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("feeschedule", "The fees entered for each exchange apply."),
        ("walletstatus", "`manage.py sync_wallets` does it now"),
        ("identitycase", "No coin is in question."),
        ("pinnedchart", "A click in a row of the scanner pins its chart."),
    ],
)
def test_an_empty_list_says_what_to_do(pages: Client, operator: User, model: str, words: str) -> None:
    assert words in text(pages, changelist(model))

    furnish(operator)

    assert words not in text(pages, changelist(model))
    assert words not in text(pages, changelist(model) + "?q=nothing")  # a search that finds nothing says so


# --- fees ----------------------------------------------------------------------------------------


def exchange_form(**changes: str) -> dict[str, str]:
    fields = {"name": "OKX", "enabled": "on", "taker_fee_bps": "10", "maker_fee_bps": "8",
              "account_tier": "VIP 1", "rest_url": "", "ws_url": "", "min_volume": "", "max_volume": "",
              "fee_schedules-TOTAL_FORMS": "1", "fee_schedules-INITIAL_FORMS": "0",
              "fee_schedules-0-tier": "VIP 1", "fee_schedules-0-taker_fee_bps": "7",
              "fee_schedules-0-maker_fee_bps": "5",
              "fee_schedules-0-valid_from": TODAY.isoformat()}  # fmt: skip
    return fields | changes


def test_a_tier_and_its_schedule_are_entered_on_the_exchanges_page(pages: Client) -> None:
    okx = Exchange.objects.get(key="okx")
    form = reverse("admin:markets_exchange_change", args=[okx.pk])
    assert "10 / 8 bps<br>● known: as entered for the exchange" in text(pages, changelist("exchange"))

    pages.post(form, exchange_form())

    assert f"7 / 5 bps<br>● known: tier VIP 1, valid since {TODAY}" in text(pages, changelist("exchange"))
    assert f"7 / 5 bps<br>● known: tier VIP 1, valid since {TODAY}" in text(pages, form)
    [config] = [row for row in load_config().exchanges if row.key == "okx"]
    assert (config.taker_fee_bps, config.maker_fee_bps) == (7.0, 5.0)
    assert "● valid<" in text(pages, changelist("feeschedule"))


def test_a_tier_without_fees_is_shown_as_unknown(pages: Client) -> None:
    Exchange.objects.filter(key="okx").update(account_tier="VIP 9")

    assert "○ unknown: no schedule of tier VIP 9 is valid today" in text(pages, changelist("exchange"))


def test_schedules_say_whether_they_hold(pages: Client) -> None:
    okx = Exchange.objects.get(key="okx")
    for days in ((1, 2), (-2, -1), (0, 1)):
        start, end = (TODAY + timedelta(days=n) for n in days)
        FeeSchedule.objects.create(
            exchange=okx, tier="X", taker_fee_bps=1, maker_fee_bps=1, valid_from=start, valid_until=end
        )

    page = text(pages, changelist("feeschedule"))
    assert all(words in page for words in ("○ upcoming", "■ expired", "○ valid, not your tier"))


# --- wallets -------------------------------------------------------------------------------------


def test_wallets_are_shown_in_words_and_nobody_edits_them(pages: Client, operator: User) -> None:
    furnish(operator)

    page = text(pages, changelist("walletstatus"))

    assert all(words in page for words in ("● open", "■ closed", "○ unknown", "0.1 PEPE"))
    assert "/markets/walletstatus/add/" not in page
    assert pages.get(reverse("admin:markets_walletstatus_add")).status_code == 403


def test_exchanges_say_what_is_known_of_their_wallets(pages: Client, operator: User) -> None:
    furnish(operator)
    now = datetime.now(UTC)
    for key, outcome in (("gate", {"error": "it does not answer"}), ("mexc", {"synced_at": now})):
        WalletSync.objects.create(exchange=Exchange.objects.get(key=key), tried_at=now, **outcome)

    page = text(pages, changelist("exchange"))

    for words in (
        "● 3 networks, 0\xa0minutes ago", "■ failed: it does not answer", "○ unknown: never synced",
        "○ unknown without a key",
    ):  # fmt: skip
        assert words in page


# --- thresholds and pins -------------------------------------------------------------------------


def test_there_is_one_row_of_thresholds_and_its_link_leads_to_it(pages: Client) -> None:
    page = pages.get(changelist("gatethresholds"))
    assert page["Location"] == reverse("admin:markets_gatethresholds_add")
    fields = {"silent_gaps": "20", "silent_floor_ms": "3000", "jump_pct": "10", "identity_max_ratio": "1.2",
              "identity_min_correlation": "0.1", "min_size": "50", "min_volume": "0",
              "peg_band_pct": "2"}  # fmt: skip

    pages.post(page["Location"], fields)

    assert (load_config().gates.identity_max_ratio, load_config().gates.min_size) == (1.2, 50.0)
    row = reverse("admin:markets_gatethresholds_change", args=[1])
    assert pages.get(changelist("gatethresholds"))["Location"] == row
    assert "deletelink" not in text(pages, row)
    assert pages.get(page["Location"]).status_code == 403


def test_a_pinned_chart_is_collected_until_it_is_taken_down(pages: Client, operator: User) -> None:
    furnish(operator)
    pin = PinnedChart.objects.get()
    chart = f"PEPE/USDT|{pin.pair.exchange1.key}|{pin.pair.exchange2.key}"
    assert chart in {row.id for row in load_config().opportunities}

    pages.post(
        changelist("pinnedchart"),
        {"action": "delete_selected", "_selected_action": [str(pin.pk)], "post": "yes"},
    )

    assert chart not in {row.id for row in load_config().opportunities}


def test_an_exchange_can_be_deleted_with_all_that_machines_wrote_of_it(pages: Client, operator: User) -> None:
    furnish(operator)
    okx = Exchange.objects.get(key="okx")
    url = reverse("admin:markets_exchange_delete", args=[okx.pk])
    assert "Are you sure" in text(pages, url)

    pages.post(url, {"post": "yes"})

    assert not Exchange.objects.filter(key="okx").exists()
    assert IdentityCase.objects.count() == 1


# --- filters -------------------------------------------------------------------------------------


def filter_form(**changes: str) -> dict[str, str]:
    fields = {"name": "New", "enabled": "on", "symbols": "", "quote": "", "min_volume": "", "max_volume": "",
              "min_spread_pct": "", "min_edge_bps": "5", "close_edge_bps": "2", "min_duration_ms": "500",
              "min_size": "100", "wallets_open": "on"}  # fmt: skip
    return fields | changes


def test_a_filter_without_charts_has_no_limit_and_looks_for_opportunities(pages: Client) -> None:
    page = pages.post(reverse("admin:markets_opportunityfilter_add"), filter_form(), follow=True)

    assert "Watches 560 pairs now." in page.content.decode()
    row = next(row for row in load_config().filters if row.name == "New")
    assert (row.min_edge_bps, row.close_edge_bps, row.min_duration_ms) == (5.0, 2.0, 500)
    assert (row.min_size, row.wallets_open, row.charted) == (100.0, True, False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"close_edge_bps": "6"}, "It must not be above the min edge (5): lower it."),
        ({"min_edge_bps": "", "close_edge_bps": ""}, "enter the edge at which one opens"),
        ({"min_edge_bps": "", "charted": "on"}, "Enter the min edge too: it opens what this closes."),
        ({"charted": "on"}, "This selects 560 opportunities and the limit is 500"),
        ({"min_duration_ms": "3600001"}, "less than or equal to 3600000"),
    ],
)
def test_a_filter_that_cannot_open_or_close_is_refused_in_words(
    pages: Client, changes: dict[str, str], words: str
) -> None:
    page = pages.post(reverse("admin:markets_opportunityfilter_add"), filter_form(**changes))

    assert words in page.content.decode()
    assert not OpportunityFilter.objects.filter(name="New").exists()


# --- the identity queue --------------------------------------------------------------------------


def case(**by: Any) -> IdentityCase:
    return IdentityCase.objects.get(**by)


def act(pages: Client, action: str, *cases: IdentityCase) -> str:
    data = {"action": action, "_selected_action": [str(row.pk) for row in cases]}
    return pages.post(changelist("identitycase"), data, follow=True).content.decode()


def test_the_queue_shows_the_evidence_undecided_cases_first(pages: Client, operator: User) -> None:
    furnish(operator)
    act(pages, "confirm", case(exchange1__key="gate"))

    page = text(pages, changelist("identitycase"))

    for words in ("PEPE/USDT", "1,000", "+0.93", "▲ in quarantine", "● the same coin", "operator, "):
        assert words in page
    assert page.index("Binance – KuCoin") < page.index("Gate – OKX")


@pytest.mark.parametrize(
    ("action", "verdict"), [("confirm", "confirmed"), ("split", "different"), ("reopen", "quarantined")]
)
def test_cases_are_decided_together_and_it_is_kept_by_whom(
    pages: Client, operator: User, action: str, verdict: str
) -> None:
    furnish(operator)
    IdentityCase.objects.update(verdict="different" if action != "split" else "confirmed")
    before = current_revision()

    page = act(pages, action, *IdentityCase.objects.all())

    assert "2 cases: " in page
    assert {row.verdict for row in load_config().identities} == {verdict}
    assert current_revision() == before + 1
    by = set(IdentityCase.objects.values_list("decided_by", flat=True))
    assert by == ({None} if action == "reopen" else {operator.pk})
    assert LogEntry.objects.filter(user=operator, content_type__model="identitycase").count() == 2


def alias_url(row: IdentityCase) -> str:
    return reverse("admin:markets_identitycase_alias", args=[row.pk])


def test_the_alias_page_suggests_and_writes_what_brings_prices_together(
    pages: Client, operator: User
) -> None:
    furnish(operator)
    row = case(exchange1__key="binance")
    listing = Instrument.objects.get(exchange__key="binance", symbol__name="PEPE/USDT")

    page = act(pages, "alias_selected", row)
    assert "Binance PEPEUSDT: × 1000 brings the prices together" in page
    assert f'value="{listing.pk}" required id="id_listing_0" checked' in page
    assert 'name="multiplier" value="1000"' in page

    answer = {"listing": listing.pk, "symbol": row.symbol_id, "multiplier": "1000"}
    assert (
        "The alias is saved and the case closed."
        in pages.post(alias_url(row), answer, follow=True).content.decode()
    )
    listing.refresh_from_db()
    assert (listing.counts_as_id, listing.multiplier) == (row.symbol_id, Decimal(1000))
    assert case(pk=row.pk).verdict == "confirmed"


@pytest.mark.parametrize(
    ("symbol", "multiplier", "words"),
    [
        ("PEPE/USDT", "10", "Prices would still be 100.00 times apart"),
        ("PEPE/USDT", "1", "Prices would still be 1,000.00 times apart"),
        ("DOGE/USDT", "1", "Binance trades DOGE/USDT itself, and that is what is compared"),
        ("PEPE/USDT", "0", "Enter more than 0: how many coins one of this is."),
        ("PEPE/USDT", "", "This field is required."),
    ],
)
def test_an_alias_that_helps_nothing_is_refused_in_words(
    pages: Client, operator: User, symbol: str, multiplier: str, words: str
) -> None:
    furnish(operator)
    row = case(exchange1__key="binance")
    listing = Instrument.objects.get(exchange__key="binance", symbol__name="PEPE/USDT")
    target = Symbol.objects.get(name=symbol)

    page = pages.post(alias_url(row), {"listing": listing.pk, "symbol": target.pk, "multiplier": multiplier})

    assert words in page.content.decode()
    assert case(pk=row.pk).verdict == "quarantined"


def test_an_alias_is_for_one_case_and_for_those_who_may_decide(pages: Client, operator: User) -> None:
    furnish(operator)
    assert "Select one case" in act(pages, "alias_selected", *IdentityCase.objects.all())

    pages.force_login(User.objects.create_user("clerk", is_staff=True))
    assert pages.get(alias_url(case(exchange1__key="gate"))).status_code == 403


def test_an_instruments_alias_is_edited_on_its_page(pages: Client) -> None:
    row = Instrument.objects.get(exchange__key="okx", symbol__name="PEPE/USDT")
    cat = Symbol.objects.create(name="CAT/USDT", base="CAT", quote="USDT")
    form = reverse("admin:markets_instrument_change", args=[row.pk])

    pages.post(form, {"enabled": "on", "counts_as": cat.pk, "multiplier": "1000"})
    assert ">CAT/USDT × 1000<" in text(pages, changelist("instrument") + "?counts_as__isempty=0")

    page = pages.post(form, {"enabled": "on", "counts_as": "", "multiplier": "10"})
    assert "Name the symbol that the multiplier counts in" in page.content.decode()


def test_a_person_may_open_a_case_of_a_pair_that_is_only_unknown_and_confirm_it(pages: Client) -> None:
    one, two = Exchange.objects.order_by("key")[:2]
    symbol = Symbol.objects.first()
    assert symbol is not None
    fields = {"symbol": symbol.pk, "exchange1": one.pk, "exchange2": two.pk, "note": "asked them"}
    page = pages.post(reverse("admin:markets_identitycase_add"), fields)
    assert page.status_code == 302
    case = IdentityCase.objects.get()
    assert (case.verdict, case.note) == ("quarantined", "asked them")
    pages.post(changelist("identitycase"), {"action": "confirm", "_selected_action": [case.pk]})
    (decided,) = load_config().identities
    assert (decided.symbol, decided.verdict) == (symbol.name, "confirmed")
    again = pages.post(reverse("admin:markets_identitycase_add"), fields)
    assert again.status_code == 200, "one case a pair"


def test_ceilings_and_ages_reach_collectors_and_an_empty_field_is_the_default(pages: Client) -> None:
    fields = {"silent_gaps": "20", "silent_floor_ms": "3000", "jump_pct": "10", "identity_max_ratio": "1.5",
              "identity_min_correlation": "0.1", "min_size": "10", "min_volume": "0", "peg_band_pct": "2",
              "max_age_ms": "30000", "identity_near_pct": "", "max_unproven_edge_bps": "200",
              "funding_max_age_s": "120", "mark_band_pct": "0.5", "mark_max_age_s": "30",
              "min_swap_volume": "1000000", "expiry_hours": "72"}  # fmt: skip
    page = pages.post(reverse("admin:markets_gatethresholds_add"), fields)
    assert page.status_code == 302
    gates = load_config().gates
    assert (gates.max_age_ms, gates.identity_near_pct, gates.max_unproven_edge_bps) == (30_000, 1.0, 200)
    assert (gates.funding_max_age_s, gates.mark_band_pct, gates.mark_max_age_s) == (120, 0.5, 30)
    assert (gates.min_swap_volume, gates.expiry_hours) == (1_000_000, 72)
    ExchangePair.objects.update(max_age_ms=7_000)
    OpportunityFilter.objects.update(max_age_ms=5_000, max_unproven_edge_bps=450)
    config = load_config()
    assert {pair.max_age_ms for pair in config.pairs} == {7_000}
    assert {(row.max_age_ms, row.max_unproven_edge_bps) for row in config.filters} == {(5_000, 450)}
