"""What the desk lacks to be of any use, as findings: what an operator deleted is not broken, but missed."""

from collections.abc import Iterator
from typing import Final

from markets.lacks import LACKS, Lack
from markets.plain_names import isolated
from monitoring.findings import Finding, Severity
from monitoring.observed import Observed

PEOPLE: Final[dict[str, Lack]] = {
    "alert rules": Lack(
        "Nobody is told of anything: there is no alert rule.",
        "Add rules in the admin (Monitoring, Alert rules); `manage.py seed_rules` adds the default ones.",
    ),
    "users": Lack(
        "Nobody can sign in: there is no active user.",
        "`manage.py createsuperuser` makes one; `make run` makes the operator when it starts.",
    ),
}


PAIRS_OF: Final = "pairs of filter "
"""What is lacking is called so, and then the name of a filter that named pairs which were all deleted."""


def lacking(now: Observed) -> Iterator[Finding]:
    """What all collectors lack (one shard alone may well have nothing to do), and the rest of the desk."""
    told = [set(collector.lacks) for collector in now.collectors]
    everywhere = set.intersection(*told) if told else set()
    for name, lack in LACKS.items():
        if name in everywhere:
            kind = "nothing_collected" if lack.stops_all else "configuration"
            severity: Severity = "critical" if lack.stops_all else "warning"
            yield Finding(kind, name, severity, now.at_us, lack.words, lack.remedy)
    for name in now.lacks:
        lack = PEOPLE.get(name) or _pairs_of(name.removeprefix(PAIRS_OF))
        yield Finding("configuration", name, "warning", now.at_us, lack.words, lack.remedy)


def _pairs_of(name: str) -> Lack:
    return Lack(
        f"The opportunity filter “{isolated(name)}” selects nothing: every pair of exchanges that it named "
        "was deleted.",
        "Choose others for it in the admin (Markets, Opportunity filters), or disable it.",
    )
