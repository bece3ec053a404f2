"""Incidents as rows: what a finding or an opportunity becomes when a rule fires, and how it ends.

Each function may be called again after a crash in the middle: what is there already stays as it is.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import Q
from django.utils.translation import gettext, ngettext

from core.health.findings import Finding
from core.names import formats as wording
from core.names.symbols import base_of, quote_of
from markets.events import PROFIT_SIZES, AtDepth
from markets.selectors import exchange_names
from markets.worth.reference import REFERENCE
from markets.worth.worths import Worths
from monitoring.alerts.links import chart_path
from monitoring.models import Alert, AlertRule, Delivery, What
from opportunities.models import OpportunityEpisode

_EPOCH: Final = datetime.datetime.fromtimestamp(0, datetime.UTC)
DELETE_AT_ONCE: Final = 1_000
KEY_CHARS, SUBJECT_CHARS, TITLE_CHARS = 255, 200, 200
LISTED: Final = 5
"""Routes and filters an incident names; the rest is counted."""


def moment(ts_us: int) -> datetime.datetime:
    """A wall-clock time in µs as the database keeps it."""
    return _EPOCH + datetime.timedelta(microseconds=ts_us)


def key_of(finding: Finding) -> str:
    """Subject of its incident."""
    return finding.key[:KEY_CHARS]


def of_finding(rule: AlertRule, finding: Finding, since_us: int, now_us: int) -> Alert:
    """The incident a finding makes, not saved yet."""
    return Alert(
        rule=rule,
        rule_name=rule.name,
        key=key_of(finding),
        subject=finding.subject[:SUBJECT_CHARS],
        severity=rule.severity,
        since=moment(since_us),
        fired_at=moment(now_us),
        title=f"{named_subject(finding.subject, exchange_names())}: {What(finding.kind).label}"[:TITLE_CHARS],
        words=finding.words,
        remedy=finding.remedy,
        value=finding.value,
        limit=finding.limit if rule.threshold is None else rule.threshold,
        path=funding_path(finding.subject) if rule.of_funding else "/health/",
    )


def why_resolved(rule: AlertRule, finding: Finding | None) -> str:
    """Why the incident of a finding is over, in words."""
    if rule.what == What.FUNDING_INTERVAL:
        return gettext("It changed an hour ago, or has changed again since.")
    if rule.what == What.FUNDING_SPREAD:
        return finding.words if finding else gettext("No two swaps of it are followed any more.")
    return gettext("It is healthy again.")


def funding_path(subject: str) -> str:
    """The funding page, of the coin that a finding is about."""
    coin = subject.partition(" ")[0].partition(":")[0]
    return f"/funding?{urlencode({'search': coin})}"


def named_subject(subject: str, names: Mapping[str, str]) -> str:
    """A finding's subject (`okx:swap`, `BTC/USDT on okx`) with the name of its market in place of the key."""
    what, on, key = subject.rpartition(" on ")
    return f"{what}{on}{names.get(key, key)}"


def subject_of(row: OpportunityEpisode) -> str:
    """A route by the keys of its markets: buy a symbol here, sell it there."""
    return f"{row.symbol} {row.buy_on} → {row.sell_on}"


def way_of(row: OpportunityEpisode, names: Mapping[str, str]) -> str:
    """Where a route buys and sells, by the names of the markets."""
    return f"{names.get(row.buy_on, row.buy_on)} → {names.get(row.sell_on, row.sell_on)}"


def coin_of(row: OpportunityEpisode) -> str:
    """Coin that cools down: the base of its symbol."""
    return base_of(row.symbol)


def of_opportunity(rule: AlertRule, rows: Sequence[OpportunityEpisode], now: datetime.datetime) -> Alert:
    """The incident a move makes, or an opportunity of none; not saved yet, resolved already where it is over.

    `rows` are the move's under the rule's filter, at least one.
    """
    best = ranked(rule, rows)[0]
    alert = Alert(
        rule=rule,
        rule_name=rule.name,
        key=f"opportunity:{subject_of(best) if best.move is None else best.move}"[:KEY_CHARS],
        episode=best.pk,
        move=best.move,
        coin=coin_of(best),
        severity=rule.severity,
        since=min(row.started_at for row in rows),
        fired_at=now,
        limit=rule.min_edge_bps,
    )
    describe(alert, rule, rows)
    if not any(row.is_open for row in rows):
        last = max(rows, key=lambda row: row.closed_at or now)
        alert.state, alert.resolved_at = Alert.State.RESOLVED, last.closed_at
        alert.resolved_why = why_closed(last)
    return alert


