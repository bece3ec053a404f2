"""Reports of a web process's parts in `/api/health`: each app registers its own."""

from collections.abc import Callable, Mapping
from typing import Any, Final

Report = Callable[[], Mapping[str, Any]]

_reports: Final[list[Report]] = []


def register(report: Report) -> Report:
    """Have these counters in the report from now on; their names must be nobody else's."""
    _reports.append(report)
    return report


def web_report() -> dict[str, Any]:
    """The counters of all parts."""
    return {name: value for report in _reports for name, value in report().items()}
