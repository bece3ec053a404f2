"""Append-only record: who did what, when and from where. Other apps enter through these names only.

    audit.register(Model, machine=("seen_at",), secret={"password": hidden})   from an AppConfig's ready()
    audit.record("session_ended", request=request, object=session, before={…}, after={…})

Rows of registered models are recorded by themselves when they are saved, deleted or changed in bulk.
"""

from audit.acting import acting_for
from audit.recording import gathered, record, used
from audit.redaction import HIDDEN, redact_with
from audit.registry import hidden, register
from audit.tally import counted

__all__ = [
    "HIDDEN",
    "acting_for",
    "counted",
    "gathered",
    "hidden",
    "record",
    "redact_with",
    "register",
    "used",
]
