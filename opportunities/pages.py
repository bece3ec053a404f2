"""The pages of the opportunities: their history, one of them, and the statistics of pairs."""

import datetime
import json
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from django.views.generic import TemplateView

from core.names import formats as wording
from core.names.market_keys import coin_symbol
from core.names.symbols import quote_of
from markets.events import PROFIT_SIZES, LegPrice, Moment
from markets.models import Exchange, ExchangePair, OpportunityFilter, PairKind, Symbol
from markets.selectors import compared_legs, exchange_names
from markets.worth.reference import REFERENCE
from opportunities.episodes import Asked, routes_of
from opportunities.models import OpportunityEpisode

AROUND = datetime.timedelta(seconds=60)
"""How much the chart of an episode shows before and after it."""


class Opportunities(LoginRequiredMixin, TemplateView):
    """The history of all episodes; its rows come over the API."""

    template_name = "opportunities/list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the filter bar's choices, and the filters that open anything at all."""
        filters = list(OpportunityFilter.objects.order_by("-enabled", "id"))
        opening = [_opening(row) for row in filters if row.enabled and row.min_edge_bps is not None]
        return super().get_context_data(
            exchanges=compared_legs(Exchange.objects.order_by("-enabled", "name")),
            exchange_names=json.dumps(exchange_names()),
            kinds=PairKind.choices,
            filters=filters,
            opening=json.dumps(opening),
            **kwargs,
        )


class Statistics(LoginRequiredMixin, TemplateView):
    """Deviation of a pair's ratio from its mean, and the ranking of all charted pairs."""

    template_name = "opportunities/statistics.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the choices of the page."""
        pairs = ExchangePair.objects.filter(enabled=True).select_related("exchange1", "exchange2")
        return super().get_context_data(
            symbols=sorted({coin_symbol(row.name) for row in Symbol.objects.filter(enabled=True)}),
            pairs=pairs.order_by("exchange1__name", "exchange2__name", "market1", "market2"),
            exchange_names=json.dumps(exchange_names()),
            **kwargs,
        )


def _opening(row: OpportunityFilter) -> str:
    """Label of a filter with its threshold, `Finder (≥ 5 bps)`."""
    return f"{row} (≥ {wording.share(float(row.min_edge_bps or 0))} bps)"


@require_safe
@login_required
def episode_page(request: HttpRequest, id: UUID) -> HttpResponse:
    """`/opportunities/<id>`: one episode, its facts and its chart."""
    row = get_object_or_404(OpportunityEpisode.objects.select_related("filter"), pk=id)
    names = exchange_names()
    routes = [] if row.move is None else routes_of(Asked(), [row.move]).get(row.move, [])
    keys = {key for each in (row, *routes) for key in (each.exchange1, each.exchange2, each.moved_on) if key}
    names = {key: names.get(key, key) for key in keys}
    page = render(request, "opportunities/opportunity.html", _episode(row, names) | _move(row, routes, names))
    page["Cache-Control"] = "no-store"
    return page


def _episode(row: OpportunityEpisode, names: dict[str, str]) -> dict[str, Any]:
    currency = quote_of(row.symbol)
    ended_at = row.closed_at or row.seen_at
    pair = {"symbol": row.symbol, "exchange1": row.exchange1, "exchange2": row.exchange2}
    others = {"symbol": row.symbol, "exchanges": f"{row.exchange1},{row.exchange2}"}
    return {
        "episode": row,
        "buy": names[row.buy_on],
        "sell": names[row.sell_on],
        "currency": currency,
        "took": _length(ended_at - row.started_at),
        "edges": [
            (_("at open"), wording.bps(row.open_edge_bps), _size(row.open_size, currency)),
            (_("peak"), wording.bps(row.peak_edge_bps), _size(row.peak_size, currency)),
            (_("mean, weighted by time"), wording.bps(row.mean_edge_bps), ""),
            (_("at close"), wording.bps(row.close_edge_bps), ""),
        ],
        "moments": _moments(row, names),
        "sizes": [f"{wording.amount(size)} {REFERENCE}" for size in PROFIT_SIZES],
        "depths": _depths(row),
        "has_size": any(each.depth and each.depth.my_edge_bps is not None for _label, each in _known(row)),
        "gates": [_gate(text) for text in row.gates],
        "chart": json.dumps(_chart(row)),
        "live": f"{reverse('dashboard')}?{urlencode(_past_chart(row, ended_at))}",
        "statistics": f"{reverse('opportunity-statistics')}?{urlencode(pair)}",
        "explain": f"{reverse('opportunity-explain')}?{urlencode({'id': row.pair_id})}",
        "depth": f"{reverse('depth')}?{urlencode({'id': row.pair_id})}",
        "others": f"{reverse('opportunities')}?{urlencode(others)}",
    }


