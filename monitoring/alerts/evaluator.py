"""Compares every observation and every opportunity with the rules, and writes what follows: incident and
outbox in one transaction. Both are safe to repeat: a monitor that is killed anywhere neither loses nor
doubles.
"""

import asyncio
import datetime
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

from django.db import Error, connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext
from msgspec import Struct

from core.clock.moments import is_over, lately
from core.health.findings import Finding
from core.nudges import listen
from core.outage import Outage
from markets.selectors import exchange_names
from monitoring.alerts import incidents
from monitoring.alerts.funding import funding_for
from monitoring.alerts.notify import queue_due
from monitoring.alerts.rules import Reading, Watch, step
from monitoring.alerts.selectors import (
    LATE,
    enabled_rules,
    findings_for,
    last_of_move,
    routes_lately,
    routes_of_firing,
    terms_of,
    unreported_opportunities,
    watched,
)  # fmt: skip
from monitoring.health.fundings import Fundings
from monitoring.jumps import Jumps
from monitoring.models import Alert, AlertRule
from opportunities.models import OpportunityEpisode
from opportunities.nudge import EPISODES_WRITTEN

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
REFRESH_EVERY_S: Final = 10.0
"""How often the words of what goes on firing are written again."""

MAX_UNWRITTEN: Final = 1_000
"""Changes that wait while the database is down; then the oldest are given up."""

FOREVER: Final = datetime.datetime.max.replace(tzinfo=datetime.UTC)

Watches = dict[tuple[int, str], Watch]
"""State of everything that is not simply healthy, by rule and key."""


class Change(Struct, frozen=True):
    """A thing began or ended to fire under a rule; `finding` is what was found of it then."""

    rule: AlertRule
    key: str
    at_us: int
    finding: Finding | None
    now: Watch


class HealthWatch:
    """Findings against rules, observation by observation. Not thread-safe; blocks on the database.

    Its memory is the incidents that fire or cool down and what is about to fire; it is read from the
    database at the first observation. While the database is down it goes on, and writes what happened when
    the database is back. `jumps` are those of the clock that stamped the incidents.
    """

    def __init__(self, jumps: Jumps | None = None) -> None:
        self._jumps = jumps or Jumps()
        self._rules: list[AlertRule] = []
        self._watches: Watches | None = None
        self._unwritten: list[Change] = []
        self._refreshed_us = 0
        self._jumps_us: int | None = None
        self._names: dict[str, str] = {}
        self._found: dict[int, dict[str, Finding]] = {}  # of rules on funding, each with findings of its own

    def judge(
        self, findings: Sequence[Finding], now_us: int, jumps_us: int = 0, fundings: Fundings | None = None
    ) -> None:
        """Judge one observation. Raises django.db.Error while the database does not work; nothing is lost.

        `jumps_us` is by how much the clock of `now_us` was set in all so far: what lasts goes along.
        Without `fundings` nobody knows anything of funding: what fires of it goes on.
        """
        try:
            self._rules = [rule for rule in enabled_rules() if not rule.of_opportunities]
            if any(rule.of_funding for rule in self._rules):
                self._names = exchange_names()
            if self._watches is None:
                self._watches = _remembered(self._jumps)
        finally:
            if self._watches is not None:
                if jumped_us := jumps_us - (jumps_us if self._jumps_us is None else self._jumps_us):
                    self._watches = {key: watch.later(jumped_us) for key, watch in self._watches.items()}
                self._jumps_us = jumps_us
                self._watches = self._follow(self._watches, findings, fundings, now_us)
        self._write(findings, now_us)

    def _follow(
        self, before: Watches, findings: Sequence[Finding], fundings: Fundings | None, now_us: int
    ) -> Watches:
        """Step everything that is watched; what began or ended to fire is kept to be written."""
        watches: Watches = {}
        self._found = {}
        for rule in self._rules:
            terms = terms_of(rule)
            known = [key for id, key in before if id == rule.pk]
            if not rule.of_funding:
                found = {incidents.key_of(each): each for each in findings_for(rule, findings)}
            elif fundings is not None:
                of_rule = funding_for(rule, fundings, self._names, now_us)
                found = self._found[rule.pk] = {incidents.key_of(each): each for each in of_rule}
            else:
                watches |= {(rule.pk, key): before[rule.pk, key] for key in known}
                continue
            for key in dict.fromkeys((*found, *known)):
                was = before.get((rule.pk, key), Watch())
                reading = _reading(found.get(key))
                now = was if _is_unknown(rule, reading) else step(was, reading, terms, now_us)
                if now.firing != was.firing:
                    self._unwritten.append(Change(rule, key, now_us, found.get(key), now))
                if not now.idle(terms, now_us):
                    watches[rule.pk, key] = now
        del self._unwritten[:-MAX_UNWRITTEN]
        return watches

    def _write(self, findings: Sequence[Finding], now_us: int) -> None:
        now = incidents.moment(now_us)
        with transaction.atomic():
            rules = set(AlertRule.objects.values_list("pk", flat=True)) if self._unwritten else set()
            for change in self._unwritten:
                if change.rule.pk in rules:
                    _save(change)
            incidents.resolve_abandoned(now)
            is_stale = is_over((now_us - self._refreshed_us) / 1e6, REFRESH_EVERY_S)
            if is_stale:
                self._refresh(findings)
            queue_due(now)
        self._unwritten.clear()
        if is_stale:
            self._refreshed_us = now_us

    def _refresh(self, findings: Iterable[Finding]) -> None:
        """Update the incidents that go on."""
        newest = {incidents.key_of(each): each for each in findings}
        every = newest.keys() | {key for found in self._found.values() for key in found}
        firing = Alert.objects.filter(state=Alert.State.FIRING, key__in=every, episode=None)
        changed = []
        for row in firing.select_for_update():
            finding = self._found.get(row.rule_id or 0, newest).get(row.key)
            if finding is not None and (row.words, row.value) != (finding.words, finding.value):
                row.words, row.value, row.remedy = finding.words, finding.value, finding.remedy
                changed.append(row)
        Alert.objects.bulk_update(changed, ["words", "value", "remedy"])


