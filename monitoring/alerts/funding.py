"""Rules on funding: what each finds in what the monitor sees of swaps, in words.

Unknown is neither above nor below: a finding without a value says that nobody knows. Where some legs of a
coin are unknown the spread of the others is the least it can be, so it may be above, never below.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from django.utils.translation import gettext

from core.health.findings import Finding
from core.names.formats import share
from core.names.market_keys import SWAP, market_key
from engine.funding.rates import DAY_S, HOUR_S, YEAR_DAYS
from monitoring.alerts.rules import matches
from monitoring.health.fundings import Fundings, IntervalChange, Swap
from monitoring.models import AlertRule, FundingUnit, What

BPS: Final = 10_000
LEFT_OUT_S: Final = 600
"""A leg that was unknown for so long is left out of a coin's best two, as one that is not listed."""

PER: Final = {FundingUnit.EIGHT_HOURS: 1, FundingUnit.YEAR: DAY_S // (8 * HOUR_S) * YEAR_DAYS}


def funding_for(rule: AlertRule, fundings: Fundings, names: Mapping[str, str], now_us: int) -> list[Finding]:
    """Findings a rule on funding is about, whatever their value; `names` are of markets, by key."""
    if rule.what == What.FUNDING_INTERVAL:
        return list(_intervals(rule, fundings.changes, names))
    return list(_spreads(rule, fundings, names, now_us))


def in_unit(rule: AlertRule, bps: float) -> str:
    """Bps of a rule's unit: `5 bps per 8 h`."""
    return f"{share(round(bps, 2))} bps {FundingUnit(rule.funding_unit).label}"


# --- changed intervals ---------------------------------------------------------------------------


def _intervals(
    rule: AlertRule, changes: Iterable[IntervalChange], names: Mapping[str, str]
) -> Iterator[Finding]:
    for each in changes:
        if not matches(rule.subject, f"{each.symbol} on {each.exchange}"):
            continue
        before, after = _every(each.from_s), _every(each.to_s)
        words = gettext(
            "Funding of %(symbol)s on %(market)s is settled every %(after)s now, every %(before)s before."
        )
        yield Finding(
            "funding_interval", f"{each.symbol} from {before} to {after} on {each.exchange}", "warning",
            each.at_us,
            words % {
                "symbol": each.symbol, "market": names.get(each.exchange, each.exchange), "before": before,
                "after": after,
            },
            gettext("Rates per settlement are not comparable with those before; per 8 h they are."),
            each.to_s / HOUR_S,
        )  # fmt: skip


def _every(seconds: int) -> str:
    return f"{share(seconds / HOUR_S)} h" if seconds % HOUR_S == 0 else f"{share(seconds / 60)} min"


# --- spreads -------------------------------------------------------------------------------------


def _spreads(rule: AlertRule, fundings: Fundings, names: Mapping[str, str], now_us: int) -> Iterator[Finding]:
    chosen = [market_key(each.key, SWAP) for each in (rule.exchange1, rule.exchange2) if each is not None]
    for coin, swaps in fundings.coins.items():
        legs = [swap for key, swap in swaps.items() if not chosen or key in chosen]
        if len(legs) < 2 or not matches(rule.subject, coin):
            continue
        doubtful = [leg for leg in legs if leg.per_8h is None and (chosen or leg.unknown_s < LEFT_OUT_S)]
        value, words = _spread(rule, legs, names)
        if value is None or (doubtful and value < (rule.threshold or 0)):
            value, words = None, _unknown(legs, names)
        yield Finding("funding_spread", coin, "warning", now_us, words, "", value, rule.threshold)


def _spread(rule: AlertRule, legs: Iterable[Swap], names: Mapping[str, str]) -> tuple[float | None, str]:
    """The spread of the known legs, in bps of the rule's unit, and words; None: fewer than two are known."""
    known = sorted((leg.per_8h, leg.exchange) for leg in legs if leg.per_8h is not None)
    if len(known) < 2:
        return None, ""
    per = BPS * PER[FundingUnit(rule.funding_unit)]
    (low, long), (high, short) = known[0], known[-1]
    value = round((high - low) * per, 6)
    words = gettext("Short %(short)s (%(high)s), long %(long)s (%(low)s): %(spread)s.") % {
        "short": names.get(short, short), "high": f"{high * per:+,.2f}", "long": names.get(long, long),
        "low": f"{low * per:+,.2f}", "spread": in_unit(rule, value),
    }  # fmt: skip
    return value, words


def _unknown(legs: Iterable[Swap], names: Mapping[str, str]) -> str:
    why = [f"{names.get(leg.exchange, leg.exchange)}: {leg.problem}" for leg in legs if leg.per_8h is None]
    return gettext("The spread is unknown: %(why)s.") % {"why": "; ".join(why)}
