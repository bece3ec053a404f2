"""The catalogue sync: the same rows however often, nothing lost, one exchange's trouble its own."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from markets.models import CatalogueSync, Exchange, Instrument, Symbol
from markets.seed import seed
from markets.selectors import current_revision, load_config
from markets.sync.catalogue import CatalogueError, ListedMarket, parse, rebase
from markets.sync.symbols import SyncReport, store

pytestmark = pytest.mark.django_db

BASES = ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA")


def listed(base: str, **changes: Any) -> ListedMarket:
    values: dict[str, Any] = {
        "native_id": f"{base}-USDT", "symbol": f"{base}/USDT", "base": base, "quote": "USDT",
        "active": True, "status": "live", "tick_size": Decimal("0.01"), "lot_size": Decimal("0.0001"),
        "min_notional": Decimal(5), "quote_volume_24h": Decimal(1_000_000),
    }  # fmt: skip
    return ListedMarket(**(values | changes))


def catalogue(bases: Iterable[str] = BASES) -> list[ListedMarket]:
    return [listed(base) for base in bases]


@pytest.fixture
def okx() -> Exchange:
    seed()
    return Exchange.objects.get(key="okx")


def rows(exchange: Exchange) -> list[dict[str, Any]]:
    """Everything about an exchange's instruments but the time of the last sync."""
    return [
        {name: value for name, value in row.items() if name != "synced_at"}
        for row in Instrument.objects.filter(exchange=exchange).order_by("pk").values()
    ]


def of(report: SyncReport) -> tuple[int, list[str], list[str], list[str]]:
    return report.listed, report.added, report.delisted, report.relisted


def test_a_hundred_syncs_leave_the_same_rows_and_the_same_revision(okx: Exchange) -> None:
    store(okx, catalogue())
    first, revision, symbols = rows(okx), current_revision(), list(Symbol.objects.values())

    for _ in range(100):
        assert of(store(okx, catalogue())) == (6, [], [], [])

    assert rows(okx) == first
    assert list(Symbol.objects.values()) == symbols
    assert current_revision() == revision


def test_a_new_instrument_arrives_with_all_its_values_and_a_disabled_symbol(okx: Exchange) -> None:
    report = store(okx, [*catalogue(), listed("NEW", tick_size=Decimal("0.00000001"))])

    row = Instrument.objects.get(exchange=okx, native_id="NEW-USDT")
    assert report.added == ["NEW-USDT"]
    assert (row.symbol.name, row.symbol.base, row.symbol.quote) == ("NEW/USDT", "NEW", "USDT")
    assert row.symbol.enabled is False
    assert (row.tick_size, row.lot_size, row.min_notional) == (
        Decimal("0.00000001"), Decimal("0.0001"), Decimal(5),
    )  # fmt: skip
    assert (row.quote_volume_24h, row.status, row.active) == (Decimal(1_000_000), "live", True)


def test_a_delisted_instrument_stays_as_an_inactive_row_and_is_no_longer_collected(okx: Exchange) -> None:
    store(okx, catalogue())

    report = store(okx, catalogue(BASES[1:]))

    row = Instrument.objects.get(exchange=okx, native_id="BTC-USDT")
    assert report.delisted == ["BTC-USDT"]
    assert (row.active, row.status, row.delisted_at is not None) == (False, "delisted", True)
    assert report.revision == current_revision()
    config = load_config()
    assert ("okx", "BTC/USDT") not in {(i.exchange, i.symbol) for i in config.instruments}
    assert "BTC/USDT|kucoin|okx" not in {o.id for o in config.opportunities}
    assert store(okx, catalogue(BASES[1:])).delisted == []  # reported once


def test_a_relisted_instrument_comes_back(okx: Exchange) -> None:
    store(okx, catalogue())
    store(okx, catalogue(BASES[1:]))

    report = store(okx, catalogue())

    row = Instrument.objects.get(exchange=okx, native_id="BTC-USDT")
    assert report.relisted == ["BTC-USDT"]
    assert (row.active, row.status, row.delisted_at) == (True, "live", None)
    assert report.revision == current_revision()


def test_a_halted_instrument_is_inactive_with_the_exchanges_word_but_not_delisted(okx: Exchange) -> None:
    store(okx, catalogue())

    report = store(okx, [*catalogue(BASES[1:]), listed("BTC", active=False, status="suspend")])

    row = Instrument.objects.get(exchange=okx, native_id="BTC-USDT")
    assert (row.active, row.status, row.delisted_at) == (False, "suspend", None)
    assert report.news() == {"no longer trading": ["BTC-USDT"]}
    assert store(okx, catalogue()).news() == {"trading again": ["BTC-USDT"]}


