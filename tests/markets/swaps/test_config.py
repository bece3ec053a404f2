"""Swaps in the configuration: markets by their keys, coins by their names, pairs of every kind."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.transaction import atomic

from engine.gates.wallets import routes, verdict, words
from markets.config import MarketConfig, Shard, pair_kind
from markets.events import IdentityFinding
from markets.fees.book import Fees
from markets.identity.evidence import record_findings
from markets.models import (
    Exchange,
    ExchangePair,
    FeeSchedule,
    IdentityCase,
    Instrument,
    OpportunityFilter,
    PairKind,
    PinnedChart,
    Symbol,
)
from markets.seed import seed
from markets.selection import scan_pairs
from markets.selectors import exchange_names, filter_counts, hangs_on_pins, load_config, strangers
from tests.support.swaps import pair, swap

pytestmark = pytest.mark.django_db

KINDS = ["spot-spot", "swap-swap", "spot-swap", "basis"]


@pytest.fixture
def desk() -> None:
    """Spot of eight exchanges, BTC's swap on Binance, Gate (0.0001 BTC a contract) and Bybit."""
    seed()
    swap("binance")
    swap("gate", native_id="BTC_USDT", contract_size=Decimal("0.0001"))
    swap("bybit")


def every_kind() -> None:
    pair("binance", "binance:swap")
    pair("binance:swap", "gate:swap")
    pair("gate:swap", "mexc")


def swaps_of(config: MarketConfig) -> dict[str, Any]:
    return {row.exchange: row for row in config.instruments if row.exchange.endswith(":swap")}


def finder(**values: Any) -> OpportunityFilter:
    return OpportunityFilter.objects.create(name="swaps", min_edge_bps=1, **values)


# --- markets and instruments -----------------------------------------------------------------------------


def test_a_market_is_configured_once_something_of_it_is_listed_or_compared(desk: None) -> None:
    Exchange.objects.filter(key="gate").update(
        swap_taker_fee_bps=5, swap_maker_fee_bps=2, swap_rest_url="http://127.0.0.1:9/gate-swap"
    )
    pair("okx", "okx:swap")  # nothing of it is listed yet

    markets = {row.key: row for row in load_config().exchanges}

    assert [key for key in markets if key.endswith(":swap")] == [
        "binance:swap", "bybit:swap", "gate:swap", "okx:swap",
    ]  # fmt: skip
    gate = markets["gate:swap"]
    assert (gate.name, gate.enabled, gate.rest_url, gate.ws_url) == (
        "Gate swap", True, "http://127.0.0.1:9/gate-swap", "",
    )  # fmt: skip
    assert (gate.taker_fee_bps, gate.maker_fee_bps, gate.fees_known) == (5.0, 2.0, True)
    assert (markets["gate"].name, markets["gate"].taker_fee_bps) == ("Gate", 10.0)


def test_swaps_are_collected_under_their_own_symbol_with_their_contract_size(desk: None) -> None:
    rows = swaps_of(load_config())

    assert {key: (row.symbol, row.counts_as, row.contract_size) for key, row in rows.items()} == {
        "binance:swap": ("BTC/USDT:USDT", "BTC/USDT", 1.0),
        "gate:swap": ("BTC/USDT:USDT", "BTC/USDT", 0.0001),
        "bybit:swap": ("BTC/USDT:USDT", "BTC/USDT", 1.0),
    }


def test_an_unknown_contract_size_excludes_an_instrument(desk: None) -> None:
    Instrument.objects.filter(exchange__key="gate", kind="swap").update(
        contract_size=None, not_followed="its contract size cannot be read: “many”"
    )

    config = load_config()

    assert "gate:swap" not in swaps_of(config)
    assert ("gate:swap", "BTC/USDT:USDT") not in {(row.exchange, row.symbol) for row in config.listings}
    with (
        pytest.raises(IntegrityError, match="instrument_of_known_size_or_not_followed"),
        atomic(),
    ):
        Instrument.objects.filter(exchange__key="bybit", kind="swap").update(contract_size=None)