DESCRIBED: Final = ("subject", "title", "words", "value", "facts", "path")


def describe(alert: Alert, rule: AlertRule, rows: Sequence[OpportunityEpisode]) -> bool:
    """Say in an incident how its routes are now, best first; returns whether anything is new."""
    best, *others = ranked(rule, rows)
    names = exchange_names()
    edge = wording.bps(best.peak_edge_bps)
    words = gettext("Buy on %(buy)s, sell on %(sell)s: %(edge)s after both taker fees.")
    now = {
        "subject": subject_of(best)[:SUBJECT_CHARS],
        "title": f"{best.symbol}: {edge}, {way_of(best, names)}{more_routes(len(others))}"[:TITLE_CHARS],
        "words": words
        % {
            "buy": names.get(best.buy_on, best.buy_on),
            "sell": names.get(best.sell_on, best.sell_on),
            "edge": edge,
        },
        "value": best.peak_edge_bps,
        "facts": [list(fact) for fact in _facts(best, others, rows, names)],
        "path": chart_path(best) or _explain_path(best),
    }
    new = any(getattr(alert, name) != now[name] for name in DESCRIBED)
    for name in DESCRIBED:
        setattr(alert, name, now[name])
    return new


def more_routes(count: int) -> str:
    """Number of a move's other routes: ` (+6 routes)`, nothing where there are none."""
    if not count:
        return ""
    return ngettext(" (+%(count)d route)", " (+%(count)d routes)", count) % {"count": count}


def ranked(rule: AlertRule, rows: Iterable[OpportunityEpisode]) -> list[OpportunityEpisode]:
    """Each route once, at its highest edge; the best first, and before all what the rule asks for."""
    worths, least = Worths(), rule.min_size or 0

    def rank(row: OpportunityEpisode) -> tuple[bool, float, bool]:
        is_large = not least or worths.volume(row.peak_size, quote_of(row.symbol)) >= least
        return is_large and _is_deep(rule, row), row.peak_edge_bps, row.is_open

    best: dict[str, OpportunityEpisode] = {}
    for row in sorted(rows, key=rank, reverse=True):
        best.setdefault(subject_of(row), row)
    return list(best.values())


def _is_deep(rule: AlertRule, row: OpportunityEpisode) -> bool:
    """Whether its depth is what a rule asks; unknown is not."""
    found = ((getattr(row, column), least) for column, least in rule.least_depth.items())
    return all(value is not None and value >= least for value, least in found)


def why_closed(row: OpportunityEpisode) -> str:
    """Why an opportunity is over, in words."""
    return gettext("Over: %(reason)s.") % {"reason": row.reason or gettext("it closed")}


def _facts(
    row: OpportunityEpisode,
    others: Sequence[OpportunityEpisode],
    rows: Iterable[OpportunityEpisode],
    names: Mapping[str, str],
) -> list[tuple[str, str]]:
    """Facts a trader decides by, as of the peak so far."""
    peak, currency = row.peak, quote_of(row.symbol)
    buy, sell = peak.buy, peak.sell
    bought, sold = (names.get(leg.exchange, leg.exchange) for leg in (buy, sell))
    gates = ", ".join(row.gates) or gettext("all passed")
    filters = sorted({each.filter_name for each in rows})
    return [
        (gettext("Symbol"), row.symbol),
        (gettext("Buy"), f"{bought} {wording.price(buy.ask)} × {wording.amount(buy.ask_size)}"),
        (gettext("Sell"), f"{sold} {wording.price(sell.bid)} × {wording.amount(sell.bid_size)}"),
        (gettext("Edge after fees"), wording.bps(peak.edge_bps)),
        (gettext("Executable"), f"{wording.amount(peak.size)} {currency}"),
        *_depth_facts(peak.depth),
        (gettext("Quote ages"), f"{bought} {wording.age(buy.age_ms)}, "
                                f"{sold} {wording.age(sell.age_ms)}"),
        (gettext("Gate checks"), gates),
        *_move_facts(row, others, names),
        (gettext("Filter"), _listed(filters, ", ")),
    ]  # fmt: skip


