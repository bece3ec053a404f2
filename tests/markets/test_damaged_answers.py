"""Damaged and double answers of exchanges: what can be read is kept, and the rest is said in words."""

import itertools
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from markets.models import CatalogueSync, Exchange, IdentityCase, Instrument, Symbol, WalletStatus, WalletSync
from markets.seed import seed
from markets.selectors import load_config
from markets.sync import wallet_answers as wallets
from markets.sync import wallets as wallet_sync
from markets.sync.catalogue import CatalogueError, fetch
from markets.sync.symbols import SyncReport, sync_all
from tests.support.exchanges.exchange_rest import HTML, Reply, chain, coin, gate, pair, serving, ticker

pytestmark = pytest.mark.django_db

NAMES = ("BTC_USDT", "ETH_USDT", "SOL_USDT", "XRP_USDT", "ADA_USDT")


@pytest.fixture(autouse=True)
def _simulated(settings: Settings) -> None:
    """Show a server's words: those of exchanges, and of such as are simulated on this machine."""
    settings.FEED = "sim"


@pytest.fixture
def desk(db: None) -> Exchange:
    seed()
    Instrument.objects.filter(exchange__key="gate").delete()
    return Exchange.objects.get(key="gate")


def pairs(*more: Any) -> list[Any]:
    return [*(pair(name) for name in NAMES), *more]


def synced(desk: Exchange, answers: dict[str, Any]) -> SyncReport:
    with serving(answers) as url:
        Exchange.objects.filter(pk=desk.pk).update(rest_url=url)
        desk.refresh_from_db()
        [report] = sync_all([desk])
    return report


def instrument(native_id: str) -> Instrument:
    return Instrument.objects.get(exchange__key="gate", native_id=native_id)


def sync_row() -> CatalogueSync:
    return CatalogueSync.objects.get(exchange__key="gate")


# --- two markets under one name ------------------------------------------------------------------

# ccxt calls Gate's BOX “DEFIBOX”, and DEFIBOX, too.
LIVING, DEAD = pair("BOX_USDT"), pair("DEFIBOX_USDT", trade_status="untradable")


@pytest.mark.parametrize("order", list(itertools.permutations((LIVING, DEAD))))
def test_of_two_markets_under_one_name_the_one_that_trades_is_compared(
    desk: Exchange, order: Sequence[Any]
) -> None:
    report = synced(desk, gate(pairs(*order), [ticker("BOX_USDT", "111"), ticker("DEFIBOX_USDT", "9")]))

    living, dead = instrument("BOX_USDT"), instrument("DEFIBOX_USDT")
    assert living.symbol == dead.symbol
    assert (living.active, living.quote_volume_24h, living.set_aside) == (True, Decimal(111), "")
    assert (dead.active, dead.status, dead.quote_volume_24h) == (False, "untradable", Decimal(9))
    assert dead.set_aside == "BOX_USDT has the same name and trades and this one does not"
    said = (
        "DEFIBOX/USDT: DEFIBOX_USDT is set aside, BOX_USDT has the same name and trades and this one does not"
    )
    assert report.twice == [said]
    assert sync_row().remarks == said
    assert sync_row().error == ""


@pytest.mark.parametrize("order", list(itertools.permutations(("BOX_USDT", "DEFIBOX_USDT"))))
def test_two_that_both_trade_never_take_turns(desk: Exchange, order: Sequence[str]) -> None:
    rows = pairs(*map(pair, order))
    synced(desk, gate(rows))
    assert instrument("DEFIBOX_USDT").active  # it is spelled like the name

    for volumes in (("1", "99999"), ("99999", "1")):
        tickers = [ticker(name, volume) for name, volume in zip(order, volumes, strict=True)]
        report = synced(desk, gate(rows, tickers))
        assert instrument("DEFIBOX_USDT").active
        assert not instrument("BOX_USDT").active
        assert report.news() == {}


def test_the_one_that_has_the_name_keeps_it_while_it_trades(desk: Exchange) -> None:
    synced(desk, gate(pairs(LIVING, DEAD)))

    synced(desk, gate(pairs(LIVING, pair("DEFIBOX_USDT"))))
    assert instrument("BOX_USDT").active
    assert instrument("DEFIBOX_USDT").set_aside == "BOX_USDT has the same name and had the name before"

    synced(desk, gate(pairs(pair("BOX_USDT", trade_status="untradable"), pair("DEFIBOX_USDT"))))
    assert instrument("DEFIBOX_USDT").active
    assert instrument("BOX_USDT").set_aside

    synced(desk, gate(pairs(pair("DEFIBOX_USDT"))))
    assert (instrument("BOX_USDT").status, instrument("BOX_USDT").set_aside) == ("delisted", "")