@pytest.mark.parametrize("size", [0, -12])
def test_a_contract_of_no_coins_is_refused(desk: None, size: int) -> None:
    with pytest.raises(IntegrityError, match="instrument_contract_size_positive"), atomic():
        Instrument.objects.filter(exchange__key="gate", kind="swap").update(contract_size=size)


def test_a_contract_size_that_changes_is_another_configuration(desk: None) -> None:
    before = swaps_of(load_config())["gate:swap"]

    Instrument.objects.filter(exchange__key="gate", kind="swap").update(contract_size=Decimal("0.001"))

    assert before != swaps_of(load_config())["gate:swap"]


def test_spot_and_swaps_of_a_coin_are_in_one_shard(desk: None) -> None:
    keys = {row.shard_key for row in load_config().instruments if "BTC" in row.symbol}

    assert keys == {"BTC/USDT"}
    assert [shard.owns("BTC/USDT") for shard in (Shard(1, 2), Shard(2, 2))].count(True) == 1


def test_a_swap_priced_in_usdc_is_compared_with_what_is_priced_in_usdc(desk: None) -> None:
    swap("binance", "BTC/USDC:USDC")
    swap("bybit", "BTC/USDC:USDC", native_id="BTCPERP")
    pair("binance:swap", "bybit:swap")

    assert {each.id for each in scan_pairs(load_config()) if "swap" in each.id} == {
        "BTC/USDT|binance:swap|bybit:swap", "BTC/USDC|binance:swap|bybit:swap",
    }  # fmt: skip


def test_swaps_of_an_exchange_that_is_led_elsewhere_for_spot_alone_are_not_followed(desk: None) -> None:
    pair("binance:swap", "gate:swap")
    Exchange.objects.filter(key="gate").update(
        rest_url="http://127.0.0.1:9/gate", ws_url="ws://127.0.0.1:9/gate"
    )

    config = load_config()

    assert "gate:swap" not in swaps_of(config)
    assert {row.key: row.enabled for row in config.exchanges}["gate:swap"] is False
    Exchange.objects.filter(key="gate").update(
        swap_rest_url="http://127.0.0.1:9/gate-swap", swap_ws_url="ws://127.0.0.1:9/gate-swap"
    )
    assert "gate:swap" in swaps_of(load_config())


def test_the_expiry_that_an_exchange_announced_is_in_the_listing(desk: None) -> None:
    Instrument.objects.filter(exchange__key="gate", kind="swap").update(
        expires_at=datetime(2026, 3, 27, 8, tzinfo=UTC)
    )

    (gate,) = (row for row in load_config().listings if row.exchange == "gate:swap")
    assert gate.expires_us == 1_774_598_400_000_000


# --- aliases ---------------------------------------------------------------------------------------------


def test_a_multiplied_contract_counts_as_its_coin(desk: None) -> None:
    Symbol.objects.create(name="PEPE/USDT:USDT", base="PEPE", quote="USDT", kind="swap", enabled=True)
    swap(
        "binance", "1000PEPE/USDT:USDT", counts_as=Symbol.objects.get(name="PEPE/USDT:USDT"), multiplier=1000
    )
    pair("binance:swap", "gate")

    (found,) = (
        each for each in scan_pairs(load_config()) if each.symbol == "PEPE/USDT" and "swap" in each.id
    )

    assert found.id == "PEPE/USDT|binance:swap|gate"
    assert (found.listing1.symbol, found.listing1.counts_as, found.listing1.multiplier) == (
        "1000PEPE/USDT:USDT", "PEPE/USDT", 1000.0,
    )  # fmt: skip
    collected = {each.symbol: each.counts_as for each in load_config().instruments}
    assert collected["1000PEPE/USDT:USDT"] == "PEPE/USDT"


