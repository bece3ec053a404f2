"""Admin of people; Django looks for it here."""

from accounts.people_admin import DeskGroupAdmin, DeskUserAdmin
from accounts.session_admin import UserSessionAdmin

__all__ = ["DeskGroupAdmin", "DeskUserAdmin", "UserSessionAdmin"]
