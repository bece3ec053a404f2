"""A kept secret goes where it was entered for, and nowhere else, whichever door changes the destination."""

import importlib
import io
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from core.errors import InvalidConfig
from core.secrets import sealing
from core.secrets.sealing import UnreadableSecret
from markets.models import Exchange
from markets.selectors import load_config
from markets.sync.catalogue import CatalogueError, client
from monitoring.alerts import dispatch
from monitoring.alerts.secrets import PURPOSE
from monitoring.models import AlertChannel

pytestmark = pytest.mark.django_db

TOKEN = "123456:AAH-very-secret"
ASKS = "entered for another destination"
BUDGET = {"per_second": "1", "per_minute": "20", "enabled": "on"}
FORMS: dict[str, dict[str, str]] = {
    "telegram": {"chat_id": "-100200", "base_url": "https://bots.example.com", **BUDGET},
    "webhook": {"url": "https://hook.example.com/a", **BUDGET},
    "pagerduty": {"base_url": "https://events.example.com", **BUDGET},
    "email": {
        "host": "mail.example.com", "port": "465", "security": "ssl", "username": "desk",
        "sender": "desk@example.com", "recipients": "a@example.com", **BUDGET,
    },
}  # fmt: skip

ELSEWHERE = [
    ("telegram", {"base_url": "https://evil.example.com"}),
    ("telegram", {"base_url": "http://bots.example.com"}),
    ("telegram", {"base_url": "https://bots.example.com:8443"}),
    ("telegram", {"base_url": "https://bots.example.com/proxy"}),
    ("telegram", {"base_url": ""}),
    ("webhook", {"url": "https://evil.example.com/a"}),
    ("webhook", {"url": "https://hook.example.com/b"}),
    ("pagerduty", {"base_url": "https://evil.example.com"}),
    ("email", {"host": "evil.example.com"}),
    ("email", {"port": "2525"}),
    ("email", {"port": ""}),
    ("email", {"security": "none"}),
    ("email", {"security": "starttls"}),
    ("email", {"username": "somebody"}),
]


def entered(kind: str, client: Client, **changes: str) -> tuple[str, AlertChannel | None]:
    """Save the only channel's form, or the first one's; what the page says, and the row."""
    row = AlertChannel.objects.first()
    args = [row.pk] if row else []
    address = reverse(f"admin:monitoring_alertchannel_{'change' if row else 'add'}", args=args)
    form = {"name": "desk", "kind": kind, **FORMS[kind], **changes}
    said = client.post(address, form, follow=True).content.decode()
    return said, AlertChannel.objects.first()


def kept(kind: str, client: Client) -> AlertChannel:
    """A channel with a secret, entered as an operator does."""
    said, row = entered(kind, client, secret=TOKEN)
    assert row is not None, said
    assert row.secret == TOKEN
    return row


@pytest.mark.parametrize(("kind", "changes"), ELSEWHERE)
def test_the_form_asks_for_the_secret_again_when_it_would_go_elsewhere(
    operator_client: Client, kind: str, changes: dict[str, str]
) -> None:
    before = kept(kind, operator_client).settings
    said, row = entered(kind, operator_client, secret="", _test="1", **changes)
    assert row is not None
    assert ASKS in said
    assert (row.settings, row.secret, row.deliveries.count()) == (before, TOKEN, 0)
    _, row = entered(kind, operator_client, secret="654321:new-secret", **changes)
    assert row is not None
    assert row.secret == "654321:new-secret"
    assert row.settings != before


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("telegram", {"chat_id": "7"}),
        ("telegram", {"per_minute": "7"}),
        ("email", {"recipients": "b@example.com"}),
    ],
)
def test_what_does_not_move_the_secret_keeps_it(
    operator_client: Client, kind: str, changes: dict[str, str]
) -> None:
    kept(kind, operator_client)
    said, row = entered(kind, operator_client, secret="", **changes)
    assert row is not None
    assert ASKS not in said
    assert row.secret == TOKEN


def test_another_kind_asks_for_its_own(operator_client: Client) -> None:
    kept("telegram", operator_client)
    said, row = entered("email", operator_client, secret="")
    assert row is not None
    assert ASKS in said
    assert (row.kind, row.secret) == ("telegram", TOKEN)


def test_a_mail_server_nobody_signs_in_to_keeps_no_password(operator_client: Client) -> None:
    kept("email", operator_client)
    _, row = entered("email", operator_client, secret="", username="")
    assert row is not None
    assert (row.sealed_secret, "username" in row.settings) == ("", False)


