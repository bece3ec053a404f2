"""What happens to sessions, second factors, passwords and secrets, for whoever keeps a record.

Each is sent with `user` (who did it; None: a command), `request` (None: a command) and `details`: texts and
numbers, never a secret. Signing in and out, and refusals, are Django's own signals.
"""

from typing import Final

from django.dispatch import Signal

session_ended: Final = Signal()
"""details: of (whose), device, address, how (listed | others | reset | password)."""

mfa_enrolled: Final = Signal()
"""details: of."""

mfa_reset: Final = Signal()
"""A second factor was taken away, or its recovery codes replaced. details: of, what, by."""

reauthenticated: Final = Signal()
"""Somebody gave password and code again. details: of."""

reauthentication_failed: Final = Signal()
"""A password or a code of a session that is signed in was wrong. details: of, what (password | code)."""

password_changed: Final = Signal()
"""details: of."""

secrets_resealed: Final = Signal()
"""details: what was sealed -> "resealed", "already", "unreadable" (numbers)."""
