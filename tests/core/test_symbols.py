"""One rule for names: exact spelling first, then any case; several are said; lists with quotes and “!”."""

import unicodedata
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from core.names.symbols import (
    AmbiguousName,
    comma_separated,
    matcher,
    pinned_down,
    problems,
    quoted,
    resolve,
    searcher,
    words,
)
from markets.models import Exchange, FeeSchedule, Instrument, OpportunityFilter, PinnedChart, Symbol
from markets.seed import seed
from markets.selectors import count_selected, filter_row, load_config

LISTED = ("OMNI/USDT", "omni/USDT", "Jade Protocol/USDT", "BTC/USDT", "BTC3L/USDT", "JUP/USDT", "JUPUP/USDT")


# --- who is meant --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("omni/USDT", "omni/USDT"),
        ("OMNI/USDT", "OMNI/USDT"),
        ('"omni/USDT"', "omni/USDT"),
        (" btc/usdt ", "BTC/USDT"),
        ("btc-usdt", "BTC/USDT"),
        ("BTCUSDT", "BTC/USDT"),
        ("jade protocol/usdt", "Jade Protocol/USDT"),
        ('"jade protocol/USDT"', None),
        ("NOPE/USDT", None),
        ("", None),
    ],
)
def test_an_exact_spelling_goes_first_then_any_case(text: str, meant: str | None) -> None:
    assert resolve(text, LISTED) == meant


@pytest.mark.parametrize("text", ["omni/usdt", "OmNi/USDT", "OMNIUSDT", "omni-usdt"])
def test_several_are_said_and_none_is_chosen(text: str) -> None:
    with pytest.raises(AmbiguousName) as caught:
        resolve(text, LISTED)

    assert str(caught.value) == f"{text} matches OMNI/USDT and omni/USDT: write it exactly"


def test_letters_in_two_parts_are_one_and_those_that_look_alike_are_others() -> None:
    composed, apart = "\u00c9TO/USDT", unicodedata.normalize("NFD", "\u00c9TO/USDT")

    assert resolve(apart, [composed]) == composed
    assert resolve("ВTC/USDT", ["BTC/USDT"]) is None  # a Cyrillic В
    assert resolve("ıo/usdt", ["IO/USDT"]) is None  # a Turkish dotless i
    assert resolve("STRASSE/USDT", ["Straße/USDT"]) == "Straße/USDT"
    assert matcher("É*").match(unicodedata.normalize("NFD", "éto/USDT"))


@given(st.text(max_size=20), st.lists(st.text(max_size=10), max_size=5))
def test_any_text_means_one_or_none_or_says_which(text: str, names: list[str]) -> None:
    found: set[str | None] = set()
    try:
        found.add(resolve(text, names))
    except AmbiguousName as problem:
        found.update(problem.names)

    assert found <= {None, *names}


@given(st.text(min_size=1, max_size=20), st.lists(st.text(max_size=10), max_size=5))
def test_every_name_can_be_written_exactly(name: str, others: list[str]) -> None:
    assert resolve(quoted(name), [*others, name]) == unicodedata.normalize("NFC", name) or name in {
        resolve(quoted(name), [name])
    }
    assert matcher(quoted(name)).match(name) or problems(quoted(name))


# --- lists ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("!*3L/*", set(LISTED) - {"BTC3L/USDT"}),
        ("!*3l/usdt", set(LISTED) - {"BTC3L/USDT"}),
        ("!JUP/USDT", set(LISTED) - {"JUP/USDT"}),
        ("JUP/USDT", {"JUP/USDT"}),
        ("JUPUP/USDT", {"JUPUP/USDT"}),
        ("*UP/* !JUP/USDT", {"JUPUP/USDT"}),
        ("* !BTC*, !OMNI/*", {"Jade Protocol/USDT", "JUP/USDT", "JUPUP/USDT"}),
        ('"omni/USDT"', {"omni/USDT"}),
        ('!"omni/USDT" omni/*', {"OMNI/USDT"}),
        ("omni/usdt", {"omni/USDT", "OMNI/USDT"}),
        ('"Jade Protocol/USDT", BTC/USDT', {"Jade Protocol/USDT", "BTC/USDT"}),
        ('"jade protocol/USDT"', set()),
        ("jade?protocol/usdt", {"Jade Protocol/USDT"}),
        ("", set(LISTED)),
        (" \n ", set(LISTED)),
        ("!!! ;;;", set()),
        ('!BTC/USDT "', set()),
    ],
)
def test_what_a_list_names(text: str, left: set[str]) -> None:
    assert {name for name in LISTED if matcher(text).match(name)} == left


