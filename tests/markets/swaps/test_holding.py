"""Filters on a position that is held: how long, what it must leave, through which settlements."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from markets.config import FilterConfig
from markets.models import OpportunityFilter
from markets.seed import seed
from markets.selectors import load_config

pytestmark = pytest.mark.django_db


def made(**values: Any) -> OpportunityFilter:
    row = OpportunityFilter(name="held", symbols="BTC/USDT", min_edge_bps=Decimal("-20"), **values)
    row.full_clean()
    row.save()
    return row


def loaded() -> FilterConfig:
    (row,) = (each for each in load_config().filters if each.name == "held")
    return row


def test_filter_that_says_nothing_holds_for_8_hours_asks_no_net_edge_and_goes_through_settlements() -> None:
    seed()
    made()
    row = loaded()
    assert (row.holding_hours, row.exit_assumption) == (8.0, "zero")
    assert (row.min_net_edge_bps, row.settlement_wanted) == (None, True)


def test_what_a_filter_says_of_holding_reaches_collectors() -> None:
    seed()
    made(
        holding_hours=Decimal("0.5"), exit_assumption="median", min_net_edge_bps=Decimal("-1.5"),
        settlement_wanted=False,
    )  # fmt: skip
    row = loaded()
    assert (row.holding_hours, row.exit_assumption) == (0.5, "median")
    assert (row.min_net_edge_bps, row.settlement_wanted) == (-1.5, False)


@pytest.mark.parametrize("hours", ["0", "-1", "720.01", "NaN"])
def test_a_holding_time_out_of_range_is_refused_by_its_field(hours: str) -> None:
    with pytest.raises(ValidationError) as caught:
        made(holding_hours=Decimal(hours))
    assert "holding_hours" in caught.value.message_dict


def test_the_longest_holding_time_is_30_days() -> None:
    assert made(holding_hours=Decimal(720)).holding_hours == 720


@pytest.mark.parametrize(
    "values", [{"holding_hours": 0}, {"holding_hours": 721}, {"exit_assumption": "best"}]
)
def test_the_database_holds_the_same_rules(values: dict[str, Any]) -> None:
    row = made()
    with pytest.raises(IntegrityError):
        OpportunityFilter.objects.filter(pk=row.pk).update(**values)


def test_a_net_edge_without_an_edge_names_the_field_and_the_fix() -> None:
    row = OpportunityFilter(name="held", min_net_edge_bps=Decimal(3))
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    (words,) = caught.value.message_dict["min_net_edge_bps"]
    assert words.startswith("Enter the min edge too")


def test_an_unknown_exit_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        made(exit_assumption="best")
    assert "exit_assumption" in caught.value.message_dict
