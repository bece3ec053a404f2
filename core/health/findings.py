"""Findings: one per unhealthy thing, the same for the health page, the metrics and the alerts.

Each app registers the kinds of findings about its own data, and the checks that find them, when Django is
ready; `monitoring` asks whatever is registered. Plain Python, no Django.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

from msgspec import Struct

Severity = Literal["warning", "critical"]


class Finding(Struct, frozen=True):
    """One unhealthy thing. `key` is `kind:subject`: the same for as long as the same thing is unhealthy.

    `value` and `limit` are numbers for rules and graphs, in the unit the words name. `since_us` is when
    it became unhealthy (wall clock, µs, UTC). `words` say what is wrong, `remedy` what to do next.
    """

    kind: str
    subject: str  # `okx`, `BTC/USDT on okx`, `collector 1/2`, `web host:4711 recent points` …
    severity: Severity
    since_us: int
    words: str
    remedy: str
    value: float | None = None
    limit: float | None = None

    @property
    def key(self) -> str:
        """Key of the finding while it lasts."""
        return f"{self.kind}:{self.subject}"


class Lack(Struct, frozen=True):
    """Part a desk lacks, in words, and the remedy. `stops_all`: nothing is collected without it."""

    words: str
    remedy: str
    stops_all: bool = False


Check = Callable[[Any, Any], Iterable[Finding]]
"""Finds in one look at the desk (`monitoring.health.observed.Observed`) what is beyond the limits (`Limits`).

Both are made above the apps that check: each says by a `Protocol` which parts of them it reads.
"""

checks: Final[list[Check]] = []
kinds: Final[dict[str, str]] = {}
"""Name -> what it means. Every kind has a paragraph of the same name in docs/operations.md."""


def finds(**means: str) -> Callable[[Check], Check]:
    """Register a check, and the kinds that are this app's own with what they mean.

    Raises ValueError when another check has registered a kind: each has one owner, though others may find it.
    """

    def register(check: Check) -> Check:
        if again := kinds.keys() & means.keys():
            raise ValueError(f"{', '.join(sorted(again))}: registered already")
        kinds.update(means)
        checks.append(check)
        return check

    return register


def graded(critical: bool) -> Severity:
    """The severity of what is either critical or a warning."""
    return "critical" if critical else "warning"
