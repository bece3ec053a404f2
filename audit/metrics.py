"""The metrics of the audit."""

from audit.recording import counters
from core.metrics import Samples, declare, of_processes, told_in

declare("audit_entries_total", "kind", "Entries of the audit this process wrote.")


@told_in(of_processes)
def export_audit(to: Samples) -> None:
    """Entries this process wrote, by kind."""
    for kind, count in list(counters.items()):
        to.add("audit_entries_total", count, kind)
