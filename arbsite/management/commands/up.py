"""`manage.py up`: run the whole desk on this machine (what `make run` calls)."""

from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from arbsite import environment
from arbsite.desk import stack
from collectors.exchanges import CODECS


class Command(BaseCommand):
    """Start everything, print where it is, stop it on Ctrl-C."""

    help = (
        "Run PostgreSQL, Redis, web, collector, worker and beat on this machine until Ctrl-C. "
        "FEED=auto|live|sim, PORT, DATABASE_URL, REDIS_URL and the rest come from the environment or .env."
    )
    requires_system_checks = ()  # the database it would check is not up yet

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until asked to stop."""
        ws_urls = list(dict.fromkeys(url for codec in CODECS.values() for url in codec.sheet.urls))
        try:
            stack.run(environment.read(environment.DOTENV), ws_urls, self._say)
        except stack.StackError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise SystemExit(130) from None  # asked to stop before anything ran

    def _say(self, text: str) -> None:
        with suppress(OSError):  # the terminal may be gone already; stopping goes on
            self.stdout.write(text)
            self.stdout.flush()
