"""One of something is singular in every finding that counts."""

import re

from msgspec import structs

from core.health.upkeep import Overdue
from core.names.formats import counted
from core.process.heartbeat import QueueFill
from monitoring.health.assess import assess
from monitoring.health.observed import Limits
from monitoring.quality.wire import STALE
from tests.monitoring.test_assess import REFUSAL
from tests.support.observed import COLLECTOR, HOUR, NOW, PROCESSES, beat, exchange, look, symbols

ONE_OF_EACH = look(
    heartbeats=(
        beat("web", "web desk:1", gc_gen2_per_min=1.0, queues={"Q": QueueFill(1, 2)}),
        *PROCESSES,
    ),
    drops_per_min={"web desk:1 Q": 1},
    collectors=(
        structs.replace(
            COLLECTOR,
            exchanges={"okx": {"refusals": [REFUSAL | {"symbol": f"C{n}", "times": 1} for n in range(21)]}},
        ),
    ),
    quality=structs.replace(
        symbols(*[STALE] * 21),
        exchanges=(exchange(reconnects_per_min=1, bad_times_per_min=1, clock_offset_ms=None),),
    ),
    overdue=(Overdue("retain episodes", NOW - 24 * HOUR, 1),),
)


def test_one_of_something_has_no_plural() -> None:
    """`1 event`, `1 time`, `1 day`: of every finding that counts something."""
    strict = Limits(reconnects_per_min=0, gc_gen2_per_min=0, bad_frames_per_min=0, queue_fill_pct=1)
    findings = assess(ONE_OF_EACH, strict)
    assert {each.kind for each in findings} >= {
        "gc", "queue_full", "drops", "symbol_refused", "symbol_silent", "reconnects", "clock_offset",
        "maintenance_late",
    }  # fmt: skip
    texts = [text for each in findings for text in (each.words, each.remedy)]
    assert [
        text for text in texts if re.search(r"(?<![\d.,:/])1 (?:more |full garbage |time )?[a-z]+s\b", text)
    ] == []


def test_a_number_and_its_noun() -> None:
    assert [counted(count, "event") for count in (0, 0.6, 1, 1.4, 2, 1_240)] == [
        "0 events", "1 event", "1 event", "1 event", "2 events", "1,240 events",
    ]  # fmt: skip
