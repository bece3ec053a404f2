"""Names read as they are written: refused, left out or shown harmless, whichever way they come."""

import io
import logging
from pathlib import Path

import polars as pl
import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from arbsite.logs import JsonFormatter, TerminalFormatter
from core.names.plain_fields import LinesField, NameField, check_kept_names
from core.names.plain_names import escaped, isolated, no_formula, plain, unfit_character
from history.read.exporting import harmless as harmless_frame
from markets.models import Exchange, ExchangePair, OpportunityFilter
from markets.sync.catalogue import parse
from markets.sync.rows import Skipped, in_words
from markets.sync.wallet_answers import parse as parse_wallets
from monitoring.alerts.channels.mail import Mailbox, letter
from monitoring.alerts.channels.parcels import Parcel, Target
from monitoring.alerts.messages import Message, harmless
from monitoring.models import AlertChannel, AlertRule
from realtime.models import SavedView

BAD = [
    "\u202e", "\u202d", "\u2066", "\u2067", "\u2068", "\u2069", "\u200e", "\u200f", "\u061c", "\u200b",
    "\u200d", "\u2060", "\ufeff", "\u00ad", "\u180e", "\u2028", "\u2029", "\x1b", "\x07", "\x9b",
    "\x7f", "\r", "\x00",
    "\U000e0041", "\ufff9",
    "\u034f", "\u115f", "\u1160", "\u17b4", "\u180b", "\u2800", "\u3164", "\ufe00", "\uffa0", "\U000e0100",
]  # fmt: skip
TURNED = "Bi\u202enance"


@pytest.mark.parametrize("bad", BAD)
def test_what_turns_or_hides_text_is_unfit(bad: str) -> None:
    assert unfit_character(f"a{bad}b") == f"U+{ord(bad):04X}"
    assert plain(f"a{bad}b") == "a�b"
    assert bad not in escaped(f"a{bad}b")


@pytest.mark.parametrize(
    "good",
    ["BTC/USDT", "币安人生/USDT", "Grün & Söhne", "مثال", "1000x", "a b", "é", "🚀", "❤\ufe0f", "한글"],
)
def test_other_names_stay(good: str) -> None:
    assert unfit_character(good) == ""
    assert plain(good) == escaped(good) == good


@given(st.text())
def test_no_text_is_left_that_turns_another(text: str) -> None:
    left = plain(text)
    assert len(left) == len(text)
    without = left.replace("\u2068", "").replace("\u2069", "")
    assert unfit_character(without) == ""
    assert left.count("\u2068") == left.count("\u2069")
    assert unfit_character(escaped(text), lines=True) == ""


def test_a_name_of_right_to_left_letters_keeps_to_itself() -> None:
    assert isolated("בורסה") == "\u2068בורסה\u2069"
    assert plain(f"{isolated('בורסה')} 56 ms") == "\u2068בורסה\u2069 56 ms"
    assert isolated("Binance") == "Binance"
    assert isolated("בו\u2069רסה") == "\u2068בו�רסה\u2069"


# --- what an operator enters ---------------------------------------------------------------------

FORMS: list[tuple[str, dict[str, str], tuple[str, ...]]] = [
    ("/admin/markets/exchange/add/", {"key": "okx"}, ("name", "account_tier")),
    ("/admin/markets/symbol/add/", {}, ("name", "base", "quote")),
    ("/admin/markets/opportunityfilter/add/", {}, ("name", "symbols", "quote")),
    ("/admin/markets/feeschedule/add/", {}, ("tier", "symbols")),
    (
        "/admin/monitoring/alertchannel/add/",
        {"kind": "telegram"},
        ("name", "chat_id", "host", "username", "url"),
    ),
    ("/admin/monitoring/alertrule/add/", {}, ("name", "subject")),
    ("/admin/realtime/apitoken/add/", {}, ("name",)),
    ("/admin/auth/user/add/", {}, ("username",)),
    ("/admin/auth/group/add/", {}, ("name",)),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("address", "fields", "names"), FORMS)
@pytest.mark.parametrize("bad", ["\u202e", "\u200b", "\x1b[31m", "\u2067"])
def test_a_form_refuses_it_and_names_the_field(
    operator_client: Client, address: str, fields: dict[str, str], names: tuple[str, ...], bad: str
) -> None:
    page = operator_client.post(address, {**fields, **{name: f"a{bad}b" for name in names}})
    assert page.status_code == 200
    errors = page.context["adminform"].form.errors
    for name in names:
        assert name in errors, (name, errors)


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["first_name", "last_name", "username", "email"])
def test_of_a_person_too(operator_client: Client, operator: User, field: str) -> None:
    page = operator_client.post(
        f"/admin/auth/user/{operator.pk}/change/",
        {
            "username": "operator",
            "date_joined_0": "2026-01-01",
            "date_joined_1": "00:00:00",
            field: "a\u202eb",
        },
    )
    assert field in page.context["adminform"].form.errors