def test_the_operators_switch_chooses_between_two_that_trade(desk: Exchange) -> None:
    rows = pairs(pair("BOX_USDT"), pair("DEFIBOX_USDT"))
    synced(desk, gate(rows))
    Instrument.objects.filter(native_id="DEFIBOX_USDT").update(enabled=False)

    synced(desk, gate(rows))

    assert instrument("BOX_USDT").active


def test_the_one_set_aside_is_neither_collected_nor_compared(desk: Exchange) -> None:
    synced(desk, gate(pairs(LIVING, DEAD)))
    Symbol.objects.filter(name="DEFIBOX/USDT").update(enabled=True)

    config = load_config()

    assert [row.native_id for row in config.listings if row.symbol == "DEFIBOX/USDT"] == ["BOX_USDT"]
    assert [row.native_id for row in config.instruments if row.symbol == "DEFIBOX/USDT"] == ["BOX_USDT"]


def test_the_admin_shows_the_one_set_aside_with_the_reason(desk: Exchange, operator_client: Client) -> None:
    synced(desk, gate(pairs(LIVING, DEAD)))

    listed = operator_client.get("/admin/markets/instrument/?q=BOX_USDT").content.decode()
    exchanges = operator_client.get("/admin/markets/exchange/").content.decode()

    assert "BOX_USDT has the same name and trades" in listed
    assert "DEFIBOX_USDT is set aside" in exchanges


def test_a_native_id_listed_twice_is_one_instrument_that_trades(desk: Exchange) -> None:
    for order in itertools.permutations((pair("BOX_USDT"), pair("BOX_USDT", trade_status="untradable"))):
        report = synced(desk, gate(pairs(*order)))
        assert not report.error
        assert instrument("BOX_USDT").active


def test_a_damaged_row_lets_no_other_market_take_over_the_name(desk: Exchange) -> None:
    synced(desk, gate(pairs(LIVING, DEAD)))
    rival = pair("DEFIBOX_USDT")

    for damaged in (
        pair("BOX_USDT", amount_precision={"no": 1}),
        pair("BOX_USDT", trade_status={"no": "word"}),
        {"amount_precision": {"no": 1}},
    ):
        report = synced(desk, gate(pairs(damaged, rival), []))
        assert report.news() == {}
        assert instrument("BOX_USDT").active
        assert "BOX_USDT has the same name" in instrument("DEFIBOX_USDT").set_aside

    synced(desk, gate(pairs(LIVING, rival)))
    assert instrument("BOX_USDT").active


def test_who_takes_over_a_name_is_said_as_that(desk: Exchange) -> None:
    both = pairs(pair("BOX_USDT"), pair("DEFIBOX_USDT"))
    synced(desk, gate(both))

    report = synced(desk, gate(pairs(pair("BOX_USDT"))))
    assert report.news() == {"delisted": ["DEFIBOX_USDT"], "compared from now on": ["BOX_USDT"]}

    Instrument.objects.filter(native_id="BOX_USDT").update(enabled=False)
    report = synced(desk, gate(both))
    assert report.news() == {"relisted": ["DEFIBOX_USDT"], "set aside": ["BOX_USDT"]}


def test_a_decision_about_a_coin_does_not_outlive_the_market_it_was_about(desk: Exchange) -> None:
    synced(desk, gate(pairs(LIVING, DEAD)))
    symbol, okx = Symbol.objects.get(name="DEFIBOX/USDT"), Exchange.objects.get(key="okx")
    now = timezone.now()
    decided = IdentityCase.objects.create(
        symbol=symbol, exchange1=desk, exchange2=okx, verdict="confirmed", found_at=now, seen_at=now
    )

    synced(desk, gate(pairs(LIVING, DEAD)))
    decided.refresh_from_db()
    assert decided.verdict == "confirmed"

    report = synced(desk, gate(pairs(pair("DEFIBOX_USDT"))))
    decided.refresh_from_db()
    assert (decided.verdict, decided.decided_at) == ("quarantined", None)
    assert decided.note == "Gate compares DEFIBOX_USDT under this name now, no longer BOX_USDT."
    assert report.revision is not None


