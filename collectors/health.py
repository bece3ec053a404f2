"""Whether collectors do their work: one per shard, whose sinks write and whose subscriptions are taken."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

from msgspec import Struct

from core.health.findings import Finding, finds
from core.names.formats import counted
from core.names.plain_names import isolated
from core.outage import lasted
from core.process.heartbeat import Heartbeat, is_missing
from markets.follow.runtime import CollectorRole, CollectorStatus

NAMED: Final = 20
"""Refused symbols of one exchange named one by one; the rest are given as one number."""


class Look(Protocol):
    """The part of an observation of the desk that is read."""

    @property
    def at_us(self) -> int: ...
    @property
    def heartbeats(self) -> Iterable[Heartbeat]: ...
    @property
    def collectors(self) -> Iterable[CollectorStatus]: ...
    @property
    def ingests(self) -> Iterable[CollectorStatus]: ...
    def called(self, key: str) -> str: ...


@finds(two_collectors="a collector is one too many for its shard, and stands by")
def standing_by(now: Look, _limits: object) -> Iterator[Finding]:
    """Two collectors are started for one shard."""
    for beat in now.heartbeats:
        if beat.stands_by and not is_missing(beat, now.at_us):
            yield Finding(
                "two_collectors", beat.name, "warning", beat.started_ts_us,
                f"{beat.name} is redundant: {beat.stands_by}. It writes nothing and stands by.",
                "Stop it, or let it collect another shard (`collect --shard 2/2`); it takes over by itself "
                "when the other one ends or stops reporting.",
            )  # fmt: skip


# --- sinks ---------------------------------------------------------------------------------------


class Store(Struct, frozen=True):
    """Destination of a sink: the kind of finding when it cannot write, where to look then, and where events
    wait.
    """

    kind: str
    look_at: str
    waits: str = "in its queue, and a full queue loses them"


stores: Final[dict[str, Store]] = {}
"""By the name of the sink; each app registers its own."""

_ELSEWHERE: Final = Store("drops", "The collector's log shows the reason.")


@finds()
def sinks(now: Look, _limits: object) -> Iterator[Finding]:
    """A sink cannot write."""
    for collector in (*now.collectors, *now.ingests):
        for name, stats in collector.sinks.items():
            if problem := stats.get("problem"):
                subject, store = f"{collector.role} {collector.shard}", stores.get(name, _ELSEWHERE)
                yield Finding(
                    store.kind, f"{subject} {name}", "critical", now.at_us,
                    f"The sink {name} of {subject} cannot write: {problem}",
                    f"It retries by itself; until then events wait {store.waits}. {store.look_at}",
                )  # fmt: skip


# --- subscriptions -------------------------------------------------------------------------------


@finds(symbol_refused="an exchange does not take the subscription of an instrument")
def refused_symbols(now: Look, _limits: object) -> Iterator[Finding]:
    """Symbols that exchanges refuse, with the age of the refusal and when it is asked for again."""
    for exchange, refusals in _refusals(now).items():
        for (symbol, channel), refusal in list(refusals.items())[:NAMED]:
            age_s = max(0.0, (now.at_us - refusal["since_us"]) / 1e6)
            what = {
                "trade": f"trades of {symbol}",
                "funding": f"funding of {symbol}",
                "depth": f"the order book of {symbol}",
            }.get(channel, symbol)
            yield Finding(
                "symbol_refused", f"{what} on {exchange}", "warning", refusal["since_us"],
                f"{now.called(exchange)} has refused {what} for {lasted(age_s)}: "
                f"{isolated(refusal['reason'].rstrip('.'))}. Asked {counted(refusal['times'], 'time')}; "
                f"next in {lasted(max(0.0, refusal['next_try_s']))}.",
                "It is retried by itself, at growing pauses of at most 5 minutes; it is not shown "
                "as live meanwhile. If it is halted or delisted there, disable it or sync the markets.",
                round(age_s, 1),
            )  # fmt: skip
        if len(refusals) > NAMED:
            yield Finding(
                "symbol_refused", f"others on {exchange}", "warning", now.at_us,
                f"{now.called(exchange)} refuses {counted(len(refusals) - NAMED, 'more subscription')}.",
                "So many at once point to a limit or a fault of the exchange: its reasons are in the "
                "collector's log.",
                float(len(refusals) - NAMED),
            )  # fmt: skip


@finds()
def resized(now: Look, _limits: object) -> Iterator[Finding]:
    """An exchange has given a contract another size than is configured."""
    for collector in now.collectors:
        for exchange, feed in collector.exchanges.items():
            for each in feed.get("resized", ()):
                age_s = max(0.0, (now.at_us - each["since_us"]) / 1e6)
                yield Finding(
                    "configuration", f"contract size of {each['symbol']} on {exchange}", "critical",
                    each["since_us"],
                    f"{now.called(exchange)} says that a contract of {each['symbol']} is "
                    f"{isolated(each['said'])} coins, where {each['was']:g} are configured, "
                    f"for {lasted(age_s)}. It is not compared.",
                    "Sync the markets: the new size is configured then. Positions and orders of "
                    "before count in contracts of the old size.",
                    round(age_s, 1),
                )  # fmt: skip


@finds(polls_failed="an exchange does not answer what is asked of all its swaps")
def failing_polls(now: Look, _limits: object) -> Iterator[Finding]:
    """Requests about all swaps of a market that fail; collectors of several shards ask the same."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for collector in now.collectors:
        for exchange, feed in collector.exchanges.items():
            for each in feed.get("polls_failing", ()):
                before = found.setdefault((exchange, each["path"]), each)
                found[exchange, each["path"]] = min(before, each, key=lambda poll: poll["since_us"])
    for (exchange, path), each in found.items():
        age_s = max(0.0, (now.at_us - each["since_us"]) / 1e6)
        name = now.called(exchange)
        yield Finding(
            "polls_failed", f"{path} on {exchange}", "warning", each["since_us"],
            f"{name} has not answered {path} for {lasted(age_s)}: "
            f"{isolated(each['reason'].rstrip('.'))}. Asked {counted(each['times'], 'time')}.",
            "It is asked again once a minute. What it says of funding (intervals, bounds, of some exchanges "
            "the rates) is unknown ten minutes after it was said last.",
            round(age_s, 1),
        )  # fmt: skip