def test_every_name_of_ours_is_checked() -> None:
    """A new column for a name is one that is checked, or it is named here with its reason."""
    others = {
        "markets.Exchange.key": "letters and digits by its own check",
        "markets.ShardLease.shard": "made by the desk", "markets.ShardLease.holder": "made by the desk",
        "markets.ShardLease.place": "made by the desk",
        "markets.Exchange.rest_url": "an address", "markets.Exchange.ws_url": "an address",
        "markets.Exchange.swap_rest_url": "an address", "markets.Exchange.swap_ws_url": "an address",
        "markets.Exchange.proxy": "an address", "markets.IdentityCase.follows": "made by the desk",
        "monitoring.AlertChannel.sealed_secret": "sealed", "monitoring.AlertRule.quiet_zone": "of a list",
        "monitoring.Alert.key": "made by the desk", "monitoring.Alert.path": "made by the desk",
        "monitoring.Delivery.idempotency_key": "made by the desk", "realtime.SavedView.query": "an address",
        "realtime.ApiToken.digest": "made by the desk", "realtime.ApiToken.hint": "made by the desk",
        "realtime.ApiToken.fingerprint": "made by the desk",
        "opportunities.OpportunityEpisode.exchange1": "an exchange's key",
        "opportunities.OpportunityEpisode.exchange2": "an exchange's key",
        "opportunities.OpportunityEpisode.buy_on": "an exchange's key",
        "opportunities.OpportunityEpisode.sell_on": "an exchange's key",
        "opportunities.OpportunityEpisode.moved_on": "an exchange's key",
        "history.RetentionPolicy.table": "made by the desk",
        "history.MaintenanceRun.table": "made by the desk",
        "accounts.UserSession.device": "made by the desk", "accounts.UserSession.address": "an address",
        "accounts.Authenticator.name": "made by the desk", "accounts.Authenticator.sealed_key": "sealed",
        "accounts.RecoveryCode.digest": "made by the desk", "audit.Link.digest": "made by the desk",
        **dict.fromkeys(
            (f"audit.Entry.{name}" for name in (
                "kind", "user_name", "token", "program", "address", "agent", "object_type", "object_id",
                "object_name", "words",
            )), "a record of what was",
        ),
    }  # fmt: skip
    ours = [each for each in apps.get_app_configs() if Path(each.path).parent == settings.BASE_DIR]
    assert len(ours) > 5
    for app in ours:
        for model in app.get_models():
            for field in model._meta.concrete_fields:
                is_text = field.get_internal_type() in ("CharField", "TextField") and not field.choices
                name = f"{model._meta.label}.{field.name}"
                assert not is_text or isinstance(field, NameField | LinesField) or name in others, name


# --- what an exchange lists ----------------------------------------------------------------------


def test_a_row_that_calls_itself_so_is_named_harmless() -> None:
    assert unfit_character(in_words([Skipped("\u202eBTC", "\x1b[2J")], "markets")) == ""


def test_its_word_for_a_market_is_shown_harmless() -> None:
    row = {"id": "AB", "base": "A", "quote": "B", "spot": True, "info": {"state": "li\u202eve\x1b[31m"}}
    [found] = parse({"AB": row}, {}, "okx")
    assert unfit_character(found.status) == ""


def test_a_network_is_left_out_and_said() -> None:
    skipped: list[Skipped] = []
    coins = [
        {"code": "BTC", "networks": {"ERC\u202e20": {}, "BEP20": {}}},
        {"code": "E\u200bTH", "networks": {"X": {}}},
    ]
    assert [row.network for row in parse_wallets(coins, None, skipped)] == ["BEP20"]
    assert len(skipped) == 2
    assert unfit_character(in_words(skipped, "wallets")) == ""


