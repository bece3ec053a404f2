"""Counts of sign-ins, accepted and refused, since this process started."""

from collections import Counter
from typing import Final

SIGN_IN_OUTCOMES: Final = ("accepted", "refused", "locked_out", "busy")
sign_ins: Final[Counter[str]] = Counter()
"""By `SIGN_IN_OUTCOMES`."""
