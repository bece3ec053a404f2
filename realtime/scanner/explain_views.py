"""`GET /api/opportunities/explain` and the page of the same: why is this pair not an opportunity?"""

import time
from datetime import UTC, datetime
from math import nan
from typing import Any, Final

import msgspec
from channels.db import database_sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe
from msgspec import Struct
from redis.exceptions import RedisError

from accounts.access.guard import api, exchange_of, symbol_of
from core.clock.moments import age_s
from core.names import formats as wording
from core.names.chart_ids import chart_id_of, parts_of
from core.names.market_keys import SPOT, SWAP, coin_symbol, market_of
from core.names.market_keys import exchange_of as exchange_of_key
from core.redis_client import async_redis
from core.web.refused import Refused
from engine.gates.checks import ALL_GATES, Gate
from markets.config import FilterConfig
from markets.models import Exchange, Kind, Leg, Symbol
from markets.selectors import compared_legs
from realtime.charts.hub import process_hub
from realtime.depth.levels import PublishedBooks
from realtime.scanner.explain import DirectionFacts, Explanation, LegFacts, explain
from realtime.scanner.hub import process_scan_hub
from realtime.scanner.obstacles import Obstacle, obstacles
from realtime.scanner.wire import read_rates

NAMES: Final = {
    "freshness": gettext_lazy("freshness"),
    "status": gettext_lazy("status"),
    "sanity": gettext_lazy("sanity"),
    "identity": gettext_lazy("identity"),
    "fees": gettext_lazy("fees"),
    "size": gettext_lazy("size"),
    "volume": gettext_lazy("volume"),
    "wallets": gettext_lazy("wallets"),
    "rate": gettext_lazy("rate"),
    "funding": gettext_lazy("funding"),
    "settlement": gettext_lazy("settlement"),
    "mark": gettext_lazy("mark price"),
    "expiry": gettext_lazy("expiry"),
    "depth": gettext_lazy("depth"),
}
"""What pages call the gates."""

VERDICT_WORDS: Final = {
    "pass": gettext_lazy("passes"),
    "fail": gettext_lazy("fails"),
    "unknown": gettext_lazy("unknown"),
}

STATE_WORDS: Final = {
    "live": gettext_lazy("live"),
    "quiet": gettext_lazy("quiet"),
    "silent": gettext_lazy("silent"),
    "down": gettext_lazy("down"),
    "waiting": gettext_lazy("waiting"),
    "lost": gettext_lazy("no collector"),
}


class Asked(Struct, frozen=True):
    """The pair a request names, as the database has it."""

    symbol: Symbol
    one: Leg
    two: Leg

    @property
    def ids(self) -> tuple[str, str]:
        """The pair's possible ids, either way round."""
        name, one, two = self.symbol.name, self.one.key, self.two.key
        return chart_id_of(name, one, two), chart_id_of(name, two, one)

    @property
    def names(self) -> dict[str, str]:
        """Names of the legs in words, by key: of one exchange's two markets the spot one says so."""
        legs, basis = (self.one, self.two), self.one.exchange.key == self.two.exchange.key
        return {leg.key: f"{leg} {_('spot')}" if basis and leg.market == SPOT else str(leg) for leg in legs}


class NotScanned(Struct, frozen=True):
    """A pair that is not compared, and everything that keeps it from being so."""

    id: str
    symbol: str
    exchange1: str
    exchange2: str
    obstacles: list[Obstacle]
    summary: str


@api("id", "symbol", "exchange1", "exchange2")
async def explain_api(request: HttpRequest) -> HttpResponse:
    """`GET /api/opportunities/explain?symbol=&exchange1=&exchange2=` or `?id=`."""
    asked = await database_sync_to_async(pair_asked)(request)
    found, at = await _found(asked)
    answer: dict[str, Any] = {"scanned": isinstance(found, Explanation), "time": at.isoformat()}
    answer["charts"] = [{"id": row.id, "name": row.name} for row in await _drawing(found.id)]
    user: Any = await request.auser()
    if user.is_staff:
        answer["change"] = _gate_links(asked)
    return JsonResponse(answer | msgspec.to_builtins(found))


