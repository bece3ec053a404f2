"""One listing that is another coin is one case, whatever number of pairs it spoils."""

import time
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from markets.events import IdentityFinding
from markets.identity import Verdict, alias, decide
from markets.identity_groups import group_of, groups
from markets.models import Exchange, IdentityCase, Instrument, Symbol
from markets.seed import seed
from markets.selectors import current_revision, load_config
from markets.services import record_findings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("desk")]

KEYS = ("binance", "bybit", "mexc", "gate", "kucoin", "okx", "bitget", "bingx")
QUEUE = reverse("admin:markets_identitycase_changelist")


@pytest.fixture
def desk(db: None) -> None:
    seed()


def impostor(exchange: str = "kucoin", symbol: str = "PEPE/USDT", ratio: float = 140.0) -> None:
    """An exchange means another coin by the symbol than all the others do."""
    us = time.time_ns() // 1000
    for other in KEYS:
        if other != exchange:
            record_findings([IdentityFinding(symbol, exchange, other, ratio, 0.02, us)])


def act(client: Client, action: str, *cases: IdentityCase) -> str:
    data: dict[str, Any] = {"action": action, "_selected_action": [str(row.pk) for row in cases]}
    return client.post(QUEUE, data, follow=True).content.decode()


def shown(client: Client, **query: str) -> str:
    return client.get(QUEUE, query).content.decode()


@pytest.mark.parametrize("exchange", KEYS)
def test_seven_pairs_of_one_listing_are_one_case(exchange: str) -> None:
    impostor(exchange)

    assert IdentityCase.objects.count() == 7
    [group] = groups()
    assert (group.exchange, len(group.cases)) == (exchange, 7)
    assert set(group.others) == {str(row) for row in Exchange.objects.exclude(key=exchange)}
    assert group.price_ratio == pytest.approx(140)


def test_two_impostors_are_two_cases() -> None:
    impostor("kucoin")
    impostor("gate")

    assert [(group.exchange, len(group.cases)) for group in groups()] == [("gate", 7), ("kucoin", 6)]


def test_where_two_disagree_alone_either_may_be_wrong() -> None:
    record_findings([IdentityFinding("PEPE/USDT", "gate", "okx", 3.0, 0.02, time.time_ns() // 1000)])

    [group] = groups()
    assert (group.exchange, group.price_ratio) == ("", 3.0)


def test_listings_of_other_symbols_and_decided_ones_stay_apart(operator: User) -> None:
    impostor()
    impostor("kucoin", "DOGE/USDT")
    first = IdentityCase.objects.filter(symbol__name="PEPE/USDT").order_by("pk")[:2]
    decide(IdentityCase.objects.filter(pk__in=[row.pk for row in first]), Verdict.CONFIRMED, operator)

    sizes = sorted((group.first.symbol.name, group.first.verdict, len(group.cases)) for group in groups())
    assert sizes == [
        ("DOGE/USDT", "quarantined", 7), ("PEPE/USDT", "confirmed", 2), ("PEPE/USDT", "quarantined", 5),
    ]  # fmt: skip


def test_the_queue_shows_the_listing_once_with_its_pairs(operator_client: Client) -> None:
    impostor()

    page = shown(operator_client)

    assert page.count('class="action-select"') == 1
    assert "KuCoin – 7 others: Binance" in page
    assert ">140<" in page
    change = reverse("admin:markets_identitycase_change", args=[groups()[0].first.pk])
    pairs = operator_client.get(change).content.decode()
    for name in ("Binance", "OKX", "Gate"):
        assert f"{name} – KuCoin" in pairs or f"KuCoin – {name}" in pairs


@pytest.mark.parametrize("q", ["PEPE", "KuCoin", "OKX", "BingX"])
def test_a_search_for_any_of_its_exchanges_finds_the_listing(operator_client: Client, q: str) -> None:
    impostor()

    assert "KuCoin – 7 others" in shown(operator_client, q=q)
    assert "KuCoin – 7 others" in shown(operator_client, verdict__exact="quarantined")
    assert "KuCoin – 7 others" not in shown(operator_client, verdict__exact="confirmed")


@pytest.mark.parametrize(("action", "verdict"), [("split", "different"), ("confirm", "confirmed")])
def test_one_decision_is_about_all_its_pairs(operator_client: Client, action: str, verdict: str) -> None:
    impostor()
    before = current_revision()

    page = act(operator_client, action, groups()[0].first)

    assert "1 case: " in page
    assert "That is 7 pairs." in page
    assert [row.verdict for row in load_config().identities] == [verdict] * 7
    assert current_revision() == before + 1
    assert "KuCoin – 7 others" in shown(operator_client)
    act(operator_client, "reopen", groups()[0].first)
    assert {row.verdict for row in load_config().identities} == {"quarantined"}


def test_an_alias_of_the_listing_closes_all_its_pairs(operator: User) -> None:
    impostor(ratio=1000.0)
    listing = Instrument.objects.get(exchange__key="kucoin", symbol__name="PEPE/USDT")
    case = groups()[0].cases[3]

    alias(case, listing, case.symbol, Decimal(1000), operator)

    assert set(IdentityCase.objects.values_list("verdict", flat=True)) == {"confirmed"}


def test_an_alias_of_another_listing_closes_only_that_pair(operator: User) -> None:
    impostor(ratio=1000.0)
    case = IdentityCase.objects.get(exchange1__key="binance")
    listing = Instrument.objects.get(exchange__key="binance", symbol__name="PEPE/USDT")
    other = Symbol.objects.create(name="PEPE2/USDT", base="PEPE2", quote="USDT")

    alias(case, listing, other, Decimal(1), operator)

    assert IdentityCase.objects.filter(verdict="different").count() == 1
    assert len(group_of(IdentityCase.objects.get(exchange2__key="okx")).cases) == 6
