"""Whatever an operator deletes, the desk starts, its pages open, and health says what is missing."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import connections, models
from django.test import Client
from django.urls import reverse
from django.utils.html import escape
from msgspec import structs
from pytest_django import Settings

from audit.models import Entry
from collectors.exchanges import CODECS
from collectors.supervisor import Outlet, Supervisor
from history.models import RetentionPolicy
from markets.config import MarketConfig, Shard
from markets.follow.runtime import CollectorStatus
from markets.lacks import lacks
from markets.models import (
    ConfigRevision,
    Exchange,
    ExchangePair,
    GateThresholds,
    Instrument,
    OpportunityFilter,
    Symbol,
)
from markets.selection import scan_pairs
from markets.selectors import filter_counts, load_config
from monitoring.health.assess import assess
from monitoring.health.limits import HealthLimits
from monitoring.health.observed import Limits
from monitoring.health.stores import load_lacks
from monitoring.models import AlertRule
from opportunities.models import OpportunityEpisode, VerdictThresholds
from realtime.sink import RealtimeSink
from tests.support.admin_forms import entered, opened
from tests.support.observed import WELL

pytestmark = pytest.mark.django_db

PAGES = ("/", "/scanner", "/opportunities", "/opportunities/statistics", "/health/", "/api/charts", "/admin/")


def all_of(*kinds: type[models.Model]) -> Callable[[], None]:
    def delete() -> None:
        for kind in kinds:
            kind._default_manager.all().delete()

    return delete


DELETIONS: dict[str, tuple[Callable[[], None], set[str]]] = {
    "exchanges": (all_of(Exchange), {"nothing_collected:exchanges"}),
    "symbols": (all_of(Instrument, Symbol), {"nothing_collected:instruments"}),
    "pairs": (all_of(ExchangePair), {"configuration:pairs"}),
    "filters": (all_of(OpportunityFilter), {"configuration:filters"}),
    "the catalogue": (all_of(Instrument), {"nothing_collected:instruments"}),
    "all that is watched": (
        all_of(OpportunityFilter, Exchange, Symbol),
        {"nothing_collected:exchanges", "configuration:filters"},
    ),
    "alert rules": (all_of(AlertRule), {"configuration:alert rules"}),
    "users": (all_of(User), {"configuration:users"}),
    "groups": (all_of(Group), set()),
    "settings": (all_of(GateThresholds, HealthLimits, VerdictThresholds, RetentionPolicy), set()),
    "the revision": (all_of(ConfigRevision), set()),
}


def findings() -> dict[str, Any]:
    """Findings of health: as the collectors and the monitor find the database."""
    collector = CollectorStatus("1/1", revision=7, lacks=lacks(load_config(), frozenset(CODECS)))
    now = structs.replace(WELL, collectors=(collector,), lacks=load_lacks())
    return {finding.key: finding for finding in assess(now, Limits())}


@pytest.fixture
def set_up() -> None:
    """A desk as `prepare` leaves it, its one-row settings saved once."""
    call_command("seed")
    call_command("seed_rules")
    User.objects.create_superuser("operator", password="correct horse battery staple")
    for kind in (GateThresholds, HealthLimits, VerdictThresholds):
        kind._default_manager.get_or_create()
    assert findings() == {}


@pytest.mark.parametrize("what", DELETIONS)
def test_health_names_what_is_missing_and_what_to_do(set_up: None, what: str) -> None:
    delete, expected = DELETIONS[what]
    delete()
    found = findings()
    assert found.keys() == expected
    for finding in found.values():
        assert finding.severity == ("critical" if finding.kind == "nothing_collected" else "warning")
        assert "admin" in finding.remedy or "manage.py" in finding.remedy


@pytest.mark.parametrize("what", DELETIONS)
def test_the_desk_starts_again_and_its_pages_open(set_up: None, what: str) -> None:
    DELETIONS[what][0]()
    call_command("prepare")
    call_command("prepare", simulator="http://127.0.0.1:9000")
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.filter(is_superuser=True).get())
    lists = [
        reverse(f"admin:{m._meta.app_label}_{m._meta.model_name}_changelist") for m in admin.site._registry
    ]
    statuses = {path: client.get(path, follow=True).status_code for path in (*PAGES, *lists)}
    assert {path: status for path, status in statuses.items() if status not in (200, 503)} == {}


@pytest.mark.parametrize(
    ("rows", "address", "words"),
    [
        (Exchange, "exchange", "Nothing is collected without exchanges"),
        (ExchangePair, "exchangepair", "Nothing is compared without pairs"),
        (Symbol, "symbol", "Nothing is collected without symbols"),
        (OpportunityFilter, "opportunityfilter", "Without a filter there are no charts"),
    ],
)
def test_an_empty_list_says_what_to_do(set_up: None, rows: Any, address: str, words: str) -> None:
    if rows is Symbol:
        Instrument.objects.all().delete()
    rows.objects.all().delete()
    client = Client()
    client.force_login(User.objects.filter(is_superuser=True).get())
    assert words in client.get(f"/admin/markets/{address}/").content.decode()


def before_and_after(what: str) -> tuple[MarketConfig, MarketConfig]:
    try:
        call_command("seed")
        before = load_config()
        DELETIONS[what][0]()
        return before, load_config()
    finally:
        connections.close_all()


@pytest.mark.parametrize("what", DELETIONS)
async def test_a_collector_goes_on_with_what_is_left(transactional_db: None, what: str) -> None:
    before, after = await sync_to_async(before_and_after)(what)
    supervisor = Supervisor(CODECS, Outlet.chain([RealtimeSink], Shard(), 1000), Shard())
    for config in (before, after, before, after):
        supervisor.apply(config)
    assert [outlet.error for outlet in supervisor.outlets] == [""]


def test_deleted_exchanges_stay_deleted_until_the_defaults_are_asked_for(set_up: None) -> None:
    Exchange.objects.all().delete()
    call_command("prepare")
    assert not Exchange.objects.exists()
    call_command("seed", missing=True)
    assert Exchange.objects.count() == 8
    assert ExchangePair.objects.count() == 28
    assert findings() == {}
    assert len(load_config().instruments) == 160


def test_on_simulated_exchanges_no_real_ones_are_added(set_up: None, settings: Settings) -> None:
    Exchange.objects.all().delete()
    settings.FEED = "sim"
    with pytest.raises(CommandError, match="with FEED=sim say where they are simulated"):
        call_command("seed", missing=True)
    assert not Exchange.objects.exists()
    settings.SIMULATOR_URL = "http://127.0.0.1:9000"  # as a running `make run` says
    call_command("seed", missing=True)
    assert Exchange.objects.get(key="okx").rest_url == "http://127.0.0.1:9000/okx"


def test_the_defaults_that_are_missing_leave_everything_else_alone(set_up: None) -> None:
    Exchange.objects.filter(key="okx").delete()
    Exchange.objects.filter(key="gate").update(enabled=False, taker_fee_bps=3)
    OpportunityFilter.objects.filter(name="Majors").delete()
    Symbol.objects.create(name="ABC/USDT", base="ABC", quote="USDT")
    call_command("seed", missing=True)
    call_command("seed", missing=True)
    gate = Exchange.objects.get(key="gate")
    assert (gate.enabled, int(gate.taker_fee_bps)) == (False, 3)
    assert (Exchange.objects.count(), Symbol.objects.count(), ExchangePair.objects.count()) == (8, 21, 28)
    assert list(OpportunityFilter.objects.values_list("name", flat=True)) == ["Everything"]


def test_what_is_switched_off_is_named_as_what_is_deleted(set_up: None) -> None:
    Exchange.objects.update(enabled=False)
    assert findings().keys() == {"nothing_collected:enabled exchanges"}
    Exchange.objects.update(enabled=True)
    Symbol.objects.update(enabled=False)
    assert findings().keys() == {"nothing_collected:instruments"}
    Symbol.objects.update(enabled=True)
    ExchangePair.objects.update(enabled=False)
    OpportunityFilter.objects.update(enabled=False)
    assert findings().keys() == {"configuration:pairs", "configuration:filters"}


def test_exchanges_that_nobody_can_read_are_no_collecting(set_up: None) -> None:
    assert lacks(load_config(), frozenset({"kraken"})) == ("connectors",)


def test_one_shard_with_nothing_to_do_is_no_trouble() -> None:
    idle, busy = (
        CollectorStatus("1/2", revision=7, lacks=("instruments",)),
        CollectorStatus("2/2", revision=7),
    )
    beats = tuple(
        structs.replace(beat, name=f"collector {n}/2") if beat.role == "collector" else beat
        for n in (1, 2)
        for beat in WELL.heartbeats
    )
    now = structs.replace(WELL, collectors=(idle, busy), heartbeats=beats)
    assert [finding.key for finding in assess(now, Limits())] == []


def test_the_command_says_what_is_lacking(set_up: None, capsys: pytest.CaptureFixture[str]) -> None:
    Exchange.objects.all().delete()
    capsys.readouterr()
    call_command("seed")
    said = capsys.readouterr().out
    assert "Nothing to do" in said
    assert "there is no exchange" in said
    assert "seed --missing" in said


def test_every_model_of_the_admin_is_among_the_deletions_or_cannot_be_emptied(set_up: None) -> None:
    """So that a new one does not brick the desk unseen: everything registered is deleted at once."""
    for kind in reversed(list(apps.get_models())):
        if kind in admin.site._registry and kind not in (Symbol, Entry):  # the audit refuses it
            kind._default_manager.all().delete()
    Symbol.objects.all().delete()
    call_command("prepare")
    assert "nothing_collected:exchanges" not in findings(), "an empty desk gets the defaults"


# --- filters that name pairs which were deleted ------------------------------------------------------


def selects() -> dict[str, int]:
    """Selection of each filter, by name; the number the admin shows."""
    rows = {row.pk: row.name for row in OpportunityFilter.objects.all()}
    return {rows[pk]: count for pk, count in filter_counts(OpportunityFilter.objects.all()).items()}


@pytest.fixture
def two_pairs(set_up: None) -> OpportunityFilter:
    row = OpportunityFilter.objects.get(name="Majors")
    row.pairs.set(ExchangePair.objects.filter(exchange1__key="binance")[:2])
    OpportunityFilter.objects.filter(pk=row.pk).update(min_edge_bps=5)
    return OpportunityFilter.objects.get(pk=row.pk)


NAMED_PAIRS: dict[str, Callable[[OpportunityFilter], object]] = {
    "one by one": lambda row: [pair.delete() for pair in row.pairs.all()],
    "at once": lambda row: ExchangePair.objects.filter(filters=row).delete(),
    "with an exchange": lambda row: Exchange.objects.filter(key="binance").delete(),
    "and others made": lambda row: (ExchangePair.objects.filter(filters=row).delete(), make_a_pair()),
}


def make_a_pair() -> ExchangePair:
    fees = {"taker_fee_bps": 10, "maker_fee_bps": 10}
    new = (Exchange.objects.create(key=f"new{n}", name=f"New {n}", **fees) for n in (1, 2))
    return ExchangePair.objects.create(**dict(zip(("exchange1", "exchange2"), new, strict=True)))


@pytest.mark.parametrize("how", NAMED_PAIRS)
def test_a_filter_whose_pairs_are_deleted_selects_nothing_and_not_every_pair(
    two_pairs: OpportunityFilter, how: str
) -> None:
    assert 0 < selects()["Majors"] < 560
    NAMED_PAIRS[how](two_pairs)
    two_pairs.save()  # read before they were deleted: it does not forget either
    config = load_config()
    assert selects()["Majors"] == 0
    assert [each for each in config.opportunities if two_pairs.pk in each.filters] == []
    assert not any(row.id == two_pairs.pk for pair in scan_pairs(config) for row in pair.filters)
    finding = findings()["configuration:pairs of filter Majors"]
    assert "“Majors” selects nothing" in finding.words
    assert "Opportunity filters" in finding.remedy


def test_the_defaults_bring_the_default_filters_pairs_back(two_pairs: OpportunityFilter) -> None:
    ExchangePair.objects.all().delete()
    assert findings().keys() == {"configuration:pairs"}, "one thing is lacking, not two"
    call_command("seed", missing=True)
    assert two_pairs.pairs.exists()
    assert findings() == {}


def test_a_filter_of_which_one_pair_is_left_keeps_to_it(two_pairs: OpportunityFilter) -> None:
    before = selects()["Majors"]
    two_pairs.pairs.all()[0].delete()
    assert selects()["Majors"] == before / 2
    assert findings() == {}


def test_pairs_that_an_operator_takes_out_mean_every_pair_as_the_form_says(
    two_pairs: OpportunityFilter,
) -> None:
    two_pairs.pairs.clear()
    assert OpportunityFilter.objects.get(pk=two_pairs.pk).names_pairs is False
    everything = selects()["Majors"]
    pair = ExchangePair.objects.all()[0]
    pair.filters.add(two_pairs)  # from the other side
    assert selects()["Majors"] < everything
    pair.delete()
    assert selects()["Majors"] == 0


def test_the_admin_says_so_and_asks_what_is_meant(two_pairs: OpportunityFilter) -> None:
    ExchangePair.objects.filter(filters=two_pairs).delete()
    client = Client()
    client.force_login(User.objects.get(username="operator"))
    listed = client.get(reverse("admin:markets_opportunityfilter_changelist")).content.decode()
    assert "0: its pairs were deleted" in listed
    address = reverse("admin:markets_opportunityfilter_change", args=[two_pairs.pk])
    page = client.get(address).content.decode()
    assert "every pair of exchanges that it named was deleted" in page
    said = client.post(address, entered(opened(client, address)), follow=True).content.decode()
    assert "Selects nothing" in said, "saved as it is it does not widen"
    assert selects()["Majors"] == 0
    either = entered(opened(client, address), every_pair="on", pairs=[str(ExchangePair.objects.all()[0].pk)])
    assert "not both" in client.post(address, either).content.decode()
    client.post(address, entered(opened(client, address), every_pair="on"))
    assert selects()["Majors"] > 0
    assert 'name="every_pair"' not in client.get(address).content.decode()


def test_a_filter_that_names_no_pair_follows_every_one_whatever_is_deleted(set_up: None) -> None:
    row = OpportunityFilter.objects.get(name="Everything")
    ExchangePair.objects.all().delete()
    call_command("seed", missing=True)
    assert not row.names_pairs
    assert selects()["Everything"] > 0


def test_an_empty_list_of_the_admin_says_what_to_do_next(set_up: None) -> None:
    for kind in reversed(list(apps.get_models())):
        if kind in admin.site._registry and kind not in (Symbol, Entry, User):
            kind._default_manager.all().delete()
    Symbol.objects.all().delete()
    client = Client()
    client.force_login(User.objects.get(username="operator"))
    for kind, page in admin.site._registry.items():
        address = reverse(f"admin:{kind._meta.app_label}_{kind._meta.model_name}_changelist")
        answer = client.get(address, follow=True)
        if kind._default_manager.exists() or answer.context.get("cl") is None:
            continue  # of one row there is a form, no list
        said = answer.content.decode()
        assert said.count('class="empty-list"') == 1 or kind is OpportunityEpisode, kind
        text = getattr(page, "empty_text", "")
        assert str(text) or kind._meta.app_label in ("axes", "auth", "opportunities", "realtime"), (
            f"{kind} has no words"
        )
        if text:
            assert escape(str(text)) in said, kind


def test_a_search_that_finds_nothing_is_no_empty_list(set_up: None) -> None:
    client = Client()
    client.force_login(User.objects.get(username="operator"))
    page = client.get(reverse("admin:markets_symbol_changelist"), {"q": "nosuchthing"}).content.decode()
    assert "Nothing matches: clear the filters" in page
    assert "seed --missing" not in page
