"""The metrics of the audit."""

from audit.recording import counters
from core.metrics import Samples, declare, exported_in, of_processes

declare("audit_entries_total", "kind", "Entries of the audit this process wrote.")


@exported_in(of_processes)
def export_audit(to: Samples) -> None:
    """Entries this process wrote, by kind."""
    for kind, count in list(counters.items()):
        to.add("audit_entries_total", count, kind)
