"""A filter's own size in the admin: what reaches collectors, and what is refused by its field."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client

from markets.config import FilterConfig
from markets.models import GateThresholds, Instrument, OpportunityFilter
from markets.seed import seed
from markets.selectors import load_config

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_redis")]

FORM = {
    "name": "mine", "enabled": "on", "min_edge_bps": "5", "min_duration_ms": "0", "holding_hours": "8",
    "exit_assumption": "zero", "pair_kinds": ["spot-spot"],
}  # fmt: skip


@pytest.fixture
def pages(client: Client) -> Client:
    seed()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def add(pages: Client, **fields: str) -> str:
    answer = pages.post("/admin/markets/opportunityfilter/add/", FORM | fields, follow=True)
    return answer.content.decode()


def loaded() -> FilterConfig:
    (row,) = (each for each in load_config().filters if each.name == "mine")
    return row


def test_a_filter_asks_no_depth_unless_it_says_a_size(pages: Client) -> None:
    add(pages)
    row = loaded()
    assert (row.my_size, row.min_edge_at_size_bps, row.min_profit) == (None, None, None)


def test_a_size_with_its_edge_and_profit_reaches_collectors(pages: Client) -> None:
    add(pages, my_size="1000", min_edge_at_size_bps="-1.5", min_profit="2.5")
    row = loaded()
    assert (row.my_size, row.min_edge_at_size_bps, row.min_profit) == (1000.0, -1.5, 2.5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"min_profit": "2"}, "Enter my size too: it says at which size this is asked."),
        ({"min_edge_at_size_bps": "2"}, "Enter my size too: it says at which size this is asked."),
        (
            {"my_size": "1000", "min_edge_bps": ""},
            "Enter the min edge too: it says when depth is asked at all.",
        ),
        ({"my_size": "0"}, "Ensure this value is greater than or equal to 0.01."),
        ({"my_size": "1000", "min_profit": "-1"}, "Ensure this value is greater than or equal to 0."),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_field(
    pages: Client, fields: dict[str, str], words: str
) -> None:
    assert words in add(pages, **fields)
    assert not OpportunityFilter.objects.filter(name="mine").exists()


def test_the_gate_thresholds_have_the_edge_of_filters_that_name_none() -> None:
    seed()
    assert load_config().gates.min_edge_at_size_bps == 0.0
    row = GateThresholds(min_edge_at_size_bps=3.5)
    row.full_clean()
    row.save()
    assert load_config().gates.min_edge_at_size_bps == 3.5


@pytest.mark.parametrize("values", [{"my_size": Decimal("0.001")}, {"my_size": Decimal("NaN")}])
def test_a_size_of_nothing_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        OpportunityFilter(name="mine", min_edge_bps=5, **values).full_clean()
    assert "my_size" in caught.value.message_dict


def test_collectors_know_the_lots_of_what_is_listed() -> None:
    seed()
    rows = Instrument.objects.filter(exchange__key="binance", symbol__name="BTC/USDT")
    assert rows.update(lot_size=Decimal("0.00001"), quote_volume_24h=1_000_000, active=True) == 1
    lots = {(each.exchange, each.symbol): each.lot_size for each in load_config().listings}
    assert lots["binance", "BTC/USDT"] == 0.00001