@pytest.mark.parametrize(
    "name", ["A B/USDT", "A,B/USDT", "A*B/USDT", "!A/USDT", 'A"B/USDT', "A;B/USDT", "[A]/USDT"]
)
def test_quotes_take_any_name_literally(name: str) -> None:
    assert problems(quoted(name)) == []
    assert matcher(quoted(name)).match(name)
    assert not matcher(quoted(name)).match(name.replace("A", "AX"))
    assert not matcher(f"!{quoted(name)}").match(name)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("!!! ;;;", ["“!!!”", "“;;;”"]),
        ("BTC/USDT,,ETH/USDT", ["“,,”"]),
        (";", ["“;”"]),
        ('""', ['“""”']),
        ("!", ["“!”"]),
        ('BTC/USDT "Jade Protocol/USDT', ['“"Jade Protocol/USDT”']),
        ('A"B/USDT', ['“A"B/USDT”']),
        ("!!BTC/USDT", ["“!!BTC/USDT”"]),
        ("BTC/", ["“BTC/”"]),
        ("/USDT", ["“/USDT”"]),
        ("BTC//USDT", ["“BTC//USDT”"]),
        ("BTC/*/*", ["“BTC/*/*”"]),
        ("[z-a]/USDT", ["“[z-a]/USDT”"]),
        ("!*", ["“!*”"]),
        ("BTC/USDT !*/*", ["“!*/*”"]),
        ("BTC/USDT !btc/*", ["“BTC/USDT”"]),
        ("*3L/* !*3l/*", ["“*3L/*”"]),
    ],
)
def test_what_names_nothing_is_said_by_name(text: str, named: list[str]) -> None:
    found = problems(text)

    assert len(found) == len(named)
    assert all(problem.startswith(word) for problem, word in zip(found, named, strict=True))


@pytest.mark.parametrize("text", ["BTC/USDT,\nETH/USDT,\n", "!*3L/*", "[BE]T/USDT", "BTCUSDT", '"omni/USDT"'])
def test_what_is_fine(text: str) -> None:
    assert problems(text) == []


@given(st.text(alphabet=st.sampled_from('aB/!"*?[],; \n'), max_size=15))
def test_no_text_breaks_a_list(text: str) -> None:
    problems(text)
    for name in LISTED:
        matcher(text).match(name)
    assert (
        "".join(word.written for word in words(text)).split()
        == "".join(word.written for word in words(text)).split()
    )


def test_a_name_that_a_symbol_has_exactly_means_only_that() -> None:
    text = pinned_down("omni/USDT, ETH/* !OMNI/USDT", set(LISTED))

    assert matcher(text).match("omni/USDT")
    assert not matcher(text).match("OMNI/USDT")


def test_a_commands_names_may_have_spaces() -> None:
    assert comma_separated(' Jade Protocol/USDT, "A,B/USDT" ,BTCUSDT,') == [
        "Jade Protocol/USDT", '"A,B/USDT"', "BTCUSDT",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("omni", {"OMNI/USDT", "omni/USDT"}),
        ("OMNI", {"OMNI/USDT", "omni/USDT"}),
        ('"omni"', {"omni/USDT"}),
        ("jade prot", {"Jade Protocol/USDT"}),
        ("omniusdt", {"OMNI/USDT", "omni/USDT"}),
        ('"Jade Protocol/USDT"', {"Jade Protocol/USDT"}),
        ("", set(LISTED)),
    ],
)
def test_what_a_search_finds(search: str, found: set[str]) -> None:
    assert {name for name in LISTED if searcher(search)(name)} == found


# --- filters -------------------------------------------------------------------------------------


@pytest.fixture
def desk(db: None) -> None:
    """Both OMNI and omni trade on Binance and Bybit, and a name with a space."""
    seed()
    for base in ("OMNI", "omni", "Jade Protocol"):
        symbol = Symbol.objects.create(name=f"{base}/USDT", base=base, quote="USDT", enabled=True)
        for key in ("binance", "bybit"):
            exchange = Exchange.objects.get(key=key)
            Instrument.objects.create(exchange=exchange, symbol=symbol, native_id=f"{base}-{symbol.pk}")


def charted(symbols: str) -> set[str]:
    OpportunityFilter.objects.all().delete()
    row = OpportunityFilter(name="it", symbols=symbols)
    row.full_clean()
    row.save()
    return {each.symbol for each in load_config().opportunities}


