"""`manage.py seed_rules`."""

from typing import Any

from django.core.management.base import BaseCommand

from monitoring.alerts.seed import seed_rules


class Command(BaseCommand):
    """Load the default alert rules."""

    help = (
        "Loads the default alert rules into a database that has none: one for everything the health page "
        "can find unhealthy. They send nothing until you give them channels in the admin. Safe to repeat."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write them and say how many."""
        count = seed_rules()
        self.stdout.write(
            f"added {count} alert rules" if count else "Nothing to do: there are rules already."
        )
