"""A desk from before there were swaps: what was there stays what it was, as spot."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from markets.models import CatalogueSync, ExchangePair, FeeSchedule, IdentityCase, OpportunityFilter
from markets.selection import scan_pairs
from markets.selectors import load_config

BEFORE = [("markets", "0014_plain_texts")]


@pytest.fixture
def before_swaps(transactional_db: None) -> Iterator[Any]:
    """The tables as they were before there were swaps; afterwards as they are."""
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    yield executor.loader.project_state(BEFORE).apps
    to_the_end()


def to_the_end() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def old_desk(apps: Any) -> dict[str, int]:
    """Two exchanges, a pair, a filter that names it and one that names none, a pin, a case, a schedule."""

    def add(model: str, **values: Any) -> Any:
        return apps.get_model("markets", model).objects.create(**values)

    one, two = (
        add("Exchange", key=key, name=key.title(), taker_fee_bps=10, maker_fee_bps=10, account_tier="VIP 1")
        for key in ("binance", "bybit")
    )
    symbol = add("Symbol", name="BTC/USDT", base="BTC", quote="USDT", enabled=True)
    for exchange in (one, two):
        add("Instrument", exchange=exchange, symbol=symbol, native_id="BTCUSDT", synced_at=timezone.now())
        add("CatalogueSync", exchange=exchange, tried_at=timezone.now(), listed=1)
    pair = add("ExchangePair", exchange1=one, exchange2=two)
    named, every = (
        add("OpportunityFilter", name=name, min_edge_bps=5, names_pairs=name == "named")
        for name in ("named", "every")
    )
    named.pairs.add(pair)
    user, _made = User.objects.get_or_create(username="trader")
    add("PinnedChart", user_id=user.pk, symbol=symbol, pair=pair)
    case = {"verdict": "confirmed", "found_at": timezone.now(), "seen_at": timezone.now(), "follows": "bybit"}
    add("IdentityCase", symbol=symbol, exchange1=one, exchange2=two, **case)
    add("FeeSchedule", exchange=one, tier="VIP 1", taker_fee_bps=9, maker_fee_bps=8, valid_from="2025-01-01")
    return {"pair": pair.pk, "named": named.pk, "every": every.pk}


def test_rows_filters_pins_and_chart_ids_of_before_mean_what_they_meant(before_swaps: Any) -> None:
    keys = old_desk(before_swaps)

    to_the_end()

    config = load_config()
    (chart,) = config.opportunities
    assert (chart.id, chart.filters) == ("BTC/USDT|binance|bybit", (keys["named"], keys["every"]))
    assert [pair.id for pair in scan_pairs(config)] == ["BTC/USDT|binance|bybit"]
    assert [row.name for row in scan_pairs(config)[0].filters] == ["named", "every"]
    assert {row.key: row.taker_fee_bps for row in config.exchanges} == {"binance": 9, "bybit": 10}
    assert [(row.exchange1, row.exchange2, row.verdict) for row in config.identities] == [
        ("binance", "bybit", "confirmed")
    ]
    pair = ExchangePair.objects.get(pk=keys["pair"])
    assert (pair.key1, pair.key2, str(pair), pair.kind) == (
        "binance",
        "bybit",
        "Binance – Bybit",
        "spot-spot",
    )
    kinds = OpportunityFilter.objects.values_list("name", "pair_kinds", "names_pairs")
    assert sorted(kinds) == [("every", ["spot-spot"], False), ("named", ["spot-spot"], True)]
    assert set(CatalogueSync.objects.values_list("market", "listed")) == {("spot", 1)}
    assert set(FeeSchedule.objects.values_list("market", flat=True)) == {"spot"}
    assert IdentityCase.objects.get().follows == "bybit"


def test_the_same_pair_is_refused_as_before_and_its_swaps_are_another_one(before_swaps: Any) -> None:
    keys = old_desk(before_swaps)

    to_the_end()

    old = ExchangePair.objects.get(pk=keys["pair"])
    with pytest.raises(IntegrityError, match="pair_unordered_unique"), transaction.atomic():
        ExchangePair.objects.create(exchange1=old.exchange2, exchange2=old.exchange1)
    swaps = ExchangePair(exchange1=old.exchange1, market1="swap", exchange2=old.exchange2, market2="swap")
    swaps.full_clean()
    swaps.save()
    assert (swaps.key1, swaps.key2, swaps.kind) == ("binance:swap", "bybit:swap", "swap-swap")


def test_a_swap_that_somebody_had_entered_is_not_followed_for_want_of_its_size(before_swaps: Any) -> None:
    old_desk(before_swaps)
    apps = before_swaps
    symbol = apps.get_model("markets", "Symbol").objects.create(
        name="ETH/USDT:USDT", base="ETH", quote="USDT", kind="swap", enabled=True
    )
    exchange = apps.get_model("markets", "Exchange").objects.get(key="bybit")
    made = apps.get_model("markets", "Instrument").objects.create(
        exchange=exchange, symbol=symbol, kind="swap", native_id="ETHUSDT"
    )

    to_the_end()

    with connection.cursor() as cursor:
        cursor.execute("SELECT not_followed FROM markets_instrument WHERE id = %s", [made.pk])
        assert cursor.fetchone() == ("its contract size is not known",)