def _move(row: OpportunityEpisode, routes: list[OpportunityEpisode], names: dict[str, str]) -> dict[str, Any]:
    """The side that moved, and the other routes that opened with it, best first."""
    own = (row.symbol, row.buy_on, row.sell_on)
    others = [each for each in routes if (each.symbol, each.buy_on, each.sell_on) != own]
    return {
        "moved": names.get(row.moved_on, ""),
        "siblings": [
            {
                "url": reverse("opportunity", args=[each.id]),
                "words": f"{names[each.buy_on]} → {names[each.sell_on]}",
                "peak": wording.bps(each.peak_edge_bps),
            }
            for each in others
        ],
    }


def _length(span: datetime.timedelta) -> str:
    """`87 ms`, `2.4 s`, `3 min 20 s`, `5 h 12 min`."""
    seconds = span.total_seconds()
    if seconds < 60:
        return wording.age(seconds * 1000)
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _size(size: float, currency: str) -> str:
    return f"{wording.amount(size)} {currency}"


def _gate(text: str) -> str:
    name, _colon, verdict = text.partition(": ")
    return f"{name}: {verdict or _('unknown')}"


def _past_chart(row: OpportunityEpisode, ended_at: datetime.datetime) -> dict[str, str]:
    """The dashboard's large chart moved to the episode."""
    span = ended_at - row.started_at + 2 * AROUND
    to = (ended_at + AROUND).timestamp()
    return {"chart": row.pair_id, "span": f"{span.total_seconds():.0f}", "to": f"{to:.0f}"}


def _chart(row: OpportunityEpisode) -> dict[str, Any]:
    """Data that the page draws beside the ticks: marks and today's thresholds, seconds and bps."""
    rule = row.filter
    opens = None if rule is None or rule.min_edge_bps is None else float(rule.min_edge_bps)
    closes = None if rule is None or rule.close_edge_bps is None else float(rule.close_edge_bps)
    moments = {"opened": row.opened, "peak": row.peak, "closed": row.closed}
    return {
        "id": str(row.id),
        "symbol": row.symbol,
        "started": row.started_at.timestamp(),
        "closed": None if row.closed_at is None else row.closed_at.timestamp(),
        "opens_bps": opens,
        "closes_bps": closes,
        "reason": row.reason,
        "marks": {
            name: {"time": moment.ts_us / 1e6, "edge": moment.edge_bps}
            for name, moment in moments.items()
            if moment is not None
        },
    }


def _known(row: OpportunityEpisode) -> list[tuple[str, Moment]]:
    """Moments of an episode; one that is open, or lost a side, has none of the close."""
    moments = [(_("open"), row.opened), (_("peak"), row.peak), (_("close"), row.closed)]
    return [(label, moment) for label, moment in moments if moment is not None]


def _depths(row: OpportunityEpisode) -> list[dict[str, Any]]:
    """Profits by both order books at the moments at which they were known."""
    return [
        {
            "label": label,
            "profits": [_profit(profit) for profit in depth.profits],
            "best_size": f"{wording.amount(depth.best_size)} {REFERENCE}",
            "best_profit": _profit(depth.best_profit),
            "my_edge": wording.bps(depth.my_edge_bps),
            "my_profit": _profit(depth.my_profit),
        }
        for label, moment in _known(row)
        if (depth := moment.depth) is not None
    ]


def _profit(profit: float | None) -> str:
    return "–" if profit is None else f"{wording.amount(profit)} {REFERENCE}"


def _moments(row: OpportunityEpisode, names: dict[str, str]) -> list[dict[str, Any]]:
    """Both sides at open, peak and close; a side that was gone at the close has no line."""
    return [
        {
            "label": label,
            "at": datetime.datetime.fromtimestamp(moment.ts_us / 1e6, datetime.UTC),
            "edge": wording.bps(moment.edge_bps),
            "sides": [_side(_("buy"), moment.buy, names, "ask"), _side(_("sell"), moment.sell, names, "bid")],
        }
        for label, moment in _known(row)
    ]


def _side(label: str, leg: LegPrice, names: dict[str, str], traded: str) -> dict[str, Any]:
    return {
        "label": label,
        "name": names.get(leg.exchange, leg.exchange),
        "bid": wording.price(leg.bid),
        "bid_size": wording.price(leg.bid_size),
        "ask": wording.price(leg.ask),
        "ask_size": wording.price(leg.ask_size),
        "age": wording.age(leg.age_ms),
        "traded": traded,
    }
