"""One listing that is another coin is one case, whatever number of pairs it spoils."""

import time
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from markets.events import IdentityFinding
from markets.identity.evidence import Verdict, alias, decide
from markets.identity.groups import group_of, groups
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


# --- a pair that appears after the decision ------------------------------------------------------


def found(one: str, two: str, ratio: float = 140.0, symbol: str = "PEPE/USDT") -> IdentityCase:
    """Collectors find a pair to disagree; its case."""
    us = time.time_ns() // 1000
    record_findings([IdentityFinding(symbol, one, two, ratio, 0.02, us)])
    return case_of(one, two, symbol)


def case_of(one: str, two: str, symbol: str = "PEPE/USDT") -> IdentityCase:
    """The case of two exchanges, in either order."""
    keys = [one, two]
    rows = IdentityCase.objects.filter(symbol__name=symbol, exchange1__key__in=keys, exchange2__key__in=keys)
    return rows.get()


def decided_listing(operator: User, verdict: Verdict, ratio: float = 140.0) -> None:
    """KuCoin's listing disagrees with five others, and somebody decided."""
    for other in (*KEYS[:4], "okx"):
        found("kucoin", other, ratio)
    decide(IdentityCase.objects.all(), verdict, operator, "looked at")


@pytest.mark.parametrize("verdict", [Verdict.DIFFERENT, Verdict.CONFIRMED])
@pytest.mark.parametrize(("one", "two", "ratio"), [("kucoin", "bingx", 139.0), ("bingx", "kucoin", 1 / 150)])
def test_a_new_pair_of_a_decided_listing_follows_the_decision(
    operator: User, verdict: Verdict, one: str, two: str, ratio: float
) -> None:
    decided_listing(operator, verdict)
    before = current_revision()

    case = found(one, two, ratio)

    assert (case.verdict, case.follows, case.decided_by) == (verdict, "kucoin", operator)
    assert case.note == f"As decided about the listing of KuCoin: {verdict.label}."
    assert [(group.exchange, len(group.cases)) for group in groups()] == [("kucoin", 6)]
    assert current_revision() == before + 1
    assert verdict in {
        each.verdict for each in load_config().identities if "bingx" in (each.exchange1, each.exchange2)
    }


def test_all_that_follow_are_decided_with_the_listing(operator: User) -> None:
    decided_listing(operator, Verdict.DIFFERENT)
    found("kucoin", "bingx")

    decide(
        IdentityCase.objects.filter(pk__in=[each.pk for each in groups()[0].cases]),
        Verdict.QUARANTINED,
        operator,
    )
    assert {(each.verdict, each.follows) for each in IdentityCase.objects.all()} == {("quarantined", "")}


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda: None, "But prices are × 2 here, × 140 there."),
        (lambda: found("bingx", "binance", 3.0), "But prices are × 2 here"),
    ],
)
def test_other_evidence_than_was_decided_waits_and_says_so(operator: User, prepare: Any, words: str) -> None:
    decided_listing(operator, Verdict.DIFFERENT)
    prepare()

    case = found("kucoin", "bingx", 2.0)

    assert (case.verdict, case.follows) == ("quarantined", "")
    assert words in case.note


def test_an_impostor_is_not_confirmed_because_the_other_listing_was(operator: User) -> None:
    decided_listing(operator, Verdict.CONFIRMED, ratio=1.0)
    us = time.time_ns() // 1000
    record_findings(
        [IdentityFinding("PEPE/USDT", "bingx", other, 1.2, 0.0, us) for other in ("kucoin", "binance", "okx")]
    )

    case = case_of("bingx", "kucoin")
    assert case.verdict == "quarantined"
    assert "But BingX disagrees with others, too." in case.note
    assert {group.exchange for group in groups() if group.first.verdict == "quarantined"} == {"bingx"}


def test_what_followed_goes_back_when_the_other_exchange_turns_out_to_disagree_with_all(
    operator: User,
) -> None:
    decided_listing(operator, Verdict.CONFIRMED, ratio=1.0)
    assert found("bingx", "kucoin", 1.2).verdict == "confirmed"

    found("bingx", "binance", 1.2)

    case = case_of("bingx", "kucoin")
    assert (case.verdict, case.follows, case.decided_at) == ("quarantined", "", None)
    assert case.note == "BingX disagrees with others, too."
    assert {
        each.verdict
        for each in IdentityCase.objects.filter(exchange1__key="binance")
        if "bingx" not in str(each).lower()
    } == {"confirmed"}


@pytest.mark.parametrize(("verdict", "follows"), [(Verdict.DIFFERENT, True), (Verdict.CONFIRMED, False)])
def test_a_word_about_one_pair_keeps_closed_but_opens_nothing(
    operator: User, verdict: Verdict, follows: bool
) -> None:
    decide(IdentityCase.objects.filter(pk=found("kucoin", "binance").pk), verdict, operator)

    case = found("kucoin", "okx")

    assert case.verdict == (verdict if follows else "quarantined")
    assert "KuCoin" in case.note


def test_pairs_of_one_listing_decided_differently_decide_no_other(operator: User) -> None:
    for other in ("binance", "bybit", "okx", "gate"):
        found("kucoin", other)
    half = IdentityCase.objects.filter(pk__in=[case_of("kucoin", key).pk for key in ("binance", "bybit")])
    decide(half, Verdict.CONFIRMED, operator)
    decide(IdentityCase.objects.exclude(pk__in=half), Verdict.DIFFERENT, operator)

    case = found("kucoin", "bingx")

    assert case.verdict == "quarantined"
    assert case.note == "The decisions about its listings differ and do not settle this pair."


def test_another_symbols_decision_says_nothing(operator: User) -> None:
    decided_listing(operator, Verdict.DIFFERENT)

    case = found("kucoin", "bingx", symbol="BTC/USDT")
    assert (case.verdict, case.note) == ("quarantined", "")