def _depth_facts(depth: AtDepth | None) -> list[tuple[str, str]]:
    """Money on the table by both order books; nothing where they were not known."""
    if depth is None:
        return []
    profits = [
        f"{wording.amount(size)}: {wording.amount(profit)}"
        for size, profit in zip(PROFIT_SIZES, depth.profits, strict=True)
        if profit is not None
    ]
    best = f"{wording.amount(depth.best_size)}: {wording.amount(depth.best_profit)}"
    facts = [(gettext("Best size: profit, %(unit)s") % {"unit": REFERENCE}, best)]
    if profits:
        facts.insert(0, (gettext("Size: profit, %(unit)s") % {"unit": REFERENCE}, ", ".join(profits)))
    return facts


def _move_facts(
    row: OpportunityEpisode, others: Sequence[OpportunityEpisode], names: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Facts of the move: the exchange that moved, as far as that is known, and what else opened by it."""
    if row.moved_on:
        there = gettext("buy there") if row.moved_side == "buy" else gettext("sell there")
        yield gettext("Moved"), f"{names.get(row.moved_on, row.moved_on)}, {there}"
    elif row.move is not None:
        yield gettext("Moved"), gettext("not known yet")
    if others:
        routes = [f"{_route(each, row, names)} {wording.bps(each.peak_edge_bps)}" for each in others]
        yield gettext("Other routes of this move"), _listed(routes, "; ")


def _route(row: OpportunityEpisode, best: OpportunityEpisode, names: Mapping[str, str]) -> str:
    """Route, with its symbol only where that is another one."""
    way = way_of(row, names)
    return f"{row.symbol} {way}" if row.symbol != best.symbol else way


def _listed(names: Sequence[str], joint: str) -> str:
    """A handful, and how many there are besides."""
    first, left = joint.join(names[:LISTED]), len(names) - LISTED
    if left <= 0:
        return first
    return first + ngettext(" and %(count)d more", " and %(count)d more", left) % {"count": left}


def _explain_path(row: OpportunityEpisode) -> str:
    """Path of the page that explains the pair; that page leads to the chart if any filter draws it."""
    asked = {"symbol": row.symbol, "exchange1": row.exchange1, "exchange2": row.exchange2}
    return f"/opportunities/explain?{urlencode(asked)}"


def open_incident(alert: Alert) -> None:
    """Save a new incident, unless it is there already."""
    Alert.objects.bulk_create([alert], ignore_conflicts=True)


def resolve(alerts: Any, at: datetime.datetime, why: str) -> int:
    """End those of a queryset that fire; returns how many did."""
    firing = alerts.filter(state=Alert.State.FIRING)
    return int(firing.update(state=Alert.State.RESOLVED, resolved_at=at, resolved_why=why))


def resolve_abandoned(now: datetime.datetime) -> int:
    """End what fires under a rule that was deleted, switched off, or watches something else now."""
    opportunities = Q(rule__what=What.OPPORTUNITY)
    abandoned = Alert.objects.filter(
        Q(rule=None)
        | Q(rule__enabled=False)
        | Q(opportunities, episode=None)
        | Q(~opportunities, episode__isnull=False),
        state=Alert.State.FIRING,
    )
    why = gettext("No longer watched: its rule was changed, disabled or deleted.")
    return resolve(Alert.objects.filter(pk__in=abandoned.values("pk")), now, why)


def delete_alerts(before: datetime.datetime) -> int:
    """Delete what was resolved before a time, with what was sent of it, a batch per transaction, and
    messages of no incident that were queued before it; returns how many incidents that were.
    """
    deleted = 0
    while True:
        old = Alert.objects.filter(resolved_at__lt=before).order_by("resolved_at")
        ids = list(old.values_list("pk", flat=True)[:DELETE_AT_ONCE])
        Alert.objects.filter(pk__in=ids).delete()
        deleted += len(ids)
        if len(ids) < DELETE_AT_ONCE:
            break
    Delivery.objects.filter(alert=None, created_at__lt=before).delete()
    return deleted
