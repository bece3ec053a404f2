"""Rules, channels and incidents in the admin: what is refused, what a secret shows, what would fire."""

import time
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from core.health.findings import Finding
from markets.models import OpportunityFilter
from monitoring.alerts.messages import Message
from monitoring.alerts.secrets import UnreadableSecret
from monitoring.alerts.seed import RULES, seed_rules
from monitoring.health.memory import FRESH, Published
from monitoring.models import Alert, AlertChannel, AlertRule, Delivery, DeliveryAttempt, What
from opportunities.services import save_episodes
from tests.monitoring.alerts.test_rules_at_work import seen

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_redis")]

TOKEN = "123456:AAH-very-secret"
SILENT = Finding("exchange_silent", "okx", "critical", 0, "Nothing for 7 s.", "Look.", 7.0)


@pytest.fixture
def pages(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:monitoring_{name}", args=args)


def text(client: Client, url: str) -> str:
    response = client.get(url, follow=True)
    assert response.status_code == 200, url
    return response.content.decode()


# --- channels ----------------------------------------------------------------------------------------

TELEGRAM = {
    "name": "desk", "kind": "telegram", "enabled": "on", "chat_id": "-100200", "secret": TOKEN,
    "per_second": "1", "per_minute": "20", "security": "starttls",
}  # fmt: skip
MAIL = {
    "name": "mail", "kind": "email", "enabled": "on", "host": "mail.example.com", "security": "ssl",
    "sender": "desk@example.com", "recipients": "a@example.com, b@example.com", "per_second": "1",
    "per_minute": "20",
}  # fmt: skip


def post(pages: Client, fields: dict[str, str], *args: Any) -> str:
    """Save the form; what the page says then."""
    address = page("alertchannel_change", *args) if args else page("alertchannel_add")
    response = pages.post(address, fields, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def test_a_secret_goes_in_sealed_and_never_comes_out(pages: Client) -> None:
    post(pages, TELEGRAM)
    row = AlertChannel.objects.get()
    assert (row.settings, row.secret) == ({"chat_id": "-100200"}, TOKEN)
    assert TOKEN not in row.sealed_secret
    shown = text(pages, page("alertchannel_change", row.pk)) + text(pages, page("alertchannel_changelist"))
    assert "A secret is stored and never shown" in shown
    for secret in (TOKEN, row.sealed_secret):
        assert secret not in shown
        assert secret not in "".join(entry.change_message for entry in LogEntry.objects.all())


def test_a_form_that_is_refused_does_not_show_the_secret_either(pages: Client) -> None:
    said = post(pages, TELEGRAM | {"chat_id": ""})
    assert "Required for this kind of channel." in said
    assert TOKEN not in said


def test_an_empty_secret_keeps_the_one_that_is_there(pages: Client) -> None:
    post(pages, TELEGRAM)
    row = AlertChannel.objects.get()
    post(pages, TELEGRAM | {"secret": "", "chat_id": "7"}, row.pk)
    row.refresh_from_db()
    assert (row.settings["chat_id"], row.secret) == ("7", TOKEN)


def test_another_kind_does_not_inherit_the_secret(pages: Client) -> None:
    post(pages, TELEGRAM)
    row = AlertChannel.objects.get()
    said = post(pages, TELEGRAM | {"kind": "pagerduty", "secret": ""}, row.pk)
    assert "Required for this kind of channel." in said
    assert AlertChannel.objects.get().secret == TOKEN


def test_only_the_settings_of_the_kind_are_kept(pages: Client) -> None:
    post(pages, MAIL | {"chat_id": "7", "url": "https://example.com"})
    assert AlertChannel.objects.get().settings == {
        "host": "mail.example.com", "security": "ssl", "sender": "desk@example.com",
        "recipients": ["a@example.com", "b@example.com"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (MAIL | {"recipients": "nobody"}, "Not an e-mail address: nobody"),
        (TELEGRAM | {"kind": "slack", "secret": "ftp://example.com"}, "These settings cannot work"),
        (TELEGRAM | {"kind": "webhook", "url": "file:///etc/passwd"}, "These settings cannot work"),
        (TELEGRAM | {"per_minute": "0"}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_work_is_refused_in_words(pages: Client, fields: dict[str, str], words: str) -> None:
    assert words in post(pages, fields)
    assert not AlertChannel.objects.exists()


def test_a_secret_sealed_under_another_key_says_so_and_can_be_entered_again(
    pages: Client, settings: Settings
) -> None:
    post(pages, TELEGRAM)
    row = AlertChannel.objects.get()
    settings.SECRET_KEY, old = "another " * 8, settings.SECRET_KEY
    with pytest.raises(UnreadableSecret):
        _ = row.secret
    settings.SECRET_KEY_FALLBACKS = [old]
    assert row.secret == TOKEN
    settings.SECRET_KEY_FALLBACKS = []
    pages.force_login(User.objects.get())
    assert "sealed under another SECRET_KEY" in text(pages, page("alertchannel_change", row.pk))
    post(pages, TELEGRAM | {"secret": "new"}, row.pk)
    row.refresh_from_db()
    assert row.secret == "new"


def test_a_test_is_queued_and_its_way_can_be_followed(pages: Client) -> None:
    said = post(pages, TELEGRAM | {"_test": "Save and send a test"})
    row = Delivery.objects.get()
    message = msgspec.convert(row.message, Message)
    assert (row.kind, message.title, message.facts[0]) == (
        "test", "Test of desk", ("Requested by", "operator"),
    )  # fmt: skip
    followed = page("alertchannel_test", row.pk)
    assert f'data-url="{followed}"' in said
    assert pages.get(followed).json() == {"words": "○ waiting", "over": False, "state": "queued"}
    Delivery.objects.update(state="given_up", last_error="404: chat not found")
    assert pages.get(followed).json()["words"] == "■ given up: 404: chat not found"


def test_a_channel_that_is_switched_off_is_not_tested(pages: Client) -> None:
    said = post(pages, {**TELEGRAM, "enabled": "", "_test": "Save and send a test"})
    assert "nothing was sent" in said
    assert not Delivery.objects.exists()


def test_who_may_not_see_channels_may_not_follow_tests(pages: Client, client: Client) -> None:
    post(pages, TELEGRAM | {"_test": "1"})
    client.force_login(User.objects.create_user("guest", is_staff=True))
    assert client.get(page("alertchannel_test", Delivery.objects.get().pk)).status_code == 403
    assert client.post(page("alertrule_preview")).status_code == 403


def test_a_channel_that_has_sent_something_can_be_deleted(pages: Client) -> None:
    """The secret may have leaked: nobody should have to keep it for the sake of its old messages."""
    post(pages, TELEGRAM | {"_test": "1"})
    row = AlertChannel.objects.get()
    assert "Cannot delete" not in text(pages, page("alertchannel_delete", row.pk))
    assert pages.post(page("alertchannel_delete", row.pk), {"post": "yes"}).status_code == 302
    assert not AlertChannel.objects.exists()
    post(pages, TELEGRAM | {"_test": "1"})
    pk = AlertChannel.objects.get().pk
    chosen = {"action": "delete_selected", "_selected_action": [pk], "post": "yes"}
    assert pages.post(page("alertchannel_changelist"), chosen).status_code == 302
    assert not AlertChannel.objects.exists()


# --- rules -------------------------------------------------------------------------------------------

HEALTH = {
    "name": "silence", "enabled": "on", "what": "exchange_silent", "severity": "critical", "for_s": "0",
    "clear_after_s": "0", "cool_down_s": "0", "digest_minutes": "0", "remind_minutes": "0",
    "quiet_zone": "UTC", "funding_unit": "8h",
}  # fmt: skip


def save_rule(pages: Client, **fields: Any) -> str:
    return pages.post(page("alertrule_add"), HEALTH | fields, follow=True).content.decode()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"min_edge_bps": "5"}, "Only for opportunities: leave it empty."),
        ({"what": "opportunity", "threshold": "5"}, "An opportunity ends when it closes: leave this empty."),
        ({"clear_below": "5"}, "Enter a threshold, or clear"),
        ({"threshold": "5", "clear_below": "6"}, "It would clear above its threshold: enter less than 5.0."),
        ({"quiet_from": "22:00"}, "Enter both ends of the quiet hours, or neither."),
        ({"quiet_from": "22:00", "quiet_until": "22:00"}, "Quiet hours start and end at the same time"),
        ({"quiet_zone": "Mars/Olympus"}, "There is no such time zone"),
    ],
)
def test_what_does_not_belong_together_is_refused_in_words(
    pages: Client, fields: dict[str, str], words: str
) -> None:
    assert words in save_rule(pages, **fields)
    assert not AlertRule.objects.filter(name="silence").exists()


def test_a_pager_gets_no_digest(pages: Client) -> None:
    pager = AlertChannel.objects.create(name="pager", kind="pagerduty")
    assert "pager opens and closes each incident by itself" in save_rule(
        pages, digest_minutes="10", channels=[str(pager.pk)]
    )


def found(redis: Redis, *findings: Finding) -> None:
    """Publish findings as the monitor does."""
    redis.set(FRESH, msgspec.json.encode(Published(time.time_ns() // 1000, findings)))


def preview(pages: Client, **fields: str) -> str:
    return pages.post(page("alertrule_preview"), HEALTH | fields).content.decode()


def test_the_form_says_what_it_would_fire_for_now(pages: Client, empty_redis: Redis) -> None:
    assert preview(pages).startswith("Unknown: no monitor reports.")
    found(empty_redis)
    assert preview(pages) == "Nothing."
    others = [msgspec.structs.replace(SILENT, subject=f"exchange{number}") for number in range(6)]
    found(empty_redis, SILENT, *others)
    assert preview(pages, subject="okx") == "okx"
    assert preview(pages).endswith(" and 2 more")
    assert preview(pages, subject="okx", threshold="8") == "Nothing."
    found(empty_redis, msgspec.structs.replace(SILENT, since_us=time.time_ns() // 1000))
    assert preview(pages, for_s="60") == "Nothing yet; okx will if it lasts."
    assert preview(pages, for_s="x") == "Correct the form to see the result."


def test_the_form_says_which_opportunities_it_would_fire_for(pages: Client) -> None:
    save_episodes([seen()])
    assert preview(pages, what="opportunity", min_edge_bps="12") == "BTC/USDT bybit → binance"
    assert preview(pages, what="opportunity", min_edge_bps="13") == "Nothing."


def test_the_list_has_condition_channels_and_firing_incidents_of_each(pages: Client) -> None:
    save_rule(pages, subject="okx", threshold="5", for_s="300")
    rule = AlertRule.objects.get(name="silence")
    shown = text(pages, page("alertrule_changelist"))
    assert "exchange silent or down, okx, ≥ 5, for 5 min" in shown
    assert "no channel: shown here only" in shown
    fired(rule)
    shown = text(pages, page("alertrule_changelist"))
    assert "■ 1 firing" in shown
    assert f"{page('alert_changelist')}?rule__id__exact={rule.pk}&amp;state__exact=firing" in shown


def test_rules_are_switched_on_and_off_with_who_did_it(pages: Client) -> None:
    save_rule(pages)
    rule = AlertRule.objects.get(name="silence")
    pages.post(
        page("alertrule_changelist"), {"action": "disable", "_selected_action": [str(rule.pk)]}, follow=True
    )
    rule.refresh_from_db()
    assert not rule.enabled
    assert LogEntry.objects.first().change_message == "Disabled."  # type: ignore[union-attr]


def test_a_filter_that_a_rule_looks_at_cannot_be_deleted_unawares(pages: Client) -> None:
    row = OpportunityFilter.objects.create(name="wide")
    AlertRule.objects.create(name="wide ones", what="opportunity", filter=row)
    shown = text(pages, reverse("admin:markets_opportunityfilter_delete", args=[row.pk]))
    assert "wide ones" in shown
    assert OpportunityFilter.objects.filter(pk=row.pk).exists()


def test_a_new_desk_has_a_rule_for_every_kind_of_finding_and_keeps_what_the_operator_made_of_them(
    pages: Client,
) -> None:
    assert seed_rules() == len(RULES)
    assert {rule.what for rule in AlertRule.objects.all()} == set(What.values)
    off = {rule.what for rule in AlertRule.objects.all() if not rule.enabled}
    assert off == {What.OPPORTUNITY, What.FUNDING_SPREAD}, (
        "how much is worth a message is the trader's to say"
    )
    AlertRule.objects.exclude(what=What.REDIS).delete()
    assert seed_rules() == 0
    assert "Redis is down" in text(pages, page("alertrule_changelist"))


# --- incidents ---------------------------------------------------------------------------------------


def fired(rule: AlertRule) -> Alert:
    now = timezone.now()
    return Alert.objects.create(
        rule=rule, rule_name=rule.name, key="exchange_silent:okx", subject="okx", severity="critical",
        since=now - timedelta(seconds=90), fired_at=now, title="okx: exchange silent or down",
        words="Nothing for 7 s.", facts=[["Symbol", "BTC/USDT"]], path="/health/",
    )  # fmt: skip


def test_an_incident_shows_every_message_and_every_try(pages: Client) -> None:
    save_rule(pages)
    alert = fired(AlertRule.objects.get(name="silence"))
    channel = AlertChannel.objects.create(name="desk", kind="telegram")
    sent = Message(
        "okx: silent", "Nothing.", "critical", "firing", (("Rule", "silence"),), "", "incident-1", 0
    )
    row = Delivery.objects.create(
        alert=alert, channel=channel, kind="firing", message=msgspec.to_builtins(sent), idempotency_key="1",
        next_try_at=timezone.now(), last_error="429: slow down", tries=1,
    )  # fmt: skip
    DeliveryAttempt.objects.create(
        delivery=row, at=timezone.now(), took_ms=12.5, ok=False, code=429, words="429: slow down"
    )
    for address in (page("alert_change", alert.pk), page("delivery_change", row.pk)):
        shown = text(pages, address)
        assert "▲ waiting: 429: slow down" in shown
        assert "■ 429: slow down" in shown
    assert "▲ firing" in text(pages, page("alert_changelist"))
    assert "okx: silent" in text(pages, page("delivery_changelist"))
    assert "okx: silent" in text(pages, page("alertchannel_change", channel.pk))


@pytest.mark.parametrize("name", ["alert", "delivery"])
def test_nobody_writes_history(pages: Client, name: str) -> None:
    assert pages.get(page(f"{name}_add")).status_code == 403