def test_of_1000x_and_x_on_one_exchange_the_coin_itself_is_compared(desk: None) -> None:
    itself = swap("binance", "PEPE/USDT:USDT")
    thousand = swap("binance", "1000PEPE/USDT:USDT")

    thousand.counts_as, thousand.multiplier = itself.symbol, Decimal(1000)

    with pytest.raises(ValidationError, match="Binance trades PEPE/USDT:USDT itself"):
        thousand.full_clean()
    thousand.save()  # a sync that finds the coin listed later: what was entered before stays
    pair("binance:swap", "gate")
    (found,) = (each for each in scan_pairs(load_config()) if each.id == "PEPE/USDT|binance:swap|gate")
    assert (found.listing1.symbol, found.listing1.multiplier) == ("PEPE/USDT:USDT", 1.0)


def test_a_swap_does_not_count_as_a_spot_symbol(desk: None) -> None:
    row = swap("binance", "1000PEPE/USDT:USDT")
    row.counts_as, row.multiplier = Symbol.objects.get(name="PEPE/USDT"), Decimal(1000)

    with pytest.raises(ValidationError, match=r"PEPE/USDT is of the other market: .* like PEPE/USDT:USDT"):
        row.full_clean()


# --- pairs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "two", "kind"),
    [
        ("okx", "gate", "spot-spot"), ("okx:swap", "gate:swap", "swap-swap"),
        ("okx", "gate:swap", "spot-swap"), ("okx:swap", "gate", "spot-swap"),
        ("okx", "okx:swap", "basis"), ("okx:swap", "okx", "basis"),
    ],
)  # fmt: skip
def test_kinds_of_pairs(one: str, two: str, kind: str) -> None:
    assert pair_kind(one, two) == kind
    assert kind in PairKind.values


def test_pairs_of_every_kind_are_scanned_under_the_coins_name(desk: None) -> None:
    every_kind()

    ids = {each.id for each in scan_pairs(load_config()) if "swap" in each.id}

    assert ids == {
        "BTC/USDT|binance|binance:swap", "BTC/USDT|binance:swap|gate:swap", "BTC/USDT|gate:swap|mexc",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("one", "two", "words"),
    [
        ("okx:swap", "okx:swap", "Exchange 2 is the same as exchange 1"),
        ("gate:swap", "binance:swap", "This pair exists already, maybe the other way round"),
        ("binance:swap", "binance", "This pair exists already, maybe the other way round"),
    ],
)
def test_the_same_legs_twice_are_refused_by_form_and_database(
    desk: None, one: str, two: str, words: str
) -> None:
    every_kind()
    keys = [key.partition(":") for key in (one, two)]
    legs = [Exchange.objects.get(key=key) for key, _colon, _market in keys]
    markets = [market or "spot" for _key, _colon, market in keys]
    row = ExchangePair(exchange1=legs[0], market1=markets[0], exchange2=legs[1], market2=markets[1])

    with pytest.raises(ValidationError, match=words):
        row.full_clean()
    with pytest.raises(IntegrityError, match=r"pair_(unordered_unique|distinct_exchanges)"), atomic():
        row.save()


def test_a_filter_selects_kinds_of_pairs_and_a_new_one_spot_only(desk: None) -> None:
    every_kind()
    row = OpportunityFilter.objects.create(name="btc", symbols="BTC/USDT")

    def selected(kinds: list[str]) -> set[str]:
        OpportunityFilter.objects.filter(pk=row.pk).update(pair_kinds=kinds)
        return {chart.id for chart in load_config().opportunities if row.pk in chart.filters}

    assert row.pair_kinds == ["spot-spot"]
    assert len(selected(["spot-spot"])) == 28
    assert selected(["basis"]) == {"BTC/USDT|binance|binance:swap"}
    assert selected(["swap-swap", "spot-swap"]) == {
        "BTC/USDT|binance:swap|gate:swap", "BTC/USDT|gate:swap|mexc",
    }  # fmt: skip
    assert len(selected(KINDS)) == 31
    assert filter_counts([OpportunityFilter.objects.get(pk=row.pk)]) == {row.pk: 31}