@pytest.mark.parametrize(
    ("symbols", "selected"),
    [
        ("omni/USDT", {"omni/USDT"}),
        ("OMNI/USDT", {"OMNI/USDT"}),
        ('"Jade Protocol/USDT"', {"Jade Protocol/USDT"}),
        ('"omni/USDT" "Jade Protocol/USDT"', {"omni/USDT", "Jade Protocol/USDT"}),
        ("*mni/usdt", {"omni/USDT", "OMNI/USDT"}),
        ("omni/* !OMNI/USDT", {"omni/USDT"}),
        ("btc/usdt", {"BTC/USDT"}),
    ],
)
def test_filters_can_name_every_symbol(desk: None, symbols: str, selected: set[str]) -> None:
    assert charted(symbols) == selected
    row = OpportunityFilter.objects.get()
    assert row.symbols == symbols  # as it was written
    assert count_selected(filter_row(row)) == len(selected) * (28 if "BTC/USDT" in selected else 1)


def test_a_filter_of_exclusions_is_everything_but(desk: None, settings: Any) -> None:
    settings.MAX_OPPORTUNITIES_PER_FILTER = 1000
    assert charted("!omni/USDT !BTC/*") == set(
        Symbol.objects.exclude(name__in=("omni/USDT", "BTC/USDT")).values_list("name", flat=True)
    )


