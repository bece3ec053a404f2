"""Healthy and unhealthy: one observation in, findings in words out."""

from collections.abc import Callable

import pytest
from msgspec import structs

from accounts.upkeep import NO_USERS
from core.health.findings import Finding, kinds
from core.health.upkeep import LastRun
from core.process.heartbeat import QueueFill
from history.lake.standing import Disk
from monitoring.health.assess import assess, replaced, status
from monitoring.health.assess_market import standing
from monitoring.health.fundings import Fundings, Swap
from monitoring.health.memory import Memory
from monitoring.health.observed import Answer, ChannelTrouble, Limits, Observed, Restart
from monitoring.quality.latency import Latency
from monitoring.quality.wire import STALE, SUSPECT, Quality
from orderbook.standing import Standing
from tests.support.observed import (
    COLLECTOR,
    HOUR,
    LIMITS,
    NOW,
    PROCESSES,
    WELL,
    S,
    beat,
    exchange,
    found,
    look,
    symbols,
    with_collector,
    with_exchange,
    with_process,
)


def test_a_healthy_desk_has_no_findings() -> None:
    assert found(WELL) == {}
    assert status(WELL, []) == "ok"


REFUSAL = {
    "symbol": "C1/USDT", "channel": "quote", "reason": "request too many", "since_us": NOW - 90 * S,
    "times": 4, "next_try_s": 12.0,
}  # fmt: skip

RESIZED = {"symbol": "C1/USDT:USDT", "was": 12.0, "said": "120", "since_us": NOW - 90 * S}
POLL = {"path": "/funding", "reason": "answer: 429", "since_us": NOW - 90 * S, "times": 2}
INTERVAL = "the interval is unknown"


def funding(*unknown_s: float, known: int = 0) -> Observed:
    """Swaps of OKX whose funding has been unknown for so long, and some whose funding is known."""
    late = [Swap("okx:swap", f"C{n}/USDT:USDT", "", None, None, INTERVAL, s) for n, s in enumerate(unknown_s)]
    well = [Swap("okx:swap", f"W{number}/USDT:USDT", "", 0.0001, 28_800) for number in range(known)]
    coins = {swap.symbol.partition(":")[0]: {swap.exchange: swap} for swap in (*late, *well)}
    return look(fundings=Fundings(coins), names={"okx:swap": "OKX swap"})


