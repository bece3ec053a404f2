"""What the admin shows of programs; Django looks for it here."""

from arbsite import traces_admin  # noqa: F401 - registers
from arbsite.token_admin import ApiTokenAdmin

__all__ = ["ApiTokenAdmin"]
