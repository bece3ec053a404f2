"""Alerts are of moves: seven routes that open because one exchange moved are one message."""

import datetime
from typing import Any

import pytest
from django.utils import timezone
from msgspec import structs

from markets.events import Episode
from monitoring.alerts.evaluator import look_at_opportunities
from monitoring.models import Alert, AlertChannel, AlertRule, Delivery, What
from opportunities.services import save_episodes
from tests.monitoring.alerts.test_rules_at_work import NOON, channel, message, rule, seen, sent
from tests.opportunities.test_episodes import closed

pytestmark = pytest.mark.django_db
OTHERS = ("bitget", "bybit", "gate", "kucoin", "mexc", "okx", "bingx")


def later(seconds: float) -> datetime.datetime:
    return timezone.now() + datetime.timedelta(seconds=seconds)


def routes(first: int = 1, move: int = 1, symbol: str = "BTC/USDT", **changes: Any) -> list[Episode]:
    """Seven, selling where binance moved, the later the better; the last two are seen by two filters."""
    return [
        structs.replace(
            story,
            symbol=symbol,
            buy_on=other,
            sell_on="binance",
            filter_name=name,
            move=f"{move:032x}",
            peak=structs.replace(story.peak, edge_bps=12.0 + at),
            **changes,
        )
        for number, (name, at, other) in enumerate(
            [("wide", at, other) for at, other in enumerate(OTHERS)]
            + [("narrow", at, other) for at, other in list(enumerate(OTHERS))[5:]]
        )
        for story in [seen(first + number)]
    ]


@pytest.fixture
def traders() -> AlertRule:
    made = rule("opportunities", what=What.OPPORTUNITY, channels=(channel("traders"),))
    AlertRule.objects.update(changed_at=NOON)
    return made


def test_one_exchange_that_jumps_is_one_message_that_names_the_best_route(traders: AlertRule) -> None:
    save_episodes(routes())
    look_at_opportunities(timezone.now())
    assert sent() == [("firing", "BTC/USDT: +18.0 bps, bingx → binance (+6 routes)")]
    facts = dict(message(Delivery.objects.get()).facts)
    assert facts["Other routes of this move"].startswith("okx → binance +17.0 bps; ")
    assert facts["Other routes of this move"].endswith(" and 1 more")
    assert (facts["Moved"], facts["Filter"]) == ("not known yet", "narrow, wide")


def test_an_exchange_that_trembles_is_one_message_per_cool_down(traders: AlertRule) -> None:
    for spell in range(13):
        now = later(spell * 60)
        opened = [
            structs.replace(story, started_us=int(now.timestamp() * 1e6) - 500_000)
            for story in routes(1 + spell * 20, move=1 + spell // 3)
        ]
        save_episodes(opened)
        look_at_opportunities(now)
        save_episodes([closed(story, after_ms=800) for story in opened])
        look_at_opportunities(now + datetime.timedelta(seconds=1))
    assert [kind for kind, _ in sent()] == ["firing"] * 3  # at 0, 5 and 10 min


def test_routes_that_open_later_and_the_mover_update_the_incident(traders: AlertRule) -> None:
    all_routes = routes()
    save_episodes(all_routes[:1])
    look_at_opportunities(timezone.now())
    save_episodes([structs.replace(each, moved_on="binance", moved_side="sell") for each in all_routes])
    look_at_opportunities(timezone.now())
    look_at_opportunities(timezone.now())
    alert = Alert.objects.get()
    assert len(sent()) == 1
    assert alert.title == "BTC/USDT: +18.0 bps, bingx → binance (+6 routes)"
    assert ["Moved", "binance, sell there"] in alert.facts


def test_a_move_is_over_when_all_its_routes_are(traders: AlertRule) -> None:
    AlertRule.objects.update(tell_resolved=True)
    stories = routes()
    save_episodes(stories)
    look_at_opportunities(timezone.now())
    save_episodes([closed(each, after_ms=900) for each in stories[1:]])
    look_at_opportunities(timezone.now())
    assert Alert.objects.get().state == "firing"
    save_episodes([closed(stories[0], after_ms=900)])
    look_at_opportunities(timezone.now())
    look_at_opportunities(timezone.now())
    assert [kind for kind, _ in sent()] == ["firing", "resolved"]


def test_two_coins_are_two_messages(traders: AlertRule) -> None:
    save_episodes([*routes(), *routes(50, 2, "ETH/USDT"), *routes(90, 3, "ETH/USDC")])
    look_at_opportunities(timezone.now())
    assert sorted(title[:3] for _, title in sent()) == ["BTC", "ETH"]


def test_without_a_cool_down_each_move_is_reported_once(traders: AlertRule) -> None:
    AlertRule.objects.update(cool_down_s=0)
    first = routes()
    save_episodes([*first, *routes(50, 2)])
    look_at_opportunities(timezone.now())
    save_episodes([closed(each, after_ms=900) for each in first])
    look_at_opportunities(timezone.now())
    save_episodes(routes(90))
    look_at_opportunities(later(400))
    assert [kind for kind, _ in sent()] == ["firing", "firing"]


def test_a_pager_closes_incidents_whose_end_people_do_not_get(traders: AlertRule) -> None:
    pager = AlertChannel.objects.create(name="pager", kind="pagerduty")
    traders.channels.add(pager)
    stories = routes()
    save_episodes(stories)
    look_at_opportunities(timezone.now())
    save_episodes([closed(each, after_ms=900) for each in stories])
    look_at_opportunities(timezone.now())
    rows = Delivery.objects.order_by("channel__name", "pk").values_list("channel__name", "kind")
    assert list(rows) == [("pager", "firing"), ("pager", "resolved"), ("traders", "firing")]