UNHEALTHY: dict[str, tuple[Observed, str, str]] = {
    "exchange_silent:okx": (
        with_exchange(state="breaker open", since_us=NOW - 90 * S, reason="too many failed attempts"),
        "critical",
        "okx is not tried for now (breaker open): too many failed attempts",
    ),
    "symbol_silent:C1/USDT on okx": (
        look(quality=symbols(0, STALE, 0)),
        "warning",
        "C1/USDT on okx has been silent for 40 s (usually a quote every 200 ms)",
    ),
    "symbol_refused:C1/USDT on okx": (
        with_collector(exchanges={"okx": {"refusals": [REFUSAL]}}),
        "warning",
        "okx has refused C1/USDT for 1 min 30 s: request too many. Asked 4 times; next in 12.0 s.",
    ),
    "configuration:contract size of C1/USDT:USDT on gate:swap": (
        with_collector(exchanges={"gate:swap": {"resized": [RESIZED]}}), "critical",
        "a contract of C1/USDT:USDT is 120 coins, where 12 are configured, for 1 min 30 s. It is not",
    ),
    "funding_unknown:C0/USDT:USDT on okx:swap": (
        funding(960.0, known=1), "warning",
        "Funding of C0/USDT:USDT on OKX swap has been unknown for 16 min 0 s: the interval is unknown.",
    ),
    "polls_failed:/funding on okx:swap": (
        with_collector(exchanges={"okx:swap": {"polls_failing": [POLL]}}), "warning",
        "okx:swap has not answered /funding for 1 min 30 s: answer: 429. Asked 2 times.",
    ),
    "reconnects:okx": (with_exchange(reconnects_per_min=100.0), "critical", "were lost 100 times"),
    "clock_offset:okx": (with_exchange(clock_offset_ms=3000.0), "warning", "3.0 s ahead of ours"),
    "latency:okx": (
        with_exchange(latency=Latency(900, 2500, 3000, 4000, 100)), "warning", "arrives 2,500 ms late",
    ),
    "bad_frames:okx": (
        with_exchange(malformed_per_min=40.0, crossed_per_min=2.0), "warning", "40 malformed, 2 crossed",
    ),
    "queue_full:web desk:1 LakeSink": (
        with_process(queues={"LakeSink": QueueFill(10_001, 100_000)}), "warning", "holds 10,001 events",
    ),
    "drops:web desk:1 LakeSink": (
        structs.replace(
            with_process(queues={"LakeSink": QueueFill(0, 100_000, 500)}),
            drops_per_min={"web desk:1 LakeSink": 480},
        ),
        "critical",
        "dropped 480 events in the last minute",
    ),
    "memory:web desk:1": (
        with_process(rss_bytes=850 * 2**20, memory_limit_bytes=1000 * 2**20), "warning", "850 MB, 85 %",
    ),
    "memory:redis": (look(redis_bytes=500 * 2**20), "critical", "98 % of its maxmemory (512 MB)"),
    "gc:web desk:1": (with_process(gc_gen2_per_min=11.0), "warning", "11 full garbage collections"),
    "loop_lag:web desk:1": (with_process(loop_lag_ms=2500.0), "warning", "was blocked for 2,500 ms"),
    "sockets:web desk:1": (with_process(sockets=1_001), "warning", "1,001 sockets open"),
    "process_missing:worker": (
        look(heartbeats=(*PROCESSES[:2], beat("worker", silent_s=30.0), *PROCESSES[3:])),
        "warning",
        "worker (process 4711 on desk) has not reported for 30 s",
    ),
    "process_missing:beat": (
        look(heartbeats=(*PROCESSES[:3], PROCESSES[4])), "warning", "No beat is running.",
    ),
    "clock_jump:web desk:1": (
        with_process(clock_jumped_s=-3600.0, clock_jumped_us=NOW - 1_000_000), "warning", "back by 3,600.0 s",
    ),
    "process_missing:simulator": (
        look(simulated=True), "critical", "The simulated exchanges are unavailable.",
    ),
    "process_missing:collector 2/2": (
        with_collector(shard="1/2"), "critical", "No collector is running for shard 2/2.",
    ),
    "configuration:collector 1/1": (
        with_collector(error="saved revision 8 cannot be used: no fee"), "warning", "runs revision 7: saved",
    ),
    "nothing_collected:exchanges": (
        with_collector(lacks=("exchanges",)), "critical", "Nothing is collected: there is no exchange.",
    ),
    "configuration:pairs": (with_collector(lacks=("pairs",)), "warning", "no pair of exchanges is enabled"),
    "configuration:users": (look(lacks={"users": NO_USERS}), "warning", "Nobody can sign in"),
    "two_collectors:collector 1/1 stands by, desk:9": (
        look(
            heartbeats=(
                *PROCESSES,
                beat("collector", "collector 1/1 stands by, desk:9", stands_by="process 4711 on desk has it"),
            )
        ),
        "warning",
        "process 4711 on desk has it",
    ),
    "lake_write:collector 1/1 LakeSink": (
        with_collector(sinks={"LakeSink": {"problem": "disk full"}}), "critical", "cannot write: disk full",
    ),
    "lake_write:collector 1/1 LakeSink slow": (
        with_collector(sinks={"LakeSink": {"flush_s": 12.0}}), "warning", "to the lake takes 12 s.",
    ),
    "store_upkeep:partitions": (
        look(store=Standing("plain", 1, (), NOW)), "warning", "no partitions for the next half hour",
    ),
    "store_write:collector 1/1 StoreSink": (
        with_collector(sinks={"StoreSink": {"problem": "no answer"}}), "critical", "no answer",
    ),
    "database:collector 1/1 EpisodeSink": (
        with_collector(sinks={"EpisodeSink": {"problem": "no answer"}}), "critical", "EpisodeSink of",
    ),
    "maintenance_late:compact quotes": (
        look(runs=(LastRun("compact quotes", "done", NOW - 2 * HOUR, NOW - 2 * HOUR, 600.0),)),
        "warning",
        "was last done 2 h ago; it is due every 10 min",
    ),
    "maintenance_late:market sync okx": (
        look(runs=(LastRun("market sync okx", "failed", NOW, None, 3600.0, "403 Forbidden"),)),
        "warning",
        "market sync okx failed: 403 Forbidden",
    ),
    "maintenance_late:market sync gate": (
        look(runs=(LastRun("market sync gate", "partial", NOW, NOW, 3600.0, "tickers: HTML"),)),
        "warning",
        "market sync gate was only partly done: tickers: HTML",
    ),
    "redis:redis": (look(redis=Answer(False, "refused")), "critical", "Redis does not respond: refused"),
    "database:postgresql": (
        look(database=Answer(False, "OperationalError")), "critical", "does not respond: OperationalError",
    ),
    "disk:lake": (look(disk=Disk(1000, 20)), "critical", "2.0 % left"),
    "alert_delivery:night shift": (
        look(channels=(ChannelTrouble("night shift", NOW - 60 * S, "401 Unauthorized", 3),)),
        "warning",
        "night shift accepts no messages (3 waiting): 401 Unauthorized",
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", UNHEALTHY)
def test_what_is_unhealthy_is_named_with_words_and_a_remedy(key: str) -> None:
    now, severity, words = UNHEALTHY[key]
    finding = found(now)[key]
    assert finding.severity == severity
    assert words in finding.words
    assert len(finding.remedy) > 20
    assert finding.since_us <= NOW


def test_every_kind_can_be_found() -> None:
    assert {key.partition(":")[0] for key in UNHEALTHY} == set(kinds)


@pytest.mark.parametrize("key", sorted(set(UNHEALTHY) - {"redis:redis"}))
def test_one_unhealthy_thing_is_one_finding(key: str) -> None:
    assert set(found(UNHEALTHY[key][0])) == {key}


def test_while_redis_is_gone_only_that_is_said() -> None:
    now = look(redis=Answer(False, "gone"), heartbeats=(), collectors=(), quality=Quality())
    assert set(found(now)) == {"redis:redis"}
    assert status(now, assess(now, LIMITS)) == "down"


# --- exchanges and symbols -----------------------------------------------------------------------


def test_an_exchange_without_quotes_is_silent_although_its_connections_live() -> None:
    mute = with_exchange(symbols={"suspect": 3, "stale": 17}, age_ms=8_000.0)
    finding = found(mute)["exchange_silent:okx"]
    assert "its connections are alive" in finding.words
    assert finding.value == 8.0
    assert finding.since_us == NOW - 8 * S


def test_an_exchange_is_not_silent_while_one_of_its_symbols_talks_or_its_market_sleeps() -> None:
    assert not found(with_exchange(symbols={"live": 1, "stale": 19}, age_ms=100.0))
    assert not found(with_exchange(symbols={"quiet": 20}, age_ms=60_000.0))


def test_funding_that_is_unknown_for_a_moment_is_no_finding() -> None:
    assert not found(funding(130.0, 900.0, known=1))
    assert found(funding(130.0, known=1), structs.replace(LIMITS, funding_unknown_s=120.0))


def test_a_market_none_of_whose_funding_is_known_is_one_finding() -> None:
    (finding,) = found(funding(960.0, 1200.0)).values()
    assert (finding.key, finding.value, finding.since_us) == (
        "funding_unknown:okx:swap",
        960.0,
        NOW - 960 * S,
    )
    assert finding.words == (
        "Funding of all 2 swaps of OKX swap has been unknown for 16 min 0 s, mostly because the interval is "
        "unknown."
    )


def test_swaps_of_unknown_funding_beyond_twenty_are_one_finding() -> None:
    many = found(funding(*[960.0] * 23, known=1))
    assert len(many) == 21
    assert (
        many["funding_unknown:others on okx:swap"].words == "On OKX swap, funding of 3 more swaps is unknown."
    )


def test_connections_that_are_being_made_are_no_trouble_until_it_takes_too_long() -> None:
    assert not found(with_exchange(state="connecting", since_us=NOW - 5 * S))
    assert found(with_exchange(state="connecting", since_us=NOW - 11 * S))["exchange_silent:okx"]


def test_symbols_of_a_silent_exchange_are_not_reported_one_by_one() -> None:
    quality = symbols(STALE, STALE)
    silent = exchange(symbols={"stale": 2}, age_ms=40_000.0)
    assert set(found(look(quality=structs.replace(quality, exchanges=(silent,))))) == {"exchange_silent:okx"}


def test_a_symbol_is_reported_once_the_suspicion_lasts() -> None:
    suspect = look(quality=symbols(0, SUSPECT))
    since_us = NOW - 40 * S
    assert not found(structs.replace(suspect, at_us=since_us + 2 * S, heartbeats=(), listening_since_us=None))
    assert set(found(suspect)) == {"symbol_silent:C1/USDT on okx"}


def test_a_symbol_whose_frames_are_refused_is_not_called_silent() -> None:
    quality = symbols(0, STALE)
    quality.rows["refused_per_min"][1] = 31
    finding = found(look(quality=quality))["symbol_silent:C1/USDT on okx"]
    assert "has had no complete current quote for 40 s" in finding.words
    assert "Rejected in the last minute: 31 frames" in finding.remedy


def test_very_many_silent_symbols_are_summed_up() -> None:
    keys = found(look(quality=symbols(*[STALE] * 500)))
    assert len(keys) == 21
    assert "480 more symbols" in keys["symbol_silent:others on okx"].words


# --- processes -----------------------------------------------------------------------------------


def test_a_desk_that_just_starts_misses_nobody_yet() -> None:
    assert not found(look(heartbeats=(), listening_since_us=NOW - 5 * S))


def test_a_web_process_that_was_restarted_is_not_missed() -> None:
    old = beat("web", "web desk:1", silent_s=60.0)
    new = beat("web", "web desk:2", started_ts_us=NOW - 50 * S)
    other = beat("web", "web desk:3")
    beats = (old, other, *PROCESSES[:1], *PROCESSES[2:])
    assert "process_missing:web desk:1" in found(look(heartbeats=beats))
    assert replaced((*beats, new), NOW) == {"web desk:1"}
    assert not found(look(heartbeats=(*beats, new)))


def test_one_that_began_stands_for_one_that_is_gone() -> None:
    gone = (beat("web", "web a:1", silent_s=60.0), beat("web", "web b:1", silent_s=60.0))
    new = beat("web", "web a:2", started_ts_us=NOW - 50 * S)
    assert len(replaced((*gone, new), NOW)) == 1


def test_a_process_that_was_killed_is_reported_although_it_is_back() -> None:
    restarted = look(restarts=(Restart("collector 1/1", "collector", NOW - 3 * S),))
    finding = found(restarted)["process_missing:collector 1/1"]
    assert "collector 1/1 ended unexpectedly and was started again 3 s ago" in finding.words


def test_a_configuration_may_take_a_moment_to_be_taken_over() -> None:
    behind = look(saved_revision=8, saved_us=NOW - 2 * S)
    assert not found(behind)
    assert "revision 8 is saved" in found(structs.replace(behind, saved_us=NOW - 20 * S))[
        "configuration:collector 1/1"
    ].words  # fmt: skip


def test_a_collector_that_starts_has_no_configuration_yet() -> None:
    def started(ago_s: int) -> Observed:
        collector = structs.replace(COLLECTOR, revision=0, started_ts_us=NOW - ago_s * S)
        return look(saved_us=NOW - 3600 * S, collectors=(collector,))

    assert not found(started(ago_s=3))
    assert found(started(ago_s=16))


def test_a_process_that_starts_may_hold_itself_up() -> None:
    assert not found(with_process(loop_lag_ms=2500.0, started_ts_us=NOW - 20 * S))


def test_limits_are_the_operators() -> None:
    now = with_process(gc_gen2_per_min=11.0)
    assert not found(now, structs.replace(LIMITS, gc_gen2_per_min=12.0))


def test_without_a_collector_the_desk_is_down_and_with_a_finding_degraded() -> None:
    assert status(look(collectors=()), []) == "down"
    assert status(WELL, [Finding("gc", "web", "warning", NOW, "", "")]) == "degraded"


def test_the_worst_comes_first() -> None:
    now = structs.replace(UNHEALTHY["memory:web desk:1"][0], disk=Disk(1000, 20))
    assert [finding.severity for finding in assess(now, LIMITS)] == ["critical", "warning"]


# --- since when ----------------------------------------------------------------------------------


def later(now: Observed, seconds: float) -> Observed:
    return structs.replace(now, at_us=now.at_us + int(seconds * S))


def keep(memory: Memory, now: Observed) -> dict[str, Finding]:
    return {finding.key: finding for finding in memory.keep(assess(now, LIMITS), now)}


def test_a_finding_keeps_the_time_it_began_until_it_ends() -> None:
    memory, unhealthy = Memory(), look(disk=Disk(1000, 20))
    assert keep(memory, unhealthy)["disk:lake"].since_us == NOW
    assert keep(memory, later(unhealthy, 5))["disk:lake"].since_us == NOW
    assert not keep(memory, later(WELL, 6))
    assert keep(memory, later(unhealthy, 7))["disk:lake"].since_us == NOW + 7 * S


def test_a_restarted_monitor_goes_on_from_what_was_found_before() -> None:
    before = assess(look(disk=Disk(1000, 20)), LIMITS)
    memory = Memory(before)
    assert keep(memory, later(look(disk=Disk(1000, 20)), 60))["disk:lake"].since_us == NOW


def blind(now: Observed) -> Observed:
    return structs.replace(
        now,
        redis=Answer(False, "gone"),
        listening_since_us=None,
        heartbeats=(),
        collectors=(),
        quality=Quality(),
    )


def without_collector(now: Observed) -> Observed:
    return structs.replace(now, collectors=(), quality=Quality(), heartbeats=PROCESSES[1:])


@pytest.mark.parametrize("darkened", [blind, without_collector])
def test_silence_of_the_source_is_no_recovery(darkened: Callable[[Observed], Observed]) -> None:
    memory = Memory()
    keep(memory, with_exchange(state="down", reason="refused"))
    assert "exchange_silent:okx" in keep(memory, darkened(WELL))
    assert not keep(memory, WELL)


def test_after_redis_lost_everything_what_was_missing_stays_so_until_all_had_time_to_speak() -> None:
    memory, missing = Memory(), UNHEALTHY["process_missing:beat"][0]
    keep(memory, missing)
    keep(memory, blind(WELL))
    empty = structs.replace(WELL, heartbeats=(), listening_since_us=NOW - 1 * S)
    assert "process_missing:beat" in keep(memory, empty)
    assert not keep(memory, structs.replace(WELL, listening_since_us=NOW - 11 * S))


def test_an_exchange_that_takes_nothing_is_unhealthy_at_once_with_its_next_try() -> None:
    empty = structs.replace(
        with_exchange(state="refused", since_us=NOW - 1 * S, reason="request too many"),
        collectors=with_collector(exchanges={"okx": {"refusals": [REFUSAL]}}).collectors,
    )
    keys = found(empty)
    assert keys["exchange_silent:okx"].severity == "critical"
    assert keys["exchange_silent:okx"].words == "okx accepts no subscription: request too many."
    assert "symbol_refused:C1/USDT on okx" in keys


def test_a_closed_breaker_says_when_the_next_try_is() -> None:
    shut = structs.replace(
        with_exchange(state="breaker open", reason="HTTP 429"),
        collectors=with_collector(exchanges={"okx": {"next_try_s": 125.0}}).collectors,
    )
    assert "next in 2 min 5 s" in found(shut)["exchange_silent:okx"].remedy


def test_trades_that_are_refused_are_reported_where_the_quotes_are_not_and_many_are_summed_up() -> None:
    both = [REFUSAL, {**REFUSAL, "channel": "trade"}]
    assert set(found(with_collector(exchanges={"okx": {"refusals": both}}))) == {
        "symbol_refused:C1/USDT on okx"
    }
    trades = [{**REFUSAL, "channel": "trade"}]
    assert set(found(with_collector(exchanges={"okx": {"refusals": trades}}))) == {
        "symbol_refused:trades of C1/USDT on okx"
    }
    many = [{**REFUSAL, "symbol": f"C{number}/USDT"} for number in range(50)]
    keys = found(with_collector(exchanges={"okx": {"refusals": many}}))
    assert len(keys) == 21
    assert "30 more" in keys["symbol_refused:others on okx"].words


def test_a_clock_that_was_set_is_reported_with_direction_and_size_for_a_while() -> None:
    jumped = with_process(clock_jumped_s=20.0, clock_jumped_us=NOW - 10_000_000)
    assert "set forward by 20.0 s" in found(jumped)["clock_jump:web desk:1"].words
    assert "clock_jump:web desk:1" not in found(with_process(clock_jumped_s=20.0, clock_jumped_us=NOW - HOUR))


def test_a_process_whose_stored_times_are_ahead_of_now_is_a_clock_jump() -> None:
    def ahead(by_us: int) -> dict[str, Finding]:
        return found(
            look(heartbeats=tuple(structs.replace(b, reported_ts_us=NOW + by_us) for b in PROCESSES))
        )

    assert "3,600.0 s ahead of now" in ahead(HOUR)["clock_jump:web desk:1"].words
    assert "clock_jump:web desk:1" not in ahead(2_000_000)


def test_an_exchange_whose_books_cannot_be_used_is_not_live_though_its_trades_come() -> None:
    sends = exchange(
        symbols={"live": 2, "suspect": 18}, age_ms=20.0, quote_age_ms=11_000.0, unusable=18,
        unusable_reason="its book is 1320 s late",
    )  # fmt: skip
    assert standing(sends, NOW).word == "suspect"
    finding = found(look(quality=Quality(at_us=NOW, exchanges=(sends,))))["exchange_silent:okx"]
    assert finding.severity == "critical"
    assert finding.words == "okx has sent no usable quote for 11 s: its book is 1320 s late."
    assert NOW - finding.since_us == 11 * S


def test_an_exchange_whose_times_are_all_none_is_reported() -> None:
    """Without a time of its own it is unknown how late it is, nor that its clock, or ours, is wrong."""
    of = {"clock_offset_ms": None, "bad_times_per_min": 900.0}
    [found] = [each for each in assess(with_exchange(**of), Limits()) if each.kind == "clock_offset"]
    assert found.words.startswith("okx sent 900 time stamps in the last minute, invalid")
    assert "our own clock is wrong" in found.remedy
    assert "clock_offset:okx" not in {
        each.key for each in assess(with_exchange(**of | {"clock_offset_ms": 3.0}), Limits())
    }
