"""What the admin shows of people and programs; Django looks for it here."""

from arbsite import traces_admin  # noqa: F401 - registers
from arbsite.people_admin import DeskGroupAdmin, DeskUserAdmin
from arbsite.token_admin import ApiTokenAdmin

__all__ = ["ApiTokenAdmin", "DeskGroupAdmin", "DeskUserAdmin"]