def _remembered(jumps: Jumps | None = None) -> Watches:
    """Load what fires, and what may still cool down, from the incidents."""
    jumps = jumps or Jumps()
    watches = {}
    resolved = Alert.objects.filter(state=Alert.State.RESOLVED, rule__cool_down_s__gt=0, episode=None)
    newest = resolved.order_by("rule_id", "key", "-pk").distinct("rule_id", "key")
    for row in newest:
        if row.rule_id is not None and row.resolved_at is not None:
            watches[row.rule_id, row.key] = Watch(resolved_us=jumps.since(_us(row.resolved_at)))
    firing = Alert.objects.filter(state=Alert.State.FIRING, rule__isnull=False, episode=None)
    for rule, key, since in firing.values_list("rule", "key", "since"):
        watches[rule, key] = Watch(firing=True, beyond_us=jumps.since(_us(since)))
    return watches


def _reading(finding: Finding | None) -> Reading | None:
    return None if finding is None else Reading(finding.since_us, finding.value)


def _is_unknown(rule: AlertRule, reading: Reading | None) -> bool:
    """Whether nobody knows how it is: nothing begins, nothing ends, and what lasts goes on lasting."""
    return rule.of_funding and reading is not None and reading.value is None


def _save(change: Change) -> None:
    rule, finding, at_us = change.rule, change.finding, change.at_us
    if change.now.firing and finding is not None:
        since_us = at_us if change.now.beyond_us is None else change.now.beyond_us
        incidents.open_incident(incidents.of_finding(rule, finding, since_us, at_us))
    else:
        mine = Alert.objects.filter(rule=rule.pk, key=change.key)
        incidents.resolve(mine, incidents.moment(at_us), incidents.why_resolved(rule, finding))


# --- opportunities -----------------------------------------------------------------------------------


def look_at_opportunities(now: datetime.datetime, jumps: Jumps | None = None) -> None:
    """Hold the episodes in PostgreSQL against the rules. Raises django.db.Error; then nothing is done.

    `jumps` are those of the clock of `now`, if it made any.
    """
    rules = [rule for rule in enabled_rules() if rule.of_opportunities]
    with transaction.atomic():
        _follow_moves(now)
        _resolve_closed(now)
        for rule in rules:
            _fire(rule, now, jumps or Jumps())
        queue_due(now)


def _follow_moves(now: datetime.datetime) -> None:
    """Update firing incidents with the routes of their moves; they end when all routes are closed."""
    firing = Alert.objects.filter(state=Alert.State.FIRING, move__isnull=False, rule__isnull=False)
    alerts = list(firing.select_related("rule").select_for_update(of=("self",)))
    routes = _by_move(routes_of_firing(alerts))
    changed = []
    for alert in alerts:
        rule = cast(AlertRule, alert.rule)
        mine = watched(rule, routes[alert.move])
        if not any(row.is_open for row in mine):
            _end(alert, rule, now)
        elif incidents.describe(alert, rule, mine):
            changed.append(alert)
    Alert.objects.bulk_update(changed, incidents.DESCRIBED)


