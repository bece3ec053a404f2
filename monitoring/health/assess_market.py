"""Findings about what exchanges send, by the collectors' own measurements (docs/quality.md)."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from core.clock.moments import is_over
from core.health.findings import Finding, Severity, finds
from core.names.formats import counted
from core.names.plain_names import isolated
from core.outage import lasted
from monitoring.health.observed import Limits, Observed
from monitoring.quality.latency import in_words, is_beyond
from monitoring.quality.wire import ExchangeQuality, SymbolQuality

WELL: Final = ("live", "idle")  # idle: no instrument of that exchange is wanted here
CONNECTING_S: Final = 10.0
"""Connections that are not all there for so long are no start any more."""

NAMED: Final = 20
"""Silent symbols of one exchange named one by one; the rest are reported as one number."""

SUSPECTED_S: Final = 3.0
"""A symbol that has been suspect for so long is reported, before it is stale. Longer than it is between two
reports: until the next one it may be its whole exchange that has fallen silent."""

STORM: Final = 5
"""So many times over the limit, reconnects are a storm: the exchange may lock us out."""


@finds(
    exchange_silent="nothing of an exchange arrives, or its connections are down",
    symbol_silent="one instrument is silent while its neighbours talk",
    reconnects="connections of an exchange come and go",
    clock_offset="an exchange's clock and ours disagree",
    latency="an exchange's data comes late",
    bad_frames="malformed or rejected frames",
)
def market_findings(now: Observed, limits: Limits) -> Iterator[Finding]:
    """Findings about exchanges and symbols."""
    silent = set()
    for exchange in now.quality.exchanges:
        found = list(_silent_exchange(exchange, now, limits))
        if found:
            silent.add(exchange.exchange)
        yield from found
        yield from _poor_data(exchange, now, limits)
    yield from _silent_symbols(now, silent)


class Standing(Struct, frozen=True):
    """State of an exchange, in the one word that is shown and judged by, since when (µs), and why."""

    word: str
    since_us: int
    reason: str


def standing(of: ExchangeQuality, at_us: int) -> Standing:
    """The state of its connections where they are not healthy, else what most of its symbols do.

    Connections that live prove nothing of a market: an exchange most of whose symbols say nothing while
    others talk is `stale` (`suspect` until that is sure), whatever its heartbeats say.
    """
    states = of.symbols
    talking = states.get("live", 0) + states.get("quiet", 0)
    stale, suspect = states.get("stale", 0), states.get("suspect", 0)
    if of.state != "live" or stale + suspect <= talking:
        return Standing(of.state, of.since_us, of.reason)
    silent_us = int((_silent_ms(of) or 0.0) * 1000)
    does = "send nothing usable" if _sends_nothing_usable(of) else "send nothing"
    words = f"{stale + suspect} of {stale + suspect + talking} symbols {does}"
    return Standing("stale" if stale >= suspect else "suspect", at_us - silent_us, words)


def _sends_nothing_usable(of: ExchangeQuality) -> bool:
    """Whether most symbols that are stale or suspect are so because what comes of them cannot be used."""
    return 2 * of.unusable > of.symbols.get("stale", 0) + of.symbols.get("suspect", 0)


def _silent_ms(of: ExchangeQuality) -> float | None:
    """Since something came that could be used: trades say nothing of a book that cannot be.

    While our own collector stood still nobody listened, so that is no silence of the exchange.
    """
    silent_ms = of.quote_age_ms if _sends_nothing_usable(of) else of.age_ms
    if silent_ms is None or of.excused_ms is None:
        return silent_ms
    return min(silent_ms, of.excused_ms)


def _silent_exchange(of: ExchangeQuality, now: Observed, limits: Limits) -> Iterator[Finding]:
    for_s, name = (now.at_us - of.since_us) / 1e6, now.called(of.exchange)
    if of.state not in WELL:
        if of.state == "connecting" and not is_over(for_s, CONNECTING_S):
            return
        severity: Severity = "warning" if of.state == "connecting" else "critical"
        yield Finding(
            "exchange_silent", of.exchange, severity, of.since_us,
            f"{name} {_does(of.state)}: {isolated(of.reason) or 'no reason was given'}.",
            f"It is retried by itself{_next_try(of.exchange, now)}. Check whether it is in maintenance, "
            "has blocked this address, or cannot be reached from this host. "
            "The collector's log has the first failure.",
            round(max(0.0, for_s), 1), limits.exchange_silent_s,
        )  # fmt: skip
        return
    is_mute = standing(of, now.at_us).word in ("stale", "suspect")
    silent_s = (_silent_ms(of) or 0.0) / 1000
    if is_mute and silent_s > limits.exchange_silent_s:
        alive = of.heard_ms is not None and of.heard_ms < 1000 * limits.exchange_silent_s
        connections = "its connections are alive" if alive else "its connections are silent too"
        words = f"{name} has sent no quote or trade for {silent_s:.0f} s; {connections}."
        if _sends_nothing_usable(of):
            words = f"{name} has sent no usable quote for {silent_s:.0f} s: {of.unusable_reason}."
        yield Finding(
            "exchange_silent", of.exchange, "critical", now.at_us - int(silent_s * 1e6),
            words,
            "It is excluded from opportunities meanwhile. Dead connections are closed and opened again; "
            "if it lasts, check the exchange's status page.",
            round(silent_s, 1), limits.exchange_silent_s,
        )  # fmt: skip


_DOES: Final = {"refused": "accepts no subscription", "breaker open": "is not tried for now (breaker open)"}


def _does(state: str) -> str:
    return _DOES.get(state, f"is {state}")


def _next_try(exchange: str, now: Observed) -> str:
    feeds = (collector.exchanges.get(exchange, {}) for collector in now.collectors)
    waits = [feed["next_try_s"] for feed in feeds if feed.get("next_try_s") is not None]
    return f", next in {lasted(max(0.0, min(waits)))}" if waits else ""


def _poor_data(of: ExchangeQuality, now: Observed, limits: Limits) -> Iterator[Finding]:
    key, name = of.exchange, now.called(of.exchange)
    if of.reconnects_per_min > limits.reconnects_per_min:
        storm = of.reconnects_per_min > STORM * limits.reconnects_per_min
        yield Finding(
            "reconnects", key, "critical" if storm else "warning", now.at_us,
            f"Connections to {name} were lost {counted(of.reconnects_per_min, 'time')} in the last minute. "
            f"{isolated(of.reason)}".rstrip(),
            "Retries back off by themselves. Check the network, and whether another program uses the same "
            "address or limits. Disable the exchange in the admin before it blocks this address.",
            round(of.reconnects_per_min, 1), limits.reconnects_per_min,
        )  # fmt: skip
    offset_s = (of.clock_offset_ms or 0.0) / 1000
    if abs(offset_s) > limits.clock_offset_s:
        ahead = "ahead of" if offset_s > 0 else "behind"
        yield Finding(
            "clock_offset", key, "warning", now.at_us,
            f"The clock of {name} is {abs(offset_s):.1f} s {ahead} ours.",
            "If every exchange is off, our own clock is wrong: check NTP on the collectors' hosts. "
            "If only this one is, its time stamps cannot be trusted; ages here are by our own clock.",
            round(abs(offset_s), 2), limits.clock_offset_s,
        )  # fmt: skip
    elif of.clock_offset_ms is None and of.bad_times_per_min > limits.bad_frames_per_min:
        yield Finding(
            "clock_offset", key, "warning", now.at_us,
            f"{name} sent {counted(of.bad_times_per_min, 'time stamp')} in the last minute, invalid or more "
            "than a month from our clock: ignored, and its latency is unknown.",
            "If every exchange is off, our own clock is wrong: check NTP on the collectors' hosts. "
            "If only this one is, its quotes are kept with the times of their receipt.",
        )  # fmt: skip
    if of.latency is not None and is_beyond(of.latency.p95_ms, limits.latency_p95_ms):
        yield Finding(
            "latency", key, "warning", now.at_us,
            f"Data of {name} arrives {in_words(of.latency.p95_ms)} late (p95 of the last minute).",
            "If every exchange is late, this host or its network is overloaded: see queues and loop lag. "
            "If only this one is, the cause is the exchange or the network to it.",
            round(of.latency.p95_ms, 1), limits.latency_p95_ms,
        )  # fmt: skip
    if of.bad_frames_per_min > limits.bad_frames_per_min:
        yield Finding(
            "bad_frames", key, "warning", now.at_us,
            f"{name} sent unusable frames or quotes in the last minute: {_kinds(of)}.",
            "They are rejected and counted; nothing wrong is shown. If it persists, the exchange has changed "
            "its format: report a recorded frame.",
            round(of.bad_frames_per_min, 1), limits.bad_frames_per_min,
        )  # fmt: skip


def _kinds(of: ExchangeQuality) -> str:
    rates = {
        "malformed": of.malformed_per_min,
        "unknown": of.unknown_per_min,
        "crossed": of.crossed_per_min,
        "zero or negative": of.zero_per_min,
        "impossible marks or funding": of.bad_terms_per_min,
    }
    return ", ".join(f"{rate:,.0f} {kind}" for kind, rate in rates.items() if rate >= 0.5)


def _silent_symbols(now: Observed, silent_exchanges: set[str]) -> Iterator[Finding]:
    """Findings of silent symbols; not one by one for silent exchanges, and none for a passing suspicion."""
    named: Counter[str] = Counter()
    for symbol in now.quality.silent():
        suspected_s = (now.at_us - symbol.since_us) / 1e6
        silent_s = (symbol.age_ms or 0.0) / 1000
        lasts = symbol.state == "stale" or is_over(min(suspected_s, silent_s), SUSPECTED_S)
        if not lasts or symbol.exchange in silent_exchanges:
            continue
        named[symbol.exchange] += 1
        if named[symbol.exchange] <= NAMED:
            yield _silent_symbol(symbol, now.called(symbol.exchange))
    for exchange, count in named.items():
        if count > NAMED:
            more = counted(count - NAMED, "more symbol")
            yield Finding(
                "symbol_silent", f"others on {exchange}", "warning", now.at_us,
                f"On {now.called(exchange)}, {more} sent nothing while others quoted.",
                "So many at once point to the exchange or one of its connections.",
                float(count - NAMED),
            )  # fmt: skip


def _silent_symbol(symbol: SymbolQuality, name: str) -> Finding:
    silent_s = (symbol.age_ms or 0.0) / 1000
    usual = "" if symbol.gap_ms is None else f" (usually a quote every {_gap(symbol.gap_ms)})"
    words = f"has been silent for {silent_s:.0f} s{usual} while others quote."
    remedy = (
        "Check whether it is halted or delisted there. If it is silent only here, disable and enable the "
        "symbol to subscribe to it again."
    )
    if symbol.rejected_per_min >= 1:
        words = f"has had no complete current quote for {silent_s:.0f} s{usual} while others have."
        remedy = (
            f"Rejected in the last minute: {counted(symbol.rejected_per_min, 'frame')}, one-sided, late or "
            "invalid. The exchange's own page shows whether it is traded."
        )
    return Finding(
        "symbol_silent", f"{symbol.symbol} on {symbol.exchange}", "warning", symbol.since_us,
        f"{symbol.symbol} on {name} {words}",
        f"Gate checks exclude it from opportunities. {remedy}",
        round(silent_s, 1),
    )  # fmt: skip


def _gap(gap_ms: float) -> str:
    return f"{gap_ms:.0f} ms" if gap_ms < 1000 else f"{gap_ms / 1000:.0f} s"
