"""Why the statistics of a pair say what they say: the threshold that decided, in words."""

from django.utils.translation import gettext as _
from msgspec import Struct

from core.names.formats import figures, share, signed
from engine.deviation import LEAST_MINUTES, LEAST_POINTS, DeviationStatistics, DeviationTerms, Verdict


class Reason(Struct, frozen=True):
    """A verdict, and what decided it."""

    verdict: Verdict
    words: str


def reasons(found: DeviationStatistics, terms: DeviationTerms) -> list[Reason]:
    """One for each verdict."""
    return [Reason(verdict, _words(verdict, found, terms)) for verdict in found.verdicts]


def _words(verdict: Verdict, found: DeviationStatistics, terms: DeviationTerms) -> str:
    match verdict:
        case "too little data":
            return _(
                "%(points)s points in %(minutes)s min; at least %(least)s points and %(least_minutes)s min "
                "are needed"
            ) % {
                "points": f"{found.points:,}",
                "minutes": f"{found.minutes:,.1f}",
                "least": LEAST_POINTS,
                "least_minutes": share(LEAST_MINUTES),
            }
        case "trending":
            return _("%(value)s crossings per minute, below %(threshold)s: it goes one way") % {
                "value": _number(found.crossings_per_minute),
                "threshold": share(terms.trending_below_crossings_per_minute),
            }
        case "never closes":
            return _(
                "%(value)s %% of the time at or above %(event)s %%, more than %(threshold)s %%: it stays out"
            ) % {
                "value": _number(found.time_above_pct),
                "event": share(terms.event_pct),
                "threshold": share(terms.never_closes_above_time_pct),
            }
        case "biased":
            return _biased(found, terms)
    return "; ".join(_conditions(found, terms))


def _biased(found: DeviationStatistics, terms: DeviationTerms) -> str:
    lean = max(found.asymmetry or 0.0, found.spread_asymmetry or 0.0, key=abs)
    of_spread = lean == found.spread_asymmetry
    whose = _("the spread itself has") if of_spread else _("the deviation has")
    return _("%(whose)s an asymmetry of %(value)s, beyond ±%(threshold)s: it leans to one side") % {
        "whose": whose,
        "value": signed(lean, 2),
        "threshold": share(terms.biased_above_asymmetry),
    }


def _conditions(found: DeviationStatistics, terms: DeviationTerms) -> list[str]:
    """Conditions of an excellent pair, and whether this one meets them."""
    asked = [
        (found.crossings_per_minute, terms.excellent_above_crossings_per_minute, _("crossings per minute")),
        (found.events_per_hour, terms.excellent_above_events_per_hour, _("events per hour")),
        (found.mean_peak_pct, terms.excellent_above_mean_peak_pct, _("% mean peak")),
        (
            found.big_peaks_pct,
            terms.excellent_above_big_peaks_pct,
            _("%% of peaks above %(big)s %%") % {"big": share(terms.big_peak_pct)},
        ),
    ]
    return [_condition(value or 0.0, threshold, what) for value, threshold, what in asked]


def _condition(value: float, threshold: float, what: str) -> str:
    met = value > threshold
    sign = "✓" if met else "✕"
    comparison = _("above") if met else _("not above")
    return f"{sign}\u00a0{_number(value)} {what}, {comparison} {share(threshold)}"


def _number(value: float | None) -> str:
    return figures(value or 0.0, 3) if abs(value or 0.0) < 100 else f"{value:,.0f}"
