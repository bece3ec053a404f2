"""Coins that share a ticker: what collectors find, what people decide, and what an alias makes of it."""

import time
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from markets.config import IdentityConfig
from markets.events import IdentityFinding
from markets.identity.evidence import Verdict, alias, decide, listings_of, ratio_with, suggested_multiplier
from markets.models import Exchange, ExchangePair, IdentityCase, Instrument, Symbol
from markets.seed import seed
from markets.selection import listed, scan_pairs
from markets.selectors import current_revision, load_config
from markets.services import record_findings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("desk")]


@pytest.fixture
def desk(db: None) -> None:
    seed()


def found(
    one: str = "binance", two: str = "kucoin", symbol: str = "PEPE/USDT", ratio: float = 140.0, **more: Any
) -> IdentityFinding:
    return IdentityFinding(symbol, one, two, ratio, more.get("correlation", 0.02), time.time_ns() // 1000)


def case() -> IdentityCase:
    return IdentityCase.objects.get()


def cases() -> "Any":
    return IdentityCase.objects.all()


def test_a_finding_opens_a_case_in_quarantine_and_collectors_are_notified_once() -> None:
    before = current_revision()

    assert record_findings([found(), found(two="okx")]) == 0

    assert set(cases().values_list("verdict", "price_ratio")) == {("quarantined", 140.0)}
    assert current_revision() == before + 1
    assert IdentityConfig("PEPE/USDT", "binance", "okx", "quarantined") in load_config().identities


def test_fresh_evidence_moves_no_revision_and_no_verdict(operator: User) -> None:
    record_findings([found()])
    decide(cases(), Verdict.CONFIRMED, operator)
    before, seen = current_revision(), case().seen_at

    record_findings([found(ratio=141.0, correlation=0.03)])

    assert (case().verdict, case().price_ratio, case().correlation) == ("confirmed", 141.0, 0.03)
    assert case().seen_at > seen
    assert current_revision() == before


def test_a_case_has_its_exchanges_in_the_pairs_order_however_they_were_found() -> None:
    record_findings([found("kucoin", "binance", ratio=0.01)])

    assert (case().exchange1.key, case().exchange2.key) == ("binance", "kucoin")
    assert case().price_ratio == pytest.approx(100)


def test_a_pair_that_was_turned_round_keeps_its_one_case() -> None:
    record_findings([found(ratio=100.0)])
    pair = ExchangePair.objects.get(exchange1__key="binance", exchange2__key="kucoin")
    pair.exchange1, pair.exchange2 = pair.exchange2, pair.exchange1
    pair.save()

    record_findings([found("kucoin", "binance", ratio=0.02)])

    assert case().price_ratio == pytest.approx(50)
    twin = IdentityCase(
        symbol=case().symbol, exchange1=case().exchange2, exchange2=case().exchange1,
        found_at=case().found_at, seen_at=case().seen_at,
    )  # fmt: skip
    with pytest.raises(IntegrityError, match="identity_one_case_per_pair"), transaction.atomic():
        twin.save()


def test_findings_about_what_is_not_here_are_counted_and_left_out() -> None:
    before = current_revision()

    assert record_findings([found(symbol="GONE/USDT"), found(one="nowhere")]) == 2

    assert not cases().exists()
    assert current_revision() == before


def test_a_decision_keeps_who_and_when_and_can_be_taken_back(operator: User) -> None:
    record_findings([found()])
    before = current_revision()

    assert decide(cases(), Verdict.DIFFERENT, operator) == 1
    assert (case().verdict, case().decided_by, case().decided_at is not None) == ("different", operator, True)
    assert [row.verdict for row in load_config().identities] == ["different"]
    assert current_revision() == before + 1
    assert decide(cases(), Verdict.DIFFERENT, operator) == 0  # decided already

    decide(cases(), Verdict.QUARANTINED, operator)
    assert (case().verdict, case().decided_by, case().decided_at) == ("quarantined", None, None)
    words = LogEntry.objects.filter(user=operator).values_list("change_message", flat=True)
    assert list(words) == ["in quarantine.", "different coins."]  # newest first


def listing(exchange: str, symbol: str = "PEPE/USDT") -> Instrument:
    return Instrument.objects.get(exchange__key=exchange, symbol__name=symbol)


@pytest.mark.parametrize(("ratio", "dearer", "power"), [(1002.0, "binance", 1000), (0.00097, "kucoin", 1000)])
def test_an_alias_suggests_the_power_of_ten_that_fits(ratio: float, dearer: str, power: int) -> None:
    record_findings([found(ratio=ratio)])
    row = listing(dearer)

    assert row in listings_of(case())
    assert suggested_multiplier(case(), row) == power
    assert ratio_with(case(), row, Decimal(power)) == pytest.approx(1.0, abs=0.04)
    assert (ratio_with(case(), row, Decimal(1)) or 0) > 900


def test_the_same_coin_in_another_unit_is_compared_with_its_multiplier(operator: User) -> None:
    record_findings([found(ratio=1000.0)])
    pepe = Symbol.objects.get(name="PEPE/USDT")

    alias(case(), listing("binance"), pepe, Decimal(1000), operator)

    leg = listed(load_config())["PEPE/USDT"]["binance"]
    assert (leg.symbol, leg.counts_as, leg.multiplier) == ("PEPE/USDT", "PEPE/USDT", 1000)
    assert (case().verdict, case().note) == ("confirmed", "Binance PEPEUSDT counts as PEPE/USDT × 1000.")
    assert LogEntry.objects.filter(user=operator, object_repr="PEPEUSDT").exists()


def test_a_listing_that_is_another_coin_leaves_the_symbol(operator: User) -> None:
    record_findings([found()])
    other = Symbol.objects.create(name="PEPE2/USDT", base="PEPE2", quote="USDT", enabled=True)

    alias(case(), listing("kucoin"), other, Decimal(1), operator)

    config = load_config()
    assert "kucoin" not in listed(config)["PEPE/USDT"]
    assert listed(config)["PEPE2/USDT"]["kucoin"].symbol == "PEPE/USDT"
    assert case().verdict == "different"


def test_an_alias_joins_two_names_of_one_coin_in_the_scanner() -> None:
    thousand = Symbol.objects.create(name="1000PEPE/USDT", base="1000PEPE", quote="USDT")
    Instrument.objects.filter(pk=listing("okx").pk).update(
        symbol=thousand, counts_as=Symbol.objects.get(name="PEPE/USDT"), multiplier=1000
    )

    config = load_config()

    [row] = [row for row in config.instruments if row.exchange == "okx" and row.counts_as]
    assert (row.symbol, row.shard_key) == ("1000PEPE/USDT", "PEPE/USDT")
    pairs = {pair.id: pair for pair in scan_pairs(config)}
    assert pairs["PEPE/USDT|binance|okx"].listing2.multiplier == 1000
    assert not any(pair.symbol == "1000PEPE/USDT" for pair in pairs.values())


def test_a_halted_listing_of_that_very_name_gives_way_to_the_alias_that_trades() -> None:
    pepe = Symbol.objects.get(name="PEPE/USDT")
    thousand = Symbol.objects.create(name="1000PEPE/USDT", base="1000PEPE", quote="USDT")
    Instrument.objects.create(
        exchange=Exchange.objects.get(key="okx"), symbol=thousand, native_id="1000PEPE-USDT",
        counts_as=pepe, multiplier=1000,
    )  # fmt: skip
    assert listed(load_config())["PEPE/USDT"]["okx"].symbol == "PEPE/USDT"

    Instrument.objects.filter(pk=listing("okx").pk).update(active=False, status="suspend")

    config = load_config()
    assert listed(config)["PEPE/USDT"]["okx"].symbol == "1000PEPE/USDT"
    assert ("okx", "1000PEPE/USDT") in {(row.exchange, row.symbol) for row in config.instruments}


@pytest.mark.parametrize(
    ("counts_as", "multiplier", "words"),
    [
        ("PEPE/USDT", "1", "That is its own symbol: leave it empty, or enter a multiplier other than 1."),
        (None, "1000", "Name the symbol that the multiplier counts in, its own or another."),
        ("DOGE/USDT", "10", "OKX trades DOGE/USDT itself, and that is what is compared"),
        ("PEPE/USDT", "0", "Enter more than 0: how many coins one of this is."),
    ],
)
def test_an_alias_that_makes_no_sense_is_refused_in_words(
    counts_as: str | None, multiplier: str, words: str
) -> None:
    row = listing("okx")
    row.counts_as = Symbol.objects.get(name=counts_as) if counts_as else None
    row.multiplier = Decimal(multiplier)

    with pytest.raises(ValidationError, match=words):
        row.full_clean()


def test_two_listings_of_an_exchange_cannot_count_as_one_symbol() -> None:
    cat = Symbol.objects.create(name="CAT/USDT", base="CAT", quote="USDT")
    Instrument.objects.filter(pk=listing("okx", "PEPE/USDT").pk).update(counts_as=cat, multiplier=1000)
    second = listing("okx", "DOGE/USDT")
    second.counts_as = cat

    with pytest.raises(ValidationError, match="PEPE-USDT of this exchange counts as CAT/USDT already"):
        second.full_clean()
    with pytest.raises(IntegrityError, match="instrument_one_alias_per_symbol"), transaction.atomic():
        second.save()