def test_a_filter_of_opportunities_follows_its_kinds_and_the_pairs_it_names(desk: None) -> None:
    every_kind()
    row = finder(pair_kinds=["swap-swap", "basis"], charted=False)

    def followed() -> set[str]:
        return {each.id for each in scan_pairs(load_config()) if row.pk in {each.id for each in each.filters}}

    assert followed() == {"BTC/USDT|binance:swap|gate:swap", "BTC/USDT|binance|binance:swap"}
    row.pairs.set([each for each in ExchangePair.objects.all() if each.key1 == each.key2.partition(":")[0]])
    assert followed() == {"BTC/USDT|binance|binance:swap"}
    (config,) = (each for each in load_config().filters if each.id == row.pk)
    assert config.pairs == frozenset({("binance", "binance:swap")})


@pytest.mark.parametrize("kinds", [[], ["spot-spot", "dream"]])
def test_a_filter_of_no_kind_or_an_unknown_one_is_refused(desk: None, kinds: list[str]) -> None:
    with pytest.raises(IntegrityError, match="filter_pair_kinds_known"), atomic():
        OpportunityFilter.objects.update(pair_kinds=kinds)


def test_a_filters_symbol_is_the_coin_on_every_market(desk: None) -> None:
    Symbol.objects.filter(name="BTC/USDT").update(enabled=False)  # only its swaps are watched

    assert strangers("BTC/USDT") == []
    assert strangers("BTC/USDT:USDT") == [
        "“BTC/USDT:USDT” names no coin: write BTC/USDT, which is the coin on every market."
    ]


# --- pins ------------------------------------------------------------------------------------------------


def test_a_pinned_chart_of_swaps_is_followed_for_its_pin(desk: None, django_user_model: Any) -> None:
    every_kind()
    row = ExchangePair.objects.get(market1="swap", market2="swap")
    user = django_user_model.objects.create_user("trader")
    PinnedChart.objects.create(user=user, symbol=Symbol.objects.get(name="BTC/USDT"), pair=row)

    assert "BTC/USDT|binance:swap|gate:swap" in {chart.id for chart in load_config().opportunities}
    assert hangs_on_pins("BTC/USDT", row.pk) is True
    finder(symbols="BTC/USDT", pair_kinds=KINDS)
    assert hangs_on_pins("BTC/USDT", row.pk) is False


# --- fees ------------------------------------------------------------------------------------------------


def test_swap_fees_that_nobody_entered_are_unknown_and_never_zero(desk: None) -> None:
    fees = Fees(load_config())

    fee = fees.of("gate:swap", "BTC/USDT")

    assert (fee.known, fee.taker_bps) == (False, 10.0)
    assert fee.source == "the fees of its swaps are not entered; these are of spot"
    assert fees.of("gate", "BTC/USDT").known is True


def test_fees_of_spot_and_swaps_are_each_by_their_own_schedule(desk: None) -> None:
    gate = Exchange.objects.get(key="gate")
    Exchange.objects.filter(pk=gate.pk).update(
        swap_taker_fee_bps=5, swap_maker_fee_bps=2, account_tier="VIP 1"
    )
    terms = {"exchange": gate, "tier": "VIP 1", "valid_from": "2025-01-01"}
    FeeSchedule.objects.create(**terms, taker_fee_bps=8, maker_fee_bps=7)
    before = Fees(load_config()).of("gate:swap", "BTC/USDT")
    row = FeeSchedule(**terms, market="swap", taker_fee_bps=4, maker_fee_bps=1, valid_until="2099-01-01")
    row.full_clean()  # no clash with that of spot
    row.save()
    FeeSchedule.objects.create(
        exchange=gate, market="swap", symbols="BTC/USDT", taker_fee_bps=3, maker_fee_bps=0,
        valid_from="2025-01-01",
    )  # fmt: skip

    fees = Fees(load_config())

    assert (before.taker_bps, before.known) == (5.0, False)  # its tier has no schedule of swaps
    assert fees.of("gate", "BTC/USDT").taker_bps == 8.0
    assert fees.of("gate:swap", "ETH/USDT").taker_bps == 4.0
    assert fees.of("gate:swap", "BTC/USDT").taker_bps == 3.0


