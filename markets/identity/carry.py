"""A decision about a listing is about its new pairs, too: nobody is asked again about each exchange.

A pair follows what was decided of one of its two listings, unless its own evidence says something else.
Splits follow readily, since they keep a pair closed; that two coins are the same is taken over only where
the word was about the listing, the prices stand to each other as they did then, and the other exchange
disagrees with no one else. What is not taken over waits in the queue, with the reason as its note.
"""

import logging
import math
from collections.abc import Iterable, Set
from typing import Any

from django.utils.translation import gettext as _
from msgspec import Struct

from markets.identity.groups import Group, groups
from markets.models import IdentityCase
from markets.selectors import gate_terms

logger = logging.getLogger(__name__)
Verdict = IdentityCase.Verdict


class _Decided(Struct, frozen=True):
    """Decision about a listing: the group, and the key of the market it is about."""

    group: Group
    exchange: str

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.group.first.verdict)

    def words(self, text: str, **more: str) -> str:
        """A note about it."""
        case = self.group.first
        named = case.leg1 if case.key1 == self.exchange else case.leg2
        return text % {"exchange": named, "verdict": self.verdict.label, **more}


def carry_over(opened: Iterable[int]) -> None:
    """Let cases just opened, by primary key, follow what was decided about one of their listings.

    What followed a confirmed listing goes back into quarantine when its other exchange is found to disagree
    with more than that. The caller moves the revision.
    """
    found = set(opened)
    for symbol in set(IdentityCase.findings.filter(pk__in=found).values_list("symbol", flat=True)):
        all_groups = groups([symbol])
        waiting = [
            case for group in all_groups for case in group.cases if case.verdict == Verdict.QUARANTINED
        ]
        decided = [group for group in all_groups if group.first.verdict != Verdict.QUARANTINED]
        for case in waiting:
            if case.pk in found:
                _follow(case, decided, waiting)
        _take_back(decided, waiting)


def _follow(case: IdentityCase, decided: list[Group], waiting: list[IdentityCase]) -> None:
    about = [
        _Decided(group, key)
        for group in decided
        for key in (case.key1, case.key2)
        if (group.exchange == key if group.exchange else key in _keys(group.first))
    ]
    against = {each.exchange: _why_not(case, each, waiting) for each in about}
    agreed = [each for each in about if not against[each.exchange]]
    if len({each.verdict for each in agreed}) > 1:
        _write(case, note=_("The decisions about its listings differ and do not settle this pair."))
    elif agreed:
        first = agreed[0].group.first
        note = agreed[0].words(_("As decided about the listing of %(exchange)s: %(verdict)s."))
        _write(
            case, verdict=first.verdict, follows=agreed[0].exchange, note=note,
            decided_by=first.decided_by, decided_at=first.decided_at,
        )  # fmt: skip
        logger.info("identity of %s: %s", case, note)
    elif about:
        _write(case, note=against[about[0].exchange])


def _why_not(case: IdentityCase, decided: _Decided, waiting: list[IdentityCase]) -> str:
    """Why a decision about one of its listings says nothing of a pair, in words; empty where it does."""
    here, there = _ratio(case, decided.exchange), _usual_ratio(decided)
    if here and there and abs(math.log(here / there)) > math.log(gate_terms().identity_max_ratio):
        return decided.words(
            _("%(exchange)s was decided: %(verdict)s. But prices are × %(here)s here, × %(there)s there."),
            here=f"{here:,.4g}", there=f"{there:,.4g}",
        )  # fmt: skip
    if decided.verdict != Verdict.CONFIRMED:
        return ""
    if not decided.group.exchange:
        return decided.words(_("%(exchange)s was decided: %(verdict)s. But that was about one pair only."))
    others = _keys(case) - {decided.exchange}
    if _in_doubt(others, [each for each in waiting if each.pk != case.pk]):
        return decided.words(
            _("%(exchange)s was decided: %(verdict)s. But %(other)s disagrees with others, too."),
            other=_other(case, decided.exchange),
        )
    return ""


def _take_back(decided: list[Group], waiting: list[IdentityCase]) -> None:
    for case in [case for group in decided for case in group.cases if case.follows]:
        if case.verdict == Verdict.CONFIRMED and _in_doubt(_keys(case) - {case.follows}, waiting):
            note = _("%(other)s disagrees with others, too.") % {"other": _other(case, case.follows)}
            _write(case, verdict=Verdict.QUARANTINED, follows="", decided_by=None, decided_at=None, note=note)


def _write(case: IdentityCase, **values: Any) -> None:
    for name, value in values.items():
        setattr(case, name, value)
    IdentityCase.findings.filter(pk=case.pk).update(**values)


def _in_doubt(keys: Set[str], waiting: Iterable[IdentityCase]) -> bool:
    """Whether one of the exchanges is part of a pair that waits for a decision."""
    return any(keys & _keys(each) for each in waiting if each.verdict == Verdict.QUARANTINED)


def _keys(case: IdentityCase) -> set[str]:
    return {case.key1, case.key2}


def _other(case: IdentityCase, key: str) -> str:
    return case.leg2 if case.key1 == key else case.leg1


def _ratio(case: IdentityCase, key: str) -> float | None:
    """The listing's price over the other exchange's."""
    if not case.price_ratio:
        return None
    return case.price_ratio if case.key1 == key else 1 / case.price_ratio


def _usual_ratio(decided: _Decided) -> float | None:
    if decided.group.exchange:
        return decided.group.price_ratio
    return _ratio(decided.group.first, decided.exchange)