@require_safe
@login_required
async def explain_page(request: HttpRequest) -> HttpResponse:
    """`/opportunities/explain?id=`: both directions side by side, gate by gate."""
    context: dict[str, Any] = {"now": _now(), "user": await request.auser()}
    status = 200
    try:
        asked = await database_sync_to_async(pair_asked)(request)
        found, at = await _found(asked)
        context |= {"asked": asked, "found": found, "now": at}
        context |= _obstacle_rows(found) if isinstance(found, NotScanned) else await _tables(asked, found)
    except Refused as refused:
        status, context["problem"] = refused.status, str(refused)
    except (RedisError, OSError, TimeoutError):
        status, context["problem"] = 503, _("The scanner is unavailable; the page retries by itself.")
    page: HttpResponse = await database_sync_to_async(render)(
        request, "opportunities/explain.html", context, status=status
    )
    page["Cache-Control"] = "no-store"
    return page


def _now() -> datetime:
    return datetime.now(UTC)


# --- what is asked -------------------------------------------------------------------------------


def pair_asked(request: HttpRequest) -> Asked:
    """The pair a request names. Raises Refused naming the parameter and the fix."""
    names = {name: request.GET.get(name, "").strip() for name in ("symbol", "exchange1", "exchange2")}
    if id := request.GET.get("id", "").strip():
        if extra := next((name for name, text in names.items() if text), ""):
            raise Refused(400, f"{extra}: an id says all of a pair; give either the id or the three names")
        try:
            names = parts_of(id)._asdict()
        except ValueError as error:
            raise Refused(400, f"id: {id!r} is none; one looks like BTC/USDT|binance|bybit") from error
    for name, text in names.items():
        if not text:
            raise Refused(400, f"{name}: say which, as in symbol=BTC/USDT&exchange1=binance&exchange2=bybit")
    one, two = _leg("exchange1", names["exchange1"]), _leg("exchange2", names["exchange2"])
    if one == two:
        raise Refused(400, f"exchange2: {two.key} is exchange1, too: name another one")
    return Asked(_symbol(names["symbol"]), one, two)


def _leg(name: str, text: str) -> Leg:
    rows = {row.key: row for row in Exchange.objects.order_by("key")}
    if market_of(text) == SWAP and exchange_of_key(text) in rows:  # also where no pair has it yet
        return Leg(rows[exchange_of_key(text)], SWAP)
    legs = {leg.key: leg for leg in compared_legs(rows.values())}
    return legs[exchange_of(((key, str(leg)) for key, leg in legs.items()), text, name)]


def _symbol(text: str) -> Symbol:
    coins = Symbol.objects.filter(kind=Kind.SPOT).values_list("name", flat=True)
    name = symbol_of(coins, coin_symbol(text))
    if name is None:
        raise Refused(
            404, f"symbol: no exchange lists {text!r}; write it like BTC/USDT, as the admin lists it"
        )
    return Symbol.objects.get(name=name)


async def _found(asked: Asked) -> tuple[Explanation | NotScanned, datetime]:
    """The answer, and when it was so: ages are as of then."""
    async with process_scan_hub().open() as hub:
        for id in asked.ids:
            row = hub.book.table.row.get(id)
            if row is not None:
                ages_ms = await _rate_ages_ms() if hub.book.table.needs_rates(row) else {}
                at = datetime.fromtimestamp(hub.book.now_us() / 1e6, UTC)
                names = asked.names
                books = PublishedBooks(hub.book.depth)
                return explain(hub.book.table, row, time.monotonic_ns(), ages_ms, names, books=books), at
    missing: NotScanned = await database_sync_to_async(_not_scanned)(asked)
    return missing, _now()


async def _rate_ages_ms() -> dict[str, float]:
    """Age of each rate's last quote, by symbol, as collectors said; NaN: by a clock ahead."""
    async with async_redis() as redis:
        said = await read_rates(redis)
    now_us = time.time_ns() // 1000
    ages_s = {symbol: age_s((now_us - each.ts_us) / 1e6) for symbol, each in said.items()}
    return {
        symbol: nan if (old_s := ages_s[symbol]) is None else old_s * 1e3 + each.age_ms
        for symbol, each in said.items()
    }


def _not_scanned(asked: Asked) -> NotScanned:
    found = obstacles(asked.symbol, asked.one, asked.two)
    reasons = "; ".join(each.words for each in found) or _("the configuration changed a moment ago")
    summary = _("Not compared: %(reasons)s.") % {"reasons": reasons}
    return NotScanned(asked.ids[0], asked.symbol.name, asked.one.key, asked.two.key, found, summary)


