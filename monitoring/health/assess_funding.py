"""What of funding is unhealthy: swaps whose funding has been unknown for too long. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from core.health.findings import Finding, finds
from core.names.formats import counted
from core.outage import lasted
from monitoring.health.fundings import Swap
from monitoring.health.observed import Limits, Observed

NAMED: Final = 20
"""Swaps of one exchange named one by one; the rest are given as one number."""

REMEDY: Final = (
    "Nothing is computed with it meanwhile, and alerts on funding neither begin nor end. If all swaps of one "
    "exchange are concerned, see its other findings and the collector's log; if only this one is, whether it "
    "is halted or delisted there."
)


@finds(funding_unknown="funding of a swap has been unknown for too long")
def unknown_funding(now: Observed, limits: Limits) -> Iterator[Finding]:
    """Swaps whose funding is unknown, by market; one finding where no swap of a market has any."""
    if now.fundings is None:
        return
    markets: dict[str, list[Swap]] = defaultdict(list)
    for of_coin in now.fundings.coins.values():
        for key, swap in of_coin.items():
            markets[key].append(swap)
    for key, swaps in sorted(markets.items()):
        late = [swap for swap in swaps if swap.unknown_s > limits.funding_unknown_s]
        if len(late) == len(swaps) > 1:
            yield _of_market(key, late, now, limits)
            continue
        late.sort(key=lambda swap: -swap.unknown_s)
        for swap in late[:NAMED]:
            yield _of_swap(swap, now, limits)
        if len(late) > NAMED:
            yield _finding(
                f"others on {key}", late[NAMED], now, limits,
                f"On {now.called(key)}, funding of {counted(len(late) - NAMED, 'more swap')} is unknown.",
            )  # fmt: skip


def _of_market(key: str, swaps: list[Swap], now: Observed, limits: Limits) -> Finding:
    newest = min(swaps, key=lambda swap: swap.unknown_s)
    ((why, _),) = Counter(swap.problem for swap in swaps).most_common(1)
    words = f"Funding of all {counted(len(swaps), 'swap')} of {now.called(key)} has been unknown"
    return _finding(
        key, newest, now, limits, f"{words} for {lasted(newest.unknown_s)}, mostly because {why}."
    )


def _of_swap(swap: Swap, now: Observed, limits: Limits) -> Finding:
    return _finding(
        f"{swap.symbol} on {swap.exchange}", swap, now, limits,
        f"Funding of {swap.symbol} on {now.called(swap.exchange)} has been unknown for "
        f"{lasted(swap.unknown_s)}: {swap.problem}.",
    )  # fmt: skip


def _finding(subject: str, swap: Swap, now: Observed, limits: Limits, words: str) -> Finding:
    since_us = now.at_us - int(swap.unknown_s * 1e6)
    return Finding(
        "funding_unknown", subject, "warning", since_us, words, REMEDY, round(swap.unknown_s, 1),
        limits.funding_unknown_s,
    )  # fmt: skip