# --- answers that are broken ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tickers", "words"),
    [
        (HTML, "tickers: HTML instead of JSON: “Just a moment...”"),
        (Reply("<html><body><h1>Bad  Gateway</h1></body>", 502), "HTML instead of JSON: “Bad Gateway”"),
        (Reply("upstream connect error"), "tickers: text instead of JSON: “upstream connect error”"),
        (Reply(""), "tickers: an empty answer instead of JSON"),
        (Reply("[{\"currency_pair\": \"BTC"), "tickers: text instead of JSON: “[{\"currency_pair\": \"BTC”"),
        ([], "tickers: there are none in the answer"),
        (Reply('{"label":"TOO_BUSY","message":"try later"}', 503), "tickers: gate "),
    ],
)  # fmt: skip
def test_without_tickers_the_markets_are_synced_and_their_volumes_unknown(
    desk: Exchange, tickers: Any, words: str
) -> None:
    report = synced(desk, gate(pairs(), tickers))

    assert report.error == ""
    assert report.listed == 5
    row = sync_row()
    assert words in row.error
    assert row.in_part
    assert {each.quote_volume_24h for each in Instrument.objects.filter(exchange=desk)} == {None}


@pytest.mark.parametrize(
    "tickers", [{"msg": "busy"}, [ticker("OTHER_USDT")], [{"currency_pair": name} for name in NAMES]]
)
def test_tickers_without_any_volume_of_ours_are_said(desk: Exchange, tickers: Any) -> None:
    report = synced(desk, gate(pairs(), tickers))

    assert report.error == ""
    assert "tickers: there are no" in sync_row().error


@pytest.mark.parametrize("margin", [HTML, Reply(""), Reply("no", 500), {"label": "BUSY"}])
def test_what_is_not_spot_is_not_asked_for(desk: Exchange, margin: Any) -> None:
    answers = gate(pairs(pair("HALTED_USDT", trade_status="untradable")))
    report = synced(desk, answers | {"/api/v4/margin/currency_pairs": margin})

    assert (report.error, report.problems, report.listed) == ("", [], 6)


def test_a_pair_that_only_margin_trades_is_not_trading(desk: Exchange) -> None:
    margin = [{"id": "HALTED_USDT", "base": "HALTED", "quote": "USDT", "leverage": 3, "status": 1}]
    answers = gate(pairs(pair("HALTED_USDT", trade_status="untradable")))
    synced(desk, answers | {"/api/v4/margin/currency_pairs": margin})

    assert not instrument("HALTED_USDT").active


def test_a_volume_that_is_no_longer_said_is_kept_for_a_day_with_its_age(desk: Exchange) -> None:
    synced(desk, gate(pairs()))
    said_at = instrument("BTC_USDT").synced_at

    synced(desk, gate(pairs(), HTML))
    synced(desk, gate(pairs(), HTML))
    assert (instrument("BTC_USDT").quote_volume_24h, instrument("BTC_USDT").volume_at) == (
        Decimal(5000),
        said_at,
    )

    Instrument.objects.filter(exchange=desk).update(volume_at=timezone.now() - timedelta(hours=25))
    synced(desk, gate(pairs(), HTML))
    assert instrument("BTC_USDT").quote_volume_24h is None


BROKEN: list[Any] = [
    {"id": "NOUNDERSCORE", "base": "NO", "quote": "SCORE"},
    {"id": None, "base": None, "quote": None},
    {"id": "TOO_MANY_PARTS", "base": "A", "quote": "B"},
    {"id": 17, "base": "A"},
    {"id": "ODD_USDT", "amount_precision": {"not": "a number"}},
    {},
    None,
    "a string",
    ["a", "list"],
    {"id": "_", "base": "", "quote": ""},
]


@pytest.mark.parametrize("row", BROKEN)
@pytest.mark.parametrize("place", [0, 2, 5])
def test_a_market_that_makes_no_sense_costs_only_itself(desk: Exchange, row: Any, place: int) -> None:
    rows = pairs()
    rows.insert(place, row)

    report = synced(desk, gate(rows, [ticker(name) for name in NAMES]))

    assert report.error == ""
    assert report.listed >= 5
    assert set(NAMES) <= set(Instrument.objects.filter(active=True).values_list("native_id", flat=True))


