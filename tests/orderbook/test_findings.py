"""Findings where the store does not get what it is to get."""

from typing import Any

import pytest
from msgspec import structs

from markets.follow.runtime import CollectorStatus
from orderbook.ingest.delivery import Delivery
from orderbook.ingest.spill import Spill
from tests.support.observed import NOW, WELL, S, found, with_collector

FINE: dict[str, Any] = {
    "active": True, "rows": 9, "waiting": 0, "lag_s": 1.0, "problem": "", "dropped": 0, "torn_bytes": 0,
    "spilled_bytes": 0, "spilled_events": 0, "lost_us": None, "set_aside_us": None, "set_aside": {},
}  # fmt: skip

UNHEALTHY = [
    ({"problem": "gone"}, "collector 1/1 StoreSink", "critical", "cannot write: gone"),
    ({"lag_s": 300.0, "waiting": 7}, "collector 1/1 behind", "warning", "5 min 0 s of what collector 1/1"),
    ({"lag_s": 700.0, "spilled_events": 8}, "collector 1/1 behind", "critical", "8 events wait"),
    ({"lost_us": NOW - 5 * S, "dropped": 12}, "collector 1/1 lost", "critical", "12 events of collector 1/1"),
    (
        {"set_aside_us": NOW - 5 * S, "set_aside": {"text": 3}},
        "collector 1/1 set aside",
        "warning",
        "text: 3",
    ),
]


def test_a_store_that_is_written_is_healthy() -> None:
    long_ago = {
        "lost_us": NOW - 7200 * S,
        "dropped": 12,
        "set_aside_us": NOW - 7200 * S,
        "set_aside": {"x": 1},
    }
    assert not found(with_collector(sinks={"StoreSink": FINE | long_ago}))


@pytest.mark.parametrize(("stats", "subject", "severity", "words"), UNHEALTHY)
def test_what_is_wrong_with_it_is_found(
    stats: dict[str, Any], subject: str, severity: str, words: str
) -> None:
    keys = found(with_collector(sinks={"StoreSink": FINE | stats}))
    assert list(keys) == [f"store_write:{subject}"]
    assert keys[f"store_write:{subject}"].severity == severity
    assert words in keys[f"store_write:{subject}"].words


def test_a_process_that_only_writes_into_the_store_is_found_by_its_own_name() -> None:
    status = CollectorStatus("1/2", role="ingest", sinks={"IngestSink": FINE | {"lag_s": 300.0}})
    assert list(found(structs.replace(WELL, ingests=(status,)))) == ["store_write:ingest 1/2 behind"]


def test_every_counter_a_finding_reads_is_one_that_a_sink_has(tmp_path: Any) -> None:
    def nobody() -> Any:
        raise AssertionError("not connected")

    own = {"active", "waiting", "lag_s"}  # the sink's; the rest is the delivery's
    assert FINE.keys() - own <= Delivery(nobody, Spill(tmp_path, 1)).stats().keys()
