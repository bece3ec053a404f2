"""`manage.py seed`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from markets.seed import seed


class Command(BaseCommand):
    """Load the default exchanges, symbols, pairs and filters."""

    help = (
        "Loads eight exchanges with their base-tier fees, 20 symbols, all 28 pairs and two filters into a "
        "database that has no exchange yet. A desk that is set up already stays as it is, so this "
        "can run at every start. Go on with `manage.py sync_markets`."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare --simulator."""
        parser.add_argument(
            "--simulator",
            metavar="URL",
            default="",
            help="point all default exchanges at a running simulator, e.g. http://127.0.0.1:9000; "
            "run again when its port changed",
        )
        parser.add_argument(
            "--traps",
            action="store_true",
            help="also load what the simulator lists with --traps: a coin sold by the thousand, and two "
            "coins with one name",
        )

    def handle(self, *args: Any, simulator: str, traps: bool, **options: Any) -> None:
        """Seed and say what was done."""
        try:
            done = seed(simulator, traps=traps)
        except ValueError as error:
            raise CommandError(f"--simulator: {error}") from error
        self.stdout.write("; ".join(done) or "Nothing to do: the desk is set up already.")