UNKNOWN_AFTER_S: Final = 60.0
"""A book that is not known for so long is not merely being read again."""

_MISSED: Final[dict[CollectorRole, str]] = {
    "collector": "the edge of a size is unknown there",
    "ingest": "nothing of these books is stored meanwhile",
}


@finds()
def books(now: Look, _limits: object) -> Iterator[Finding]:
    """Order books beyond the budget, that stay unknown, or whose exchange does not answer requests."""
    for collector in (*now.collectors, *now.ingests):
        subject = f"{collector.role} {collector.shard}"
        if refused := collector.books.get("refused"):
            named = ", ".join(collector.books["refused_books"][:3])
            yield Finding(
                "configuration", f"order books of {subject}", "warning", now.at_us,
                f"{counted(refused, 'order book')} beyond the budget of {collector.books['most']} of "
                f"{subject}: {_MISSED[collector.role]} ({named} …).",
                "Raise the budget in the admin, Markets, Order book settings, follow fewer (filters, pinned "
                "instruments, best routes), or run more collectors.",
                float(refused),
            )  # fmt: skip
        for exchange, feed in collector.exchanges.items():
            yield from _books_of(now, exchange, feed.get("books", {}), collector.role)


def _books_of(now: Look, exchange: str, books: dict[str, Any], role: CollectorRole) -> Iterator[Finding]:
    name, whose = now.called(exchange), "" if role == "collector" else " for the store"
    if failing := books.get("snapshots_failing"):
        age_s = max(0.0, (now.at_us - failing["since_us"]) / 1e6)
        yield Finding(
            "polls_failed", f"order books on {exchange}{whose}", "warning", failing["since_us"],
            f"{name} has not answered requests of whole books for {lasted(age_s)}: "
            f"{isolated(failing['reason'].rstrip('.'))}. Asked {counted(failing['times'], 'time')}.",
            "It is asked again by itself, when the exchange said or at growing pauses; books that wait "
            "for an answer are unknown meanwhile.",
            round(age_s, 1),
        )  # fmt: skip
    for each in books.get("unknown", ()):
        age_s = (now.at_us - each["since_us"]) / 1e6
        if age_s > UNKNOWN_AFTER_S:
            yield Finding(
                "symbol_refused", f"order book of {each['symbol']} on {exchange}{whose}", "warning",
                each["since_us"],
                f"The order book of {each['symbol']} on {name}{whose} has been unknown for {lasted(age_s)}: "
                f"{isolated(each['reason'])}.",
                f"It is asked for again by itself; {_MISSED[role]}. If it stays so, look for refusals of the "
                "exchange, or follow fewer books.",
                round(age_s, 1),
            )  # fmt: skip


def _refusals(now: Look) -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
    """Refusals by exchange, then by symbol and channel; trades only where the quotes are taken."""
    found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for collector in now.collectors:
        for exchange, feed in collector.exchanges.items():
            refusals = feed.get("refusals", ())
            quotes = {each["symbol"] for each in refusals if each["channel"] == "quote"}
            for each in refusals:
                if each["channel"] == "quote" or each["symbol"] not in quotes:
                    found.setdefault(exchange, {})[each["symbol"], each["channel"]] = each
    return found