# --- where it can be changed ---------------------------------------------------------------------


def _gate_links(asked: Asked) -> dict[str, str]:
    """The admin's rows behind each gate."""
    symbol, coin = asked.symbol.name, asked.symbol.base
    rows = {
        "status": ("instrument", symbol),
        "identity": ("identitycase", symbol),
        "fees": ("feeschedule", ""),
        "wallets": ("walletstatus", coin),
        "settlement": ("opportunityfilter", ""),
        "depth": ("opportunityfilter", ""),
    }
    return {gate: _admin(*rows.get(gate, ("gatethresholds", ""))) for gate in ALL_GATES}


def _admin(model: str, search: str) -> str:
    address = reverse(f"admin:markets_{model}_changelist")
    return f"{address}?{urlencode({'q': search})}" if search else address


# --- the page ------------------------------------------------------------------------------------


def _obstacle_rows(found: NotScanned) -> dict[str, Any]:
    return {"reasons": [(each.words, _admin(each.model, each.search)) for each in found.obstacles]}


async def _tables(asked: Asked, found: Explanation) -> dict[str, Any]:
    """Tables of the page; rows of both directions side by side."""
    names = asked.names
    links = _gate_links(asked)
    one, two = sorted(found.directions, key=lambda way: way.buy_on != found.exchange1)  # columns stay put
    ways = [_way(way, names, found.currency) for way in (one, two)]
    return {
        "opportunity": one.opportunity or two.opportunity,
        "legs": [_leg_row(leg, names, found.currency) for leg in found.legs],
        "ways": ways,
        "gates": [
            {
                "label": NAMES[first.name],
                "link": links[first.name],
                "threshold": first.threshold,
                "both": [_verdict(gate, way) for gate, way in zip((first, second), ways, strict=True)],
            }
            for first, second in zip(one.gates, two.gates, strict=True)
        ],
        "filters": list(zip(one.filters, two.filters, strict=True)),
        "filter_link": _admin("opportunityfilter", ""),
        "chart_link": await _chart_link(found.id),
    }


def _leg_row(leg: LegFacts, names: dict[str, str], currency: str) -> dict[str, str]:
    gap = "" if leg.gap_ms is None else wording.age(leg.gap_ms)
    volume = "" if leg.volume_24h is None else f"{wording.amount(leg.volume_24h)} {currency}"
    return {
        "name": names[leg.exchange],
        "symbol": leg.symbol,
        "state": leg.state,
        "state_words": str(STATE_WORDS[leg.state]),
        "bid": wording.price(leg.bid),
        "ask": wording.price(leg.ask),
        "age": "–" if leg.age_ms is None else wording.age(leg.age_ms),
        "gap": gap,
        "volume": volume or str(_("unknown")),
    }


def _way(way: DirectionFacts, names: dict[str, str], currency: str) -> dict[str, Any]:
    return {
        "buy": names[way.buy_on],
        "sell": names[way.sell_on],
        "trade": way.trade,
        "edge": wording.bps(way.edge_bps),
        "spread": wording.percent(way.spread_pct),
        "spread_words": _("bid %(sell)s / bid %(buy)s − 1")
        % {"sell": names[way.sell_on], "buy": names[way.buy_on]},
        "gains": way.edge_bps is not None and way.edge_bps > 0,
        "size": "–" if way.size is None else f"{wording.amount(way.size)} {currency}",
        "opportunity": way.opportunity,
    }


def _verdict(gate: Gate, way: dict[str, Any]) -> dict[str, Any]:
    return {"verdict": gate.verdict, "word": VERDICT_WORDS[gate.verdict], "words": gate.words, "way": way}


async def _chart_link(chart_id: str) -> str:
    """Address of the pair's chart; empty when no enabled filter draws it."""
    drawing = await _drawing(chart_id)
    if not drawing:
        return ""
    return f"{reverse('dashboard')}?{urlencode({'filter': str(drawing[0].id), 'chart': chart_id})}"


async def _drawing(chart_id: str) -> list[FilterConfig]:
    """The enabled filters that give the pair a chart."""
    config = await process_hub().seats.selection.current()
    drawn = {id for o in config.opportunities if o.id == chart_id for id in o.filters}
    return [row for row in config.filters if row.id in drawn]
