"""Rules in words, and what they would fire for now."""

import itertools
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from asgiref.sync import async_to_sync
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from redis import RedisError

from core.health.findings import Finding
from core.names import formats as wording
from core.redis_client import async_redis, redis_client
from markets.follow.fundings import Snapshot, read_snapshots
from markets.selectors import exchange_names
from markets.worth.reference import REFERENCE
from monitoring.alerts.funding import funding_for, in_unit
from monitoring.alerts.incidents import more_routes, named_subject, ranked, subject_of, way_of
from monitoring.alerts.selectors import findings_for, opportunities_for
from monitoring.health.fundings import FundingMemory, Remembered, read_remembered
from monitoring.health.memory import FRESH, Published
from monitoring.models import AlertRule
from opportunities.models import OpportunityEpisode

NAMED: Final = 5


def in_words(rule: AlertRule) -> str:
    """Condition of a rule, in a line: `exchange silent or down: okx, for 5 min`."""
    parts = _of_opportunities(rule) if rule.of_opportunities else _of_health(rule)
    if rule.for_s:
        parts.append(gettext("for %(time)s") % {"time": _span(rule.for_s)})
    return ", ".join([str(rule.get_what_display()), *parts])


def _of_opportunities(rule: AlertRule) -> list[str]:
    parts = [] if rule.filter is None else [f"“{rule.filter}”"]
    if rule.min_edge_bps is not None:
        parts.append(f"≥ {wording.share(rule.min_edge_bps)} bps")
    if rule.min_size is not None:
        parts.append(gettext("size ≥ %(size)s") % {"size": _amount(rule.min_size)})
    if rule.min_edge_at_size_bps is not None:
        parts.append(gettext("≥ %(bps)s bps at my size") % {"bps": wording.share(rule.min_edge_at_size_bps)})
    if rule.min_profit is not None:
        said = {"profit": _amount(rule.min_profit), "size": _amount(rule.profit_size)}
        parts.append(gettext("profit ≥ %(profit)s at %(size)s") % said)
    return parts


def _amount(value: float) -> str:
    return f"{wording.amount(value)} {REFERENCE}"


def _of_health(rule: AlertRule) -> list[str]:
    parts = [rule.subject] if rule.subject else []
    if rule.exchange1 is not None and rule.exchange2 is not None:
        parts.append(gettext("%(one)s and %(other)s") % {"one": rule.exchange1, "other": rule.exchange2})
    if rule.threshold is None:
        return parts
    return [
        *parts,
        f"≥ {in_unit(rule, rule.threshold) if rule.of_funding else wording.share(rule.threshold)}",
    ]


def _span(seconds: int) -> str:
    """Exactly as entered: `90 s`, `5 min`."""
    return f"{seconds} s" if seconds % 60 else f"{seconds // 60} min"


def would_fire(rule: AlertRule) -> str:
    """Say what the rule would fire for if it were saved now, in a sentence."""
    if rule.of_opportunities:
        moves = _moves_of(rule)
        return _named(moves, len(moves))
    names = exchange_names()
    found = _of_funding(rule, names) if rule.of_funding else current_findings()
    if found is None:
        return gettext("Unknown: no monitor reports. Is `manage.py monitor` running?")
    of_rule = found if rule.of_funding else findings_for(rule, found)
    unknown = [each.subject for each in of_rule if rule.of_funding and each.value is None]
    words = _of_findings(rule, of_rule, names)
    return f"{words.rstrip('.')}. {_unknown(unknown)}" if unknown else words


def _of_findings(rule: AlertRule, found: Iterable[Finding], names: dict[str, str]) -> str:
    lasting_us = timezone.now().timestamp() * 1_000_000 - rule.for_s * 1_000_000
    beyond = [each for each in found if _beyond(rule, each)]
    due = [named_subject(each.subject, names) for each in beyond if each.since_us <= lasting_us]
    if not due and beyond:
        what = named_subject(beyond[0].subject, names)
        return gettext("Nothing yet; %(what)s will if it lasts.") % {"what": what}
    return _named(due, len(due))


def _unknown(coins: list[str]) -> str:
    return gettext("Unknown now: %(coins)s.") % {"coins": _named(coins, len(coins))}


def _of_funding(rule: AlertRule, names: dict[str, str]) -> tuple[Finding, ...] | None:
    """Findings of the rule in the funding of now; None where no collector publishes any."""
    try:
        snapshots, remembered = async_to_sync(_published_funding)()
    except (RedisError, OSError):
        return None
    if not snapshots:
        return None
    now_us = int(timezone.now().timestamp() * 1_000_000)
    fundings = FundingMemory(remembered).take(snapshots, now_us, time.monotonic())
    return tuple(funding_for(rule, fundings, names, now_us))


async def _published_funding() -> tuple[list[Snapshot], list[Remembered]]:
    redis = async_redis()
    try:
        return await read_snapshots(redis), await read_remembered(redis)
    finally:
        await redis.aclose()


def _moves_of(rule: AlertRule) -> list[str]:
    """The moves whose routes meet the rule now, the oldest first, each by its best route."""
    found = opportunities_for(rule, timezone.now()).filter(closed_at=None)
    routes: dict[Any, list[OpportunityEpisode]] = defaultdict(list)
    for row in found.defer("at_open", "at_peak"):
        routes[row.move or subject_of(row)].append(row)
    names = exchange_names()
    return [_by_best(ranked(rule, rows), names) for rows in routes.values()]


def _by_best(ranked_routes: list[OpportunityEpisode], names: dict[str, str]) -> str:
    best = ranked_routes[0]
    return f"{best.symbol} {way_of(best, names)}{more_routes(len(ranked_routes) - 1)}"


def _beyond(rule: AlertRule, finding: Finding) -> bool:
    if rule.threshold is None:
        return True
    return finding.value is not None and finding.value >= rule.threshold


def _named(subjects: list[str], count: int) -> str:
    if not count:
        return gettext("Nothing.")
    names = ", ".join(itertools.islice(subjects, NAMED))
    left = count - NAMED
    if left <= 0:
        return names
    return names + ngettext(" and %(count)d more", " and %(count)d more", left) % {"count": left}


def current_findings() -> tuple[Finding, ...] | None:
    """Findings of the monitor within the last seconds; None when they are unknown."""
    try:
        value = redis_client().get(FRESH)
    except RedisError:
        return None
    try:
        return None if value is None else msgspec.json.decode(bytes(value), type=Published).findings  # type: ignore[arg-type]
    except msgspec.MsgspecError:
        return None