@pytest.mark.parametrize(("kind", "changes"), ELSEWHERE)
def test_by_any_other_door_the_secret_is_not_sent(
    operator_client: Client, kind: str, changes: dict[str, str]
) -> None:
    row = kept(kind, operator_client)
    AlertChannel.objects.update(settings={**row.settings, **changes})
    row.refresh_from_db()
    with pytest.raises(UnreadableSecret, match=ASKS):
        _destination(row).target()
    page = reverse("admin:monitoring_alertchannel_change", args=[row.pk])
    assert ASKS in operator_client.get(page).content.decode()


def test_a_sealed_secret_copied_to_another_channel_does_not_open_there(operator_client: Client) -> None:
    row = kept("telegram", operator_client)
    thief = AlertChannel.objects.create(
        name="thief", kind="telegram", settings={"chat_id": "1", "base_url": "https://evil.example.com"},
        sealed_secret=row.sealed_secret,
    )  # fmt: skip
    with pytest.raises(UnreadableSecret, match=ASKS):
        _ = thief.secret


def test_what_was_sealed_before_is_bound_to_where_it_went(operator_client: Client) -> None:
    row = kept("email", operator_client)
    step = importlib.import_module("monitoring.migrations.0007_bound_secrets")
    step.release(apps, None)
    row.refresh_from_db()
    assert sealing.opened(row.sealed_secret, PURPOSE).decode() == TOKEN
    with pytest.raises(UnreadableSecret, match=ASKS):
        _ = row.secret  # nothing that is not bound is sent anywhere
    step.bind(apps, None)
    row.refresh_from_db()
    assert row.secret == TOKEN


def test_a_secret_of_one_purpose_does_not_open_for_another() -> None:
    sealed = sealing.seal(TOKEN, "keys of exchanges", "okx")
    assert sealing.unseal(sealed, "keys of exchanges", "okx") == TOKEN
    for purpose, destination in (("keys of exchanges", "binance"), (PURPOSE, "okx")):
        with pytest.raises(UnreadableSecret):
            sealing.unseal(sealed, purpose, destination)


def _destination(row: AlertChannel) -> Any:
    fields: dict[str, Any] = {
        name: getattr(row, name, True) for name in dispatch.Destination.__struct_fields__
    }
    return dispatch.Destination(**fields)


# --- proxies of exchanges ----------------------------------------------------------------------------

PROXY = "socks5://desk:open-sesame@10.0.0.1:1080"


def stored() -> str:
    """Stored text of the only exchange's proxy."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT proxy FROM markets_exchange")
        return str(cursor.fetchone()[0])


def exchange(proxy: str = PROXY) -> Exchange:
    """One that is reached through a proxy."""
    return Exchange.objects.create(key="okx", name="OKX", taker_fee_bps=10, maker_fee_bps=8, proxy=proxy)


def test_the_credentials_of_a_proxy_lie_sealed(tmp_path: Path) -> None:
    row = exchange()
    assert "sesame" not in stored()
    row.refresh_from_db()
    assert row.proxy == PROXY
    assert load_config().exchanges[0].proxy == PROXY
    Exchange.objects.update(proxy="http://u:" + "p" * 270 + "@h:1")
    assert "ppp" not in stored()
    assert Exchange.objects.get().proxy.startswith("http://u:ppp")
    dumped = io.StringIO()
    call_command("dumpdata", "markets.exchange", stdout=dumped)
    assert "ppp" not in dumped.getvalue()
    Exchange.objects.all().delete()
    file = tmp_path / "exchange.json"
    file.write_text(dumped.getvalue())
    call_command("loaddata", str(file), stdout=io.StringIO())
    assert Exchange.objects.get().proxy.startswith("http://u:ppp")


def test_a_proxy_without_credentials_stays_readable() -> None:
    exchange("http://10.0.0.1:3128")
    assert stored() == "http://10.0.0.1:3128"


def test_a_proxy_sealed_under_another_key_is_no_way_out_and_says_so(
    operator_client: Client, settings: Any
) -> None:
    row = exchange()
    before = stored()
    settings.SECRET_KEY, old = "another " * 8, settings.SECRET_KEY
    row.refresh_from_db()
    with pytest.raises(InvalidConfig, match="sealed under another SECRET_KEY"):
        load_config()
    with pytest.raises(CatalogueError, match="sealed under another SECRET_KEY"):
        client("okx", "", row.proxy)  # by no means without a proxy
    row.save()
    assert stored() == before
    settings.SECRET_KEY_FALLBACKS = [old]
    assert Exchange.objects.get().proxy == PROXY


def test_proxies_that_were_stored_before_are_sealed() -> None:
    exchange()
    step = importlib.import_module("markets.migrations.0010_sealed_proxies")
    step.open_again(apps, None)
    assert stored() == PROXY
    assert Exchange.objects.get().proxy == PROXY
    step.seal(apps, None)
    assert "sesame" not in stored()
    assert Exchange.objects.get().proxy == PROXY