@pytest.mark.parametrize("missing", ["swap_taker_fee_bps", "swap_maker_fee_bps"])
def test_one_fee_of_swaps_without_the_other_is_refused(desk: None, missing: str) -> None:
    gate = Exchange.objects.get(key="gate")
    gate.swap_taker_fee_bps = gate.swap_maker_fee_bps = Decimal(5)
    setattr(gate, missing, None)

    with pytest.raises(ValidationError, match="Enter both fees of swaps, or neither") as refused:
        gate.full_clean()
    assert list(refused.value.message_dict) == [missing]


def test_what_an_exchange_says_of_one_swap_holds_for_that_swap(desk: None) -> None:
    Exchange.objects.filter(key="gate").update(swap_taker_fee_bps=5, swap_maker_fee_bps=2)
    Instrument.objects.filter(exchange__key="gate", kind="swap").update(own_taker_fee=1, own_maker_fee=0)

    fees = Fees(load_config())

    assert (fees.of("gate:swap", "BTC/USDT").taker_bps, fees.of("gate", "BTC/USDT").taker_bps) == (1.0, 10.0)


# --- identity --------------------------------------------------------------------------------------------


def finding(**changes: Any) -> IdentityFinding:
    values: dict[str, Any] = {
        "symbol": "BTC/USDT", "exchange1": "binance:swap", "exchange2": "binance", "price_ratio": 2.0,
        "correlation": 0.0, "ts_us": 1_700_000_000_000_000,
    }  # fmt: skip
    return IdentityFinding(**(values | changes))


def test_spot_and_swap_of_one_exchange_may_be_different_coins(desk: None) -> None:
    every_kind()

    assert record_findings([finding()]) == 0
    assert record_findings([finding(exchange1="binance", exchange2="binance:swap", price_ratio=0.25)]) == 0

    case = IdentityCase.objects.get()
    assert (case.key1, case.key2, case.price_ratio) == (
        "binance",
        "binance:swap",
        0.25,
    )  # as the pair has them
    (config,) = load_config().identities
    assert (config.symbol, config.exchange1, config.exchange2, config.verdict) == (
        "BTC/USDT", "binance", "binance:swap", "quarantined",
    )  # fmt: skip
    assert str(case) == "BTC/USDT Binance – Binance swap"


def test_a_case_of_spot_is_none_of_its_swaps(desk: None) -> None:
    record_findings([finding(exchange1="binance", exchange2="gate")])
    record_findings([finding(exchange1="binance:swap", exchange2="gate:swap")])

    assert {(row.key1, row.key2) for row in IdentityCase.objects.all()} == {
        ("binance", "gate"), ("binance:swap", "gate:swap"),
    }  # fmt: skip


# --- what goes by an exchange alone ----------------------------------------------------------------------


def test_names_of_markets() -> None:
    seed()

    names = exchange_names()

    assert (names["gate"], names["gate:swap"], len(names)) == ("Gate", "Gate swap", 16)


@pytest.mark.parametrize("legs", [("gate", "binance:swap"), ("binance:swap", "gate"), ("gate:swap", "gate")])
def test_no_coin_is_moved_where_a_leg_is_a_swap(desk: None, legs: tuple[str, str]) -> None:
    listed: dict[str, Any] = {}
    for row in load_config().listings:
        if row.counts_as == "BTC/USDT":
            listed[row.exchange] = row

    found = routes({}, "BTC/USDT", *(listed[key] for key in legs))

    assert verdict(found) == "pass"
    assert words(found, "Gate", "Binance swap").startswith("no BTC is moved between Gate and Binance swap")
    assert verdict(routes({}, "BTC/USDT", listed["gate"], listed["binance"])) == "unknown"


def test_the_configuration_takes_as_many_queries_with_swaps(
    desk: None, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    every_kind()
    with django_assert_max_num_queries(18):
        load_config()


@pytest.mark.parametrize("name", ["Gate swap", "gate.swap"])
def test_no_exchange_is_named_like_the_swaps_of_another(desk: None, name: str) -> None:
    with pytest.raises(ValidationError, match="already has this name"):
        Exchange(key="other", name=name, taker_fee_bps=1, maker_fee_bps=1).full_clean()