def test_what_could_not_be_read_is_counted_and_named(desk: Exchange) -> None:
    odd = {"id": "NOUNDERSCORE", "base": "NO", "quote": "SCORE"}
    synced(desk, gate(pairs(odd, odd), [ticker(name) for name in NAMES]))

    assert "markets: 2 not readable, left out: NOUNDERSCORE, NOUNDERSCORE (its fields are" in sync_row().error
    assert sync_row().in_part


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (BROKEN[0], 'its fields are not what they usually are: “{"id": "NOUNDERSCORE"'),
        (BROKEN[6], "it is no object but “null”"),
        (BROKEN[7], "it is no object but “"),
        (BROKEN[5], "it is empty"),
    ],
)
def test_why_a_row_cannot_be_read_is_said_by_what_it_is(desk: Exchange, row: Any, said: str) -> None:
    """And not by the line of Python that fell over it, which operators do not know."""
    synced(desk, gate(pairs(row), [ticker(name) for name in NAMES]))

    assert said in sync_row().error
    assert "Error:" not in sync_row().error


@pytest.mark.parametrize("row", [None, "x", ["y"], {"currency_pair": {"a": 1}}, 5])
def test_a_ticker_that_makes_no_sense_costs_only_its_volume(desk: Exchange, row: Any) -> None:
    report = synced(desk, gate(pairs(), [row, *(ticker(name) for name in NAMES)]))

    assert report.error == ""
    assert instrument("BTC_USDT").quote_volume_24h == 5000


def test_an_instrument_whose_row_cannot_be_read_is_not_delisted(desk: Exchange) -> None:
    synced(desk, gate(pairs()))

    report = synced(desk, gate([*map(pair, NAMES[1:]), pair("BTC_USDT", amount_precision={"no": 1})]))
    assert report.delisted == []
    assert instrument("BTC_USDT").active

    report = synced(desk, gate([*map(pair, NAMES[1:]), {"amount_precision": {"no": 1}}], []))
    assert report.delisted == []
    assert synced(desk, gate([pair(name) for name in NAMES[1:]])).delisted == ["BTC_USDT"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (HTML, "HTML instead of JSON: “Just a moment...”"),
        (Reply("<html><title>403 Forbidden</title></html>", 403), "HTML instead of JSON: “403 Forbidden”"),
        ([], "it lists no spot market at all; nothing was changed"),
        ({"code": 5, "msg": "busy"}, 'its answer is of another kind than usual: “{"code": 5'),
        (Reply(b"\x1f\x8b\x08\0"), "bytes that are no text instead of JSON"),
        (
            Reply(b"\x1f\x8b\x08garbage", headers={"Content-Encoding": "gzip"}),
            "its answer cannot be unpacked",
        ),
        (Reply("[", headers={"Content-Length": "9"}), "its answer breaks off"),
        ([{"id": "x"}] * 4, "most of its 4 rows cannot be read"),
        ([pair("BTC_USDT")], "1 spot markets are trading where 5 were"),
    ],
)
def test_an_answer_of_which_no_catalogue_can_be_made_changes_nothing_and_says_so(
    desk: Exchange, rows: Any, words: str
) -> None:
    synced(desk, gate(pairs()))

    report = synced(desk, gate(rows, []))

    assert words in report.error
    assert words in sync_row().error
    assert not sync_row().in_part
    assert Instrument.objects.filter(exchange=desk, active=True).count() == 5


def test_names_too_long_or_with_letters_no_database_takes_cost_only_themselves(desk: Exchange) -> None:
    rows = pairs(pair(f"{'X' * 40}_USDT"), pair("NUL\0_USDT"))

    report = synced(desk, gate(rows))

    assert (report.error, report.listed, report.skipped) == ("", 5, 2)


@pytest.mark.parametrize("bad", ["\u202e", "\u200b", "\x1b[31m", "\u2067", "\ud800"])
def test_names_that_turn_or_hide_text_cost_only_themselves(desk: Exchange, bad: str) -> None:
    report = synced(desk, gate(pairs(pair(f"A{bad}B_USDT"))))

    assert (report.error, report.listed, report.skipped) == ("", 5, 1)
    assert not Symbol.objects.filter(name__contains=bad.encode("utf-8", "replace").decode()).exists()