def _end(alert: Alert, rule: AlertRule, now: datetime.datetime) -> None:
    last = None if alert.move is None else last_of_move(rule, alert.move)
    if last is None:
        why, at = gettext("Its record was deleted, or its rule was changed."), now
    else:
        why, at = incidents.why_closed(last), last.closed_at or now
    incidents.resolve(Alert.objects.filter(pk=alert.pk), at, why)


def _resolve_closed(now: datetime.datetime) -> None:
    """End the incidents of opportunities that belong to no move."""
    firing = Alert.objects.filter(state=Alert.State.FIRING, episode__isnull=False, move=None)
    rows = OpportunityEpisode.objects.filter(pk__in=firing.values("episode"))
    for row in rows.filter(closed_at__isnull=False):
        incidents.resolve(firing.filter(episode=row.pk), row.closed_at or now, incidents.why_closed(row))
    recorded = OpportunityEpisode.objects.filter(pk=OuterRef("episode"))
    incidents.resolve(firing.filter(~Exists(recorded)), now, gettext("Its record was deleted."))


def _fire(rule: AlertRule, now: datetime.datetime, jumps: Jumps) -> None:
    """Open one incident per move, and within a cool-down one per coin: of what is open if anything is."""
    found = unreported_opportunities(rule, now, jumps)
    if not found:
        return
    routes = _by_move(routes_lately({row.move for row in found if row.move is not None}, now, jumps))
    spoken_for = _spoken_for(rule, found, now)
    fired: set[Any] = set()  # moves, and coins that cool down
    for row in sorted(found, key=lambda row: (not row.is_open, -row.peak_edge_bps)):
        coin, subject, over_at = incidents.coin_of(row), incidents.subject_of(row), row.closed_at or FOREVER
        if coin in fired or row.move in fired:
            continue
        if row.move is None and over_at <= spoken_for.get(subject, incidents.moment(0)):
            continue
        rows = [row] if row.move is None else watched(rule, routes[row.move])
        incidents.open_incident(incidents.of_opportunity(rule, rows, now))
        if row.move is None:
            spoken_for[subject] = over_at
        else:
            fired.add(row.move)
        if rule.cools_down_s:
            fired.add(coin)


def _by_move(rows: Iterable[OpportunityEpisode]) -> dict[Any, list[OpportunityEpisode]]:
    of_move = defaultdict(list)
    for row in rows:
        of_move[row.move].append(row)
    return of_move


def _spoken_for(
    rule: AlertRule, found: Iterable[OpportunityEpisode], now: datetime.datetime
) -> dict[str, datetime.datetime]:
    """Until when each direction has its incident, of opportunities without a move: rows of older versions."""
    subjects = {incidents.subject_of(row) for row in found if row.move is None}
    of_rule = Alert.objects.filter(rule=rule, move=None, subject__in=subjects)
    reported = of_rule.filter(Q(state=Alert.State.FIRING) | Q(resolved_at__range=lately(now, LATE)))
    until: dict[str, datetime.datetime] = {}
    for subject, resolved_at in reported.values_list("subject", "resolved_at"):
        until[subject] = max(until.get(subject, incidents.moment(0)), resolved_at or FOREVER)
    return until


# --- in the monitor ----------------------------------------------------------------------------------


class Evaluator:
    """The rules at work in the monitor's event loop, over one database connection in a thread of its own."""

    def __init__(self, jumps: Jumps | None = None) -> None:
        self._jumps = jumps or Jumps()
        self._health = HealthWatch(self._jumps)
        self._thread = ThreadPoolExecutor(1, "alert rules")
        self._outage = Outage(logger, logging.WARNING)

    async def judge(
        self, findings: Sequence[Finding], now_us: int, jumps_us: int = 0, fundings: Fundings | None = None
    ) -> None:
        """Judge an observation of the monitor. Never raises for the database: goes on when it is back."""
        await self._work(lambda: self._health.judge(findings, now_us, jumps_us, fundings))

    async def follow_opportunities(self) -> None:
        """Look at the episodes whenever a collector says that one opened, and every second. Runs for ever."""
        nudged = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen(EPISODES_WRITTEN, nudged, "episodes"), name="episode nudges")
            while True:
                nudged.clear()
                now = incidents.moment(self._jumps.now_us())
                await self._work(partial(look_at_opportunities, now, self._jumps))
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await nudged.wait()

    def close(self) -> None:
        """Give up what has not begun."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self, work: Callable[[], Any]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, work)
        except Error as error:
            # Looked up there: a connection belongs to its thread.
            await loop.run_in_executor(self._thread, lambda: connection.close())  # noqa: PLW0108
            self._outage.begins("alert rules: the database does not work, they wait for it: %s", error)
        else:
            self._outage.ends("alert rules: the database works again")


def _us(at: datetime.datetime) -> int:
    return (at - incidents.moment(0)) // datetime.timedelta(microseconds=1)
