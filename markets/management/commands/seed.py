"""`manage.py seed`."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.errors import InvalidConfig
from markets.lacks import LACKS, lacks
from markets.seed import seed
from markets.selectors import load_config


class Command(BaseCommand):
    """Load the default exchanges, symbols, pairs and filters."""

    help = (
        "Loads eight exchanges with their base-tier fees, 20 symbols, all 28 pairs and two filters into a "
        "database that is empty. A desk that is set up already stays as it is, whatever was deleted, so this "
        "can run at every start. Go on with `manage.py sync_markets`."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
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
        parser.add_argument(
            "--swaps",
            action="store_true",
            help="also enable the coins' perpetual swaps, and compare them with each other and with all spot "
            "markets; `make run` does",
        )
        parser.add_argument(
            "--missing",
            action="store_true",
            help="add those of the defaults that are not there, also to a desk that is set up already",
        )

    def handle(
        self, *args: Any, simulator: str, traps: bool, swaps: bool, missing: bool, **options: Any
    ) -> None:
        """Seed and say what was done, and what the desk lacks."""
        if missing and settings.FEED == "sim":
            simulator = simulator or settings.SIMULATOR_URL
            if not simulator:  # else real exchanges would be read under the banner of invented prices
                raise CommandError("--missing: with FEED=sim say where they are simulated, --simulator URL")
        try:
            done = seed(simulator, traps=traps, missing=missing, swaps=swaps)
        except ValueError as error:
            raise CommandError(f"--simulator: {error}") from error
        self.stdout.write("; ".join(done) or "Nothing to do: the desk is set up already.")
        for words in _what_is_lacking():
            self.stdout.write(words)


def _what_is_lacking() -> list[str]:
    try:
        return [f"{LACKS[name].words} {LACKS[name].remedy}" for name in lacks(load_config())]
    except InvalidConfig as error:
        return [str(error)]