def test_a_listing_under_a_new_native_id_takes_over_its_symbol(okx: Exchange) -> None:
    store(okx, catalogue())

    report = store(okx, [*catalogue(BASES[1:]), listed("BTC", native_id="BTC2-USDT")])

    assert (report.added, report.delisted) == (["BTC2-USDT"], ["BTC-USDT"])
    active = Instrument.objects.get(exchange=okx, symbol__name="BTC/USDT", active=True)
    assert active.native_id == "BTC2-USDT"


def test_two_listings_that_swap_their_symbols_are_stored(okx: Exchange) -> None:
    store(okx, catalogue())

    swapped = [listed("BTC", native_id="ETH-USDT"), listed("ETH", native_id="BTC-USDT")]
    store(okx, [*catalogue(BASES[2:]), *swapped])

    names = dict(Instrument.objects.filter(exchange=okx).values_list("native_id", "symbol__name"))
    assert (names["ETH-USDT"], names["BTC-USDT"]) == ("BTC/USDT", "ETH/USDT")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([], "lists no spot market at all"),
        (catalogue(BASES[:2]), "2 spot markets are trading where 6 were; .*--allow-shrink"),
        ([listed(base, active=False) for base in BASES], "0 spot markets are trading where 6 were"),
    ],
)
def test_an_implausible_answer_is_refused_and_changes_nothing(
    okx: Exchange, answer: list[ListedMarket], words: str
) -> None:
    store(okx, catalogue())
    before = rows(okx)

    with pytest.raises(CatalogueError, match=words):
        store(okx, answer)

    assert rows(okx) == before


def test_an_operator_can_insist_on_a_short_list(okx: Exchange) -> None:
    store(okx, catalogue())

    assert len(store(okx, catalogue(BASES[:2]), allow_shrink=True).delisted) == 4


def test_what_only_changes_numbers_does_not_disturb_collectors(okx: Exchange) -> None:
    store(okx, catalogue())
    revision = current_revision()

    report = store(okx, [listed(base, quote_volume_24h=Decimal(7), tick_size=Decimal(1)) for base in BASES])

    assert (report.revision, current_revision()) == (None, revision)
    assert report.volumes_moved


def test_a_volume_that_leaves_the_exchanges_bounds_reaches_collectors(okx: Exchange) -> None:
    Exchange.objects.filter(pk=okx.pk).update(min_volume=1000)
    store(okx, catalogue())

    report = store(okx, [*catalogue(BASES[1:]), listed("BTC", quote_volume_24h=Decimal(999))])

    assert report.revision == current_revision()
    assert ("okx", "BTC/USDT") not in {(i.exchange, i.symbol) for i in load_config().instruments}


def test_the_operators_switch_survives_a_sync(okx: Exchange) -> None:
    Instrument.objects.filter(exchange=okx, native_id="BTC-USDT").update(enabled=False)

    store(okx, catalogue())

    assert not Instrument.objects.get(exchange=okx, native_id="BTC-USDT").enabled


def test_listings_whose_names_cannot_be_kept_are_counted(okx: Exchange) -> None:
    report = store(okx, [*catalogue(), listed("X" * 70), listed("USDT")])

    assert (report.listed, report.skipped) == (6, 2)


def test_the_last_sync_is_remembered(okx: Exchange) -> None:
    store(okx, catalogue())

    state = CatalogueSync.objects.get(exchange=okx)
    assert (state.listed, state.error, state.synced_at) == (6, "", state.tried_at)


def test_an_override_replaces_scheme_and_host_of_every_url_and_keeps_its_path() -> None:
    urls = {"public": "https://api.gateio.ws/api/v4", "nested": {"spot": "https://api.{hostname}"}, "n": None}

    assert rebase(urls, "http://127.0.0.1:9000/gate/") == {
        "public": "http://127.0.0.1:9000/gate/api/v4",
        "nested": {"spot": "http://127.0.0.1:9000/gate"},
        "n": None,
    }


def test_base_and_quote_are_the_exchanges_own_fields_and_swaps_are_left_out() -> None:
    spot = {
        "id": "1000SATSUSDT", "base": "SATS", "quote": "USDT", "spot": True, "active": None,
        "info": {"status": "TRADING"}, "precision": {"price": 1e-08, "amount": 1.0},
        "limits": {"cost": {"min": 5.0}},
    }  # fmt: skip

    [market] = parse(
        {"SATS/USDT": spot, "BTC/USDT:USDT": {"spot": False}}, {"SATS/USDT": {"quoteVolume": 12.5}}
    )

    assert market == ListedMarket(
        native_id="1000SATSUSDT", symbol="SATS/USDT", base="SATS", quote="USDT", active=True,
        status="TRADING", tick_size=Decimal("1E-8"), lot_size=Decimal("1.0"), min_notional=Decimal("5.0"),
        quote_volume_24h=Decimal("12.5"),
    )  # fmt: skip
