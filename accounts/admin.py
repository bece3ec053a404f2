"""What the admin shows of people; Django looks for it here."""

from accounts.people_admin import DeskGroupAdmin, DeskUserAdmin

__all__ = ["DeskGroupAdmin", "DeskUserAdmin"]
