"""Findings about order books, with what to do about each."""

from types import SimpleNamespace
from typing import Any

from collectors.health import books
from core.health.findings import Finding
from markets.follow.runtime import CollectorRole, CollectorStatus

NOW_US = 1_760_000_000_000_000


def findings(
    feed: dict[str, Any] | None = None, role: CollectorRole = "collector", **summed: Any
) -> dict[str, Finding]:
    """Findings of a process that follows books of OKX."""
    status = CollectorStatus("1/1", books=summed, exchanges={"okx": {"books": feed or {}}}, role=role)
    statuses: dict[CollectorRole, list[CollectorStatus]] = {"collector": [], "ingest": [], role: [status]}
    look: Any = SimpleNamespace(
        at_us=NOW_US, collectors=statuses["collector"], ingests=statuses["ingest"], called=str.upper
    )
    return {finding.subject: finding for finding in books(look, None)}


def test_nothing_is_said_of_books_that_are_known() -> None:
    assert findings({"snapshots_failing": {}, "unknown": []}, refused=0, most=100, refused_books=[]) == {}


def test_what_the_budget_has_no_room_for_is_named_with_the_remedy() -> None:
    found = findings(refused=2, most=100, refused_books=["A/USDT on okx", "B/USDT on okx"])
    (finding,) = found.values()
    assert finding.kind == "configuration"
    assert "A/USDT on okx" in finding.words
    assert "Raise the budget" in finding.remedy


def test_an_exchange_that_does_not_answer_is_a_finding_with_its_words() -> None:
    failing = {"since_us": NOW_US - 5_000_000, "times": 3, "reason": "request of a book: HTTP 429"}
    finding = findings({"snapshots_failing": failing})["order books on okx"]
    assert (finding.kind, finding.since_us) == ("polls_failed", failing["since_us"])
    assert "HTTP 429" in finding.words


def test_a_book_that_stays_unknown_is_a_finding_one_that_is_read_again_is_not() -> None:
    unknown = [
        {"symbol": "A/USDT", "since_us": NOW_US - 61_000_000, "reason": "its checksum is wrong"},
        {"symbol": "B/USDT", "since_us": NOW_US - 59_000_000, "reason": "its connection is new"},
    ]
    found = findings({"unknown": unknown})
    assert list(found) == ["order book of A/USDT on okx"]
    assert "its checksum is wrong" in found["order book of A/USDT on okx"].words


def test_a_process_that_only_stores_says_what_is_not_stored() -> None:
    unknown = [{"symbol": "A/USDT", "since_us": NOW_US - 61_000_000, "reason": "its checksum is wrong"}]
    found = findings({"unknown": unknown}, "ingest", refused=1, most=1, refused_books=["B/USDT on okx"])
    assert list(found) == ["order books of ingest 1/1", "order book of A/USDT on okx for the store"]
    assert "stored" in found["order books of ingest 1/1"].words
    assert "stored" in found["order book of A/USDT on okx for the store"].remedy