@pytest.mark.parametrize(
    ("symbols", "words"),
    [
        ("omni/usdt", "omni/usdt matches OMNI/USDT and omni/USDT: write it exactly"),
        ("!!! ;;;", "“!!!”: it names nothing"),
        ('"Jade', "a quote is not closed"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(desk: None, symbols: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OpportunityFilter(name="it", symbols=symbols).full_clean()

    assert any(words in message for message in caught.value.message_dict["symbols"])


def test_a_saved_filter_of_nothing_is_warned_of_in_the_admin(desk: None, operator_client: Client) -> None:
    fields = {
        "name": "None",
        "enabled": "on",
        "symbols": "NOSUCH/USDT",
        "charted": "on",
        "min_duration_ms": "0",
    }

    page = operator_client.post(
        reverse("admin:markets_opportunityfilter_add"), fields, follow=True
    ).content.decode()

    assert "Selects no opportunity now" in page
    assert '<li class="warning">Selects no opportunity now' in page
    assert OpportunityFilter.objects.filter(name="None").exists()


@pytest.mark.parametrize(
    ("symbols", "said"),
    [
        ("!!! ;;;", "“!!!”: it names nothing “;;;”: there is no name between the separators"),
        ("Omni/usdt", "Omni/usdt matches OMNI/USDT and omni/USDT: write it exactly"),
        ("omni/USDT NOPE/USDT", "“NOPE/USDT”: there is no such symbol."),
        ("!NOPE/USDT", "“!NOPE/USDT”: there is no such symbol."),
        ("Jade Protocol/USDT", "“Jade”: a symbol has two parts, write Jade/USDT or Jade/*"),
        ("off/usdt", "“off/usdt” is not enabled."),
        ("!*3L/*", ""),
        ('!OFF/USDT "omni/USDT"', ""),
    ],
)
def test_the_form_says_while_one_types_what_is_not_meant(
    desk: None, operator_client: Client, symbols: str, said: str
) -> None:
    Symbol.objects.create(name="OFF/USDT", base="OFF", quote="USDT")
    fields = {"name": "it", "symbols": symbols, "charted": "on", "min_duration_ms": "0"}
    text = operator_client.post(reverse("admin:markets_opportunityfilter_count"), fields).content.decode()

    assert said in text if said else text.endswith("now.")


def test_the_admin_refuses_what_names_nothing(desk: None, operator_client: Client) -> None:
    fields = {"name": "Bad", "enabled": "on", "symbols": "!!! ;;;", "charted": "on", "min_duration_ms": "0"}

    page = operator_client.post(reverse("admin:markets_opportunityfilter_add"), fields).content.decode()

    assert "“!!!”: it names nothing" in page
    assert not OpportunityFilter.objects.filter(name="Bad").exists()


@pytest.mark.parametrize("asked", ["OMNI/USDT", "omni/usdt", "jade protocol", '"Jade Protocol/USDT"'])
def test_the_admins_search_finds_names_in_any_case(desk: None, operator_client: Client, asked: str) -> None:
    page = operator_client.get(reverse("admin:markets_symbol_changelist"), {"q": asked}).content.decode()

    assert ("Jade Protocol/USDT" if "ade" in asked else "omni/USDT") in page


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("omni/usdt", {"omni/USDT", "OMNI/USDT"}), ('"omni/USDT"', {"omni/USDT"}),
        ("OMNIUSDT", {"omni/USDT", "OMNI/USDT"}),
        ("usdt jade", {"Jade Protocol/USDT"}), ('"jade protocol"', set()), ("__admin_search", set()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("page", ["symbol", "instrument"])
def test_the_admins_search_finds_what_every_search_finds(
    desk: None, operator_client: Client, page: str, asked: str, found: set[str]
) -> None:
    Instrument.objects.exclude(symbol__base__in=["omni", "OMNI", "Jade Protocol"]).delete()
    answer = operator_client.get(reverse(f"admin:markets_{page}_changelist"), {"q": asked})

    assert {str(getattr(row, "symbol", row)) for row in answer.context["cl"].result_list} == found


def test_the_admins_search_of_instruments_finds_native_ids(desk: None, operator_client: Client) -> None:
    row = Instrument.objects.get(symbol__name="omni/USDT", exchange__key="bybit")
    answer = operator_client.get(reverse("admin:markets_instrument_changelist"), {"q": row.native_id.upper()})

    assert row in answer.context["cl"].result_list


def test_fee_schedules_refuse_what_names_nothing(desk: None) -> None:
    row = FeeSchedule(exchange=Exchange.objects.first(), symbols="!!!", taker_fee_bps=1, maker_fee_bps=1)
    with pytest.raises(ValidationError, match="it names nothing"):
        row.clean()


# --- the APIs and commands -----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_pins_take_any_spelling_that_means_one(desk: None, operator_client: Client) -> None:
    def pin(id: str) -> tuple[int, object]:
        answer = operator_client.post("/api/pins", {"id": id}, content_type="application/json")
        return answer.status_code, answer.json()

    assert pin("omni/usdt|binance|bybit") == (
        400, {"error": "id: omni/usdt matches OMNI/USDT and omni/USDT: write it exactly"},
    )  # fmt: skip
    assert pin("omni/USDT|binance|bybit")[0] == 200
    assert pin("jade protocol/usdt|Binance|bybit")[0] == 200
    names = PinnedChart.objects.order_by("pk").values_list("symbol__name", flat=True)
    assert list(names) == ["omni/USDT", "Jade Protocol/USDT"]

    assert pin("omni/USDT|bybit|binance")[1] == {
        "pins": ["omni/USDT|binance|bybit", "Jade Protocol/USDT|binance|bybit"], "limit": 50,
    }  # fmt: skip
    operator_client.delete("/api/pins?id=JADE PROTOCOL/USDT|bybit|binance")
    assert list(names.all()) == ["omni/USDT"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "path",
    [
        "/api/opportunities/explain?exchange1=binance&exchange2=bybit&symbol=",
        "/api/rolling_window_data?exchange1=binance&exchange2=bybit&symbol=",
        "/api/dashboard_data?exchange1=binance&exchange2=bybit&symbol=",
        "/api/history/trades?exchange=binance&symbol=",
        "/api/history/states?symbol=",
        "/api/history/opportunities?exchange1=binance&exchange2=bybit&symbol=",
        "/api/opportunities/statistics?exchange1=binance&exchange2=bybit&symbol=",
    ],
)
def test_every_api_says_which_it_could_be(desk: None, operator_client: Client, path: str) -> None:
    OpportunityFilter.objects.update(symbols="")

    answer = operator_client.get(f"{path}omni/usdt")

    assert answer.status_code == 400, answer.content
    assert answer.json()["error"] == "symbol: omni/usdt matches OMNI/USDT and omni/USDT: write it exactly"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("symbol", ["omni/USDT", "jade protocol/usdt", '"omni/USDT"'])
def test_explain_finds_one_by_its_exact_name(desk: None, operator_client: Client, symbol: str) -> None:
    asked = {"symbol": symbol, "exchange1": "binance", "exchange2": "bybit"}

    answer = operator_client.get("/api/opportunities/explain", asked)

    assert answer.json()["symbol"] == ("Jade Protocol/USDT" if "jade" in symbol else "omni/USDT")


@pytest.mark.parametrize("command", [("replay", "--symbols"), ("export", "quotes", "--symbol")])
def test_commands_say_which_it_could_be(desk: None, command: tuple[str, ...]) -> None:
    OpportunityFilter.objects.update(symbols="")

    with pytest.raises(CommandError, match="omni/usdt matches OMNI/USDT and omni/USDT: write it exactly"):
        call_command(*command, "omni/usdt")