# --- what was kept before ------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
class TestRowsOfBefore:
    @pytest.fixture(autouse=True)
    def _kept(self, empty_redis: Redis, operator: User) -> None:
        call_command("seed", verbosity=0)
        Exchange.objects.filter(key="binance").update(name=TURNED)
        first = OpportunityFilter.objects.order_by("pk")[:1]
        OpportunityFilter.objects.filter(pk__in=first.values("pk")).update(name="fil\u202eter")
        AlertChannel.objects.create(name="ops", kind="webhook", settings={"url": "https://example.com/"})
        AlertChannel.objects.update(name="o\u202eps")
        AlertRule.objects.create(name="rule", what="exchange_silent")
        AlertRule.objects.update(name="ru\u202ele")
        SavedView.objects.bulk_create([SavedView(user=operator, name="vi\u202eew", query="")])

    def test_are_shown_harmless(self, operator_client: Client) -> None:
        for address in (
            "/", "/scanner", "/health/", "/opportunities", "/opportunities/statistics", "/api/charts",
            "/api/scanner/views", "/admin/markets/exchange/", "/admin/markets/exchangepair/",
            "/admin/markets/opportunityfilter/", "/admin/monitoring/alertchannel/",
            "/admin/monitoring/alertrule/", "/admin/markets/instrument/",
        ):  # fmt: skip
            page = operator_client.get(address)
            assert page.status_code == 200
            said = page.content.decode()
            for written in ("\u202e", "\\u202e", "\\u202E", "&#8238;"):
                assert written not in said, address

    def test_are_named_by_a_check(self) -> None:
        found = {message.obj: message.msg for message in check_kept_names(databases=["default"])}
        assert set(found) == {
            "markets.Exchange", "markets.OpportunityFilter", "monitoring.AlertChannel",
            "monitoring.AlertRule", "realtime.SavedView",
        }  # fmt: skip
        assert "U+202E" in found["markets.Exchange"]
        assert "\u202e" not in found["markets.Exchange"]

    def test_the_command_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("check", databases=["default"])
        said = "".join(capsys.readouterr())
        assert "markets.Exchange.name" in said
        assert "\u202e" not in said

    def test_saved_again_they_are_mended(self) -> None:
        row = Exchange.objects.get(key="binance")
        row.save()
        assert "markets.Exchange" not in [each.obj for each in check_kept_names(databases=["default"])]
        assert str(ExchangePair.objects.filter(exchange1=row).select_related().first()).startswith("Bi�nance")


# --- alerts, logs, files -------------------------------------------------------------------------


def message(name: str) -> Message:
    return Message(
        f"{name}: silent\r\nBcc: x@example.com", f"{name} 56 ms\nmore", "info", "firing",
        ((name, name),), "", "k", 0,
    )  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_a_message_holds_nothing_that_a_reader_obeys(bad: str) -> None:
    sent = harmless(message(f"a{bad}b"))
    assert unfit_character(sent.title) == ""
    assert unfit_character(sent.words, lines=True) == ""
    assert unfit_character("".join(sum(sent.facts, ())), lines=True) == ""


def test_a_subject_is_one_header() -> None:
    box = Target(
        "email", {"host": "mail.example.com", "sender": "a@example.com", "recipients": ["b@example.com"]}, ""
    )
    mail = letter(Mailbox(box), Parcel("k", harmless(message(TURNED))))
    assert mail["Bcc"] is None
    assert b"\nBcc:" not in mail.as_bytes().partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize("formatter", [JsonFormatter(), TerminalFormatter()])
@pytest.mark.parametrize("bad", [*BAD, "\x1b]0;title\x07", "\x1b[2J"])
def test_a_log_line_moves_no_cursor(formatter: logging.Formatter, bad: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.Logger("desk")
    logger.addHandler(handler)
    try:
        raise ValueError(bad)
    except ValueError:
        logger.exception("Not Found: /%s", f"a{bad}b")
    assert unfit_character(stream.getvalue(), lines=True) == ""
    assert "\r" not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@x",
        " =1",
        "\t=1",
        "\u200b=1",
        "\ufeff=1",
        "\u00a0=1",
        "\u115f=1",
        "\u2800=1",
        "\ufe0f=1",
        "\U000e0100=1",
        "＝1",
        "＋1",
        "－1",
        "＠x",
        "\n",
    ],
)
def test_no_file_holds_a_formula(text: str) -> None:
    assert no_formula(text) == f"'{text}"
    assert harmless_frame(pl.DataFrame({"a": [text, "BTC"]}))["a"].to_list() == [f"'{text}", "BTC"]


@pytest.mark.django_db
def test_a_group_with_such_a_name_stays_in_its_cell(operator_client: Client) -> None:
    Group.objects.create(name="gr\u202eoup")
    page = operator_client.get("/admin/auth/group/").content.decode()
    assert "gr\u202eoup</a>" in page, "alone in its element, which is isolated (static/css/admin.css)"
