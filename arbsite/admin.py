"""Admin of programs; Django looks for it here."""

from accounts.tokens.admin import ApiTokenAdmin
from arbsite import traces_admin  # noqa: F401 - registers

__all__ = ["ApiTokenAdmin"]