def test_the_command_says_what_came_in_part(desk: Exchange) -> None:
    out = StringIO()
    with serving(gate(pairs(LIVING, DEAD), HTML)) as url:
        Exchange.objects.filter(pk=desk.pk).update(rest_url=url)
        call_command("sync_markets", "--exchange", "gate", stdout=out)

    assert "in part: tickers: HTML instead of JSON: “Just a moment...”" in out.getvalue()
    assert "of one name: DEFIBOX/USDT: DEFIBOX_USDT is set aside" in out.getvalue()


def test_a_short_answer_still_fails_the_command(desk: Exchange) -> None:
    with serving(gate(HTML, [])) as url:
        Exchange.objects.filter(pk=desk.pk).update(rest_url=url)
        with pytest.raises(CommandError, match="1 of 1 exchanges failed"):
            call_command("sync_markets", "--exchange", "gate", stdout=StringIO())


# --- wallets -------------------------------------------------------------------------------------


def answered(currencies: Any) -> "wallets.WalletAnswer":
    with serving(gate([], [], currencies)) as url:
        return wallets.fetch("gate", url)


def stored(desk: Exchange, currencies: Any) -> wallet_sync.WalletReport:
    return wallet_sync.store(desk, answered(currencies))


def known() -> dict[tuple[str, str], tuple[bool | None, bool | None]]:
    rows = WalletStatus.objects.filter(exchange__key="gate")
    return {(row.coin, row.network): (row.deposit, row.withdraw) for row in rows}


@pytest.mark.parametrize("order", list(itertools.permutations((0, 1))))
def test_two_chains_under_one_name_do_not_hide_each_other(desk: Exchange, order: Sequence[int]) -> None:
    # ccxt calls both ERC20.
    chains = [chain("ETH"), chain("ERC20", deposit=False, withdraw=False)]

    report = stored(desk, [coin("PEPE", *(chains[place] for place in order))])

    assert known()["PEPE", "ERC20"] == (True, True)
    assert report.remarks == ["PEPE ERC20 is ETH, not ERC20"]
    assert WalletSync.objects.get(exchange=desk).remarks == "PEPE ERC20 is ETH, not ERC20"


@pytest.mark.parametrize("order", list(itertools.permutations((0, 1))))
def test_the_wallet_of_a_name_is_that_of_the_coin_traded_under_it(
    desk: Exchange, order: Sequence[int]
) -> None:
    synced(desk, gate(pairs(LIVING, DEAD)))
    coins = [coin("BOX", chain("EOS")), coin("DEFIBOX", chain("EOS", deposit=False, withdraw=False))]

    report = stored(desk, [coins[place] for place in order])

    assert known()["DEFIBOX", "EOS"] == (True, True)
    assert report.remarks == ["DEFIBOX is BOX, not DEFIBOX"]


@pytest.mark.parametrize("broken", [None, "x", {"name": {"a": 1}}, 7, ["z"]])
def test_a_network_that_makes_no_sense_costs_neither_its_coin_nor_the_others(
    desk: Exchange, broken: Any
) -> None:
    report = stored(desk, [coin("PEPE", chain("BSC"), broken), coin("BTC", chain("BTC"))])

    assert report.error == ""
    assert {coin for coin, _network in known()} == {"PEPE", "BTC"}


def test_a_coin_that_makes_no_sense_costs_only_itself_and_is_named(desk: Exchange) -> None:
    report = stored(desk, [{"currency": "ODD", "chains": 5}, None, coin("BTC", chain("BTC")), coin("ETH")])

    assert ("BTC", "BTC") in known()
    assert report.error == ""


def test_a_bad_hour_does_not_forget_the_wallets(desk: Exchange) -> None:
    many = [coin(base, chain("ETH")) for base in Symbol.objects.values_list("base", flat=True)]
    stored(desk, many)

    with pytest.raises(CatalogueError, match="it reports 2 networks where 20 were known"):
        stored(desk, many[:2])

    assert len(known()) == 20


def test_wallets_that_answer_html_say_so() -> None:
    with pytest.raises(CatalogueError, match=r"HTML instead of JSON: “Just a moment\.\.\.”"):
        answered(HTML)


def test_a_catalogue_can_be_looked_at_without_storing_it() -> None:
    with serving(gate(pairs(LIVING, DEAD))) as url:
        catalogue = fetch("gate", url)

    assert {market.native_id for market in catalogue} == {*NAMES, "BOX_USDT", "DEFIBOX_USDT"}
    assert (catalogue.problems, catalogue.skipped) == ([], [])
