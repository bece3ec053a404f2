"""The chain of entries: whether it is whole, and the one way in which old ones go."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.utils import timezone

from audit.models import Entry, Link
from audit.recording import record

LEAST_DAYS: Final = 365
"""PostgreSQL refuses to let younger entries go."""

AT_ONCE: Final = 5_000
RETENTION: Final = "audit_retention"
MOST_PROBLEMS: Final = 100

_LINKS: Final = """
    SELECT l.number, l.entry, l.digest, e.id, p.digest,
           CASE WHEN e.id IS NOT NULL THEN audit_sealed(coalesce(p.digest, %s), e) END
    FROM audit_link l
    LEFT JOIN audit_link p ON p.number = l.number - 1
    LEFT JOIN audit_entry e ON e.id = l.entry
    WHERE l.number > %s ORDER BY l.number LIMIT %s
"""
_UNCHAINED: Final = """
    SELECT e.id FROM audit_entry e LEFT JOIN audit_link l ON l.entry = e.id
    WHERE l.number IS NULL ORDER BY e.id LIMIT %s
"""
_OLD: Final = """
    SELECT l.number, l.digest FROM audit_link l WHERE l.number < coalesce(
        (SELECT min(y.number) FROM audit_link y JOIN audit_entry e ON e.id = y.entry WHERE e.at >= %s),
        (SELECT max(number) FROM audit_link)
    ) ORDER BY l.number DESC LIMIT 1
"""


@dataclass
class Verdict:
    """Verdict on the chain: number of links, the last of them, and problems in words."""

    count: int = 0
    last: str = ""
    problems: tuple[str, ...] = ()


def verify(expected: str = "") -> Verdict:
    """Check every link; `expected` is a link, NUMBER:DIGEST, that was written down before."""
    verdict = Verdict()
    problems: list[str] = []
    for problem in _problems(verdict):
        problems.append(problem)
        if len(problems) >= MOST_PROBLEMS:
            problems.append("… and perhaps more: only the first ones are listed")
            break
    if expected and not _has(expected):
        problems.append(f"the link {expected} that was written down is not there any more, or is another one")
    verdict.problems = tuple(problems)
    return verdict


def _problems(verdict: Verdict) -> Iterator[str]:
    last, before = 0, ""
    with connection.cursor() as cursor:
        first = Link.objects.order_by("number").first()
        if first is not None and first.number > 1:
            last, before = first.number - 1, _removed(first.number - 1)
            if not before:
                yield f"the links before {first.number} are missing, and no retention removed them"
        while True:
            cursor.execute(_LINKS, [before, last, AT_ONCE])
            rows = cursor.fetchall()
            for number, entry, digest, there, _previous, right in rows:
                if number != last + 1:
                    yield f"links {last + 1} to {number - 1} are missing"
                if there is None:
                    yield f"link {number}: its entry {entry} is missing"
                elif digest != right:
                    yield f"link {number}: entry {entry} is not what was recorded, or a link before it is not"
                last = number
                verdict.count, verdict.last = verdict.count + 1, f"{number}:{digest}"
            if len(rows) < AT_ONCE:
                break
        cursor.execute(_UNCHAINED, [MOST_PROBLEMS])
        for (entry,) in cursor.fetchall():
            yield f"entry {entry} has no link"


def _removed(number: int) -> str:
    """The digest of the last link that a retention removed, as it recorded that itself."""
    for entry in Entry.objects.filter(kind=RETENTION).order_by("-pk"):
        if (entry.after or {}).get("removed_through") == number:
            return str((entry.after or {}).get("last_of_them", ""))
    return ""


def _has(expected: str) -> bool:
    number, _colon, digest = expected.partition(":")
    return number.isdecimal() and Link.objects.filter(number=number, digest=digest).exists()


@transaction.atomic
def retain(days: int) -> int:
    """Remove the entries that are older than so many days, and record that; returns how many.

    Raises ValueError for less than a year.
    """
    if days < LEAST_DAYS:
        raise ValueError(f"the audit is kept for {LEAST_DAYS} days at least")
    with connection.cursor() as cursor:
        cursor.execute(_OLD, [timezone.now() - timedelta(days=days)])
        found = cursor.fetchone()
        if found is None:
            return 0
        number, digest = found
        cursor.execute("SET LOCAL audit.retention = 'on'")
        cursor.execute(
            "DELETE FROM audit_entry e USING audit_link l WHERE l.entry = e.id AND l.number <= %s", [number]
        )
        removed: int = cursor.rowcount
        cursor.execute("DELETE FROM audit_link WHERE number <= %s", [number])
        cursor.execute("SET LOCAL audit.retention = 'off'")
    after = {"days": days, "removed": removed, "removed_through": number, "last_of_them": digest}
    record(RETENTION, after=after, words=f"{removed} entries older than {days} days removed")
    return removed


def oldest() -> datetime | None:
    """Time of the oldest entry."""
    entry = Entry.objects.order_by("pk").first()
    return entry.at if entry else None
