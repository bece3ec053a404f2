"""`manage.py prepare`: bring a database to where the desk can run; safe to repeat."""

import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, CommandParser, call_command
from django.core.management.base import BaseCommand

from arbsite.home import write_private
from markets.models import Instrument

OPERATOR = "operator"


class Command(BaseCommand):
    """Migrate, load the defaults, fill the market catalogue, make sure that somebody can sign in."""

    help = (
        "Migrate the database, load the default configuration, read the market catalogue if there is none, "
        "and create the operator if nobody could sign in. Safe to repeat."
    )
    requires_system_checks = ()  # `migrate` runs those that matter here

    def add_arguments(self, parser: CommandParser) -> None:
        """The simulator's address, where one runs."""
        parser.add_argument("--simulator", metavar="URL", help="point all exchanges at a running simulator")

    def handle(self, *args: Any, simulator: str | None, **options: Any) -> None:
        """Do all of it, in order."""
        call_command("migrate", interactive=False, verbosity=0)
        call_command("seed", **({"simulator": simulator} if simulator else {}))
        if not Instrument.objects.exists():
            self._sync_markets()
        self._ensure_operator(Path(settings.HOME) / "operator-password")

    def _sync_markets(self) -> None:
        self.stdout.write("Reading the exchanges' markets (first run only) …")
        try:
            call_command("sync_markets")
        except CommandError as error:  # some exchanges may be out of reach; the hourly task tries again
            self.stderr.write(f"Not every exchange answered: {error}")

    def _ensure_operator(self, password_file: Path) -> None:
        """Create the operator once; forget the kept password as soon as it is not the right one."""
        users = get_user_model()._default_manager
        operator = users.filter(username=OPERATOR).first()
        if operator is None and not users.filter(is_superuser=True).exists():
            password = secrets.token_urlsafe(12)
            write_private(password_file, password + "\n")
            get_user_model().objects.create_superuser(OPERATOR, password=password)
        elif password_file.exists() and not (
            operator and operator.check_password(password_file.read_text().strip())
        ):
            password_file.unlink()
