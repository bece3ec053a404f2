"""Alerts on depth: an edge at the filter's size, a profit at a size; unknown is never enough."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from msgspec import structs

from markets.events import AtDepth
from markets.models import OpportunityFilter
from monitoring.alerts.evaluator import look_at_opportunities
from monitoring.alerts.preview import in_words
from monitoring.models import AlertRule, Delivery, What
from opportunities.services import save_episodes
from tests.monitoring.alerts.test_admin import page
from tests.monitoring.alerts.test_move_defaults import FORM
from tests.monitoring.alerts.test_rules_at_work import channel, message, rule, sent
from tests.opportunities.test_episodes import episode

pytestmark = pytest.mark.django_db

DEEP = AtDepth((3.0, 23.88, None), 2420.0, 52.0, 238.8, 23.88)


def seen(depth: AtDepth | None, number: int = 1, **changes: Any) -> Any:
    """An open one of a second ago."""
    story = episode(number, started_us=int(timezone.now().timestamp() * 1e6) - 1_000_000)
    return structs.replace(story, peak=structs.replace(story.peak, depth=depth), **changes)


@pytest.mark.parametrize(
    ("asked", "fires"),
    [
        ({"min_profit": 23.0}, True),
        ({"min_profit": 24.0}, False),
        ({"min_profit": 3.0, "profit_size": 100}, True),
        ({"min_profit": 3.1, "profit_size": 100}, False),
        ({"min_profit": 0.0, "profit_size": 10_000}, False),
        ({"min_edge_at_size_bps": 238.0}, True),
        ({"min_edge_at_size_bps": 239.0}, False),
        ({"min_edge_at_size_bps": 238.0, "min_profit": 24.0}, False),
    ],
)
def test_a_rule_fires_for_what_the_books_leave(asked: dict[str, Any], fires: bool) -> None:
    rule(what=What.OPPORTUNITY, channels=(channel(),), **asked)
    save_episodes([seen(DEEP)])
    look_at_opportunities(timezone.now())
    assert len(sent()) == fires


@pytest.mark.parametrize("asked", [{"min_profit": 0.0}, {"min_edge_at_size_bps": -1e6}])
def test_unknown_depth_is_never_enough(asked: dict[str, Any]) -> None:
    rule(what=What.OPPORTUNITY, channels=(channel(),), **asked)
    save_episodes([seen(None)])
    look_at_opportunities(timezone.now())
    assert sent() == []


def test_the_message_says_the_money_on_the_table() -> None:
    rule(what=What.OPPORTUNITY, channels=(channel(),))
    save_episodes([seen(DEEP)])
    look_at_opportunities(timezone.now())
    facts = dict(message(Delivery.objects.get()).facts)
    assert facts["Size: profit, USDT"] == "100: 3.00, 1,000: 23.88"
    assert facts["Best size: profit, USDT"] == "2,420: 52.00"


def test_a_message_without_depth_has_no_such_lines() -> None:
    rule(what=What.OPPORTUNITY, channels=(channel(),))
    save_episodes([seen(None)])
    look_at_opportunities(timezone.now())
    assert not [name for name, _ in message(Delivery.objects.get()).facts if "profit" in name]


def test_the_list_has_the_condition_in_words() -> None:
    made = rule(what=What.OPPORTUNITY, min_edge_at_size_bps=5.0, min_profit=2.0, profit_size=10_000)
    assert in_words(made).endswith("≥ 5 bps at my size, profit ≥ 2.00 USDT at 10,000 USDT")


class TestForm:
    @pytest.fixture
    def pages(self, client: Client) -> Client:
        client.force_login(User.objects.create_superuser("root"))
        return client

    def test_it_is_saved(self, pages: Client) -> None:
        sized = OpportunityFilter.objects.create(name="mine", min_edge_bps=5, my_size=1000)
        fields = {
            "filter": str(sized.pk),
            "min_edge_at_size_bps": "5",
            "min_profit": "2",
            "profit_size": "100",
        }
        pages.post(page("alertrule_add"), FORM | fields)
        made = AlertRule.objects.get(name="moves")
        assert made.least_depth == {"peak_my_edge_bps": 5.0, "peak_profit_100": 2.0}

    def test_an_empty_size_is_1000(self, pages: Client) -> None:
        pages.post(page("alertrule_add"), FORM | {"min_profit": "2", "profit_size": ""})
        assert AlertRule.objects.get(name="moves").least_depth == {"peak_profit_1000": 2.0}

    @pytest.mark.parametrize("is_named", [False, True])
    def test_an_edge_at_my_size_needs_a_filter_that_has_one(self, pages: Client, is_named: bool) -> None:
        plain = OpportunityFilter.objects.create(name="any", min_edge_bps=5)
        fields = {"filter": str(plain.pk) if is_named else "", "min_edge_at_size_bps": "5"}
        answer = pages.post(page("alertrule_add"), FORM | fields)
        assert "Choose a filter that has a size (“my size”)" in answer.content.decode()

    @pytest.mark.parametrize("name", ["min_edge_at_size_bps", "min_profit"])
    def test_health_rules_have_none(self, pages: Client, name: str) -> None:
        answer = pages.post(page("alertrule_add"), FORM | {"what": "exchange_silent", name: "5"})
        assert "Only for opportunities: leave it empty." in answer.content.decode()
