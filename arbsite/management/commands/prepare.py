"""`manage.py prepare`: bring a database to where the desk can run; safe to repeat."""

import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandParser, call_command
from django.core.management.base import BaseCommand

import arbsite.celery  # noqa: F401 - where tasks are queued
from arbsite.desk.home import read_private, write_private
from markets.models import Instrument
from markets.tasks import sync_markets, sync_wallets

OPERATOR = "operator"


class Command(BaseCommand):
    """Migrate, load the defaults, order the market catalogue, make sure that somebody can sign in."""

    help = (
        "Migrate the database, load the default configuration, have the worker read the market catalogue "
        "if it never did, and create the operator if nobody could sign in. Safe to repeat."
    )
    requires_system_checks = ()  # `migrate` runs those that matter here

    def add_arguments(self, parser: CommandParser) -> None:
        """The simulator's address, where one runs."""
        parser.add_argument("--simulator", metavar="URL", help="point all exchanges at a running simulator")

    def handle(self, *args: Any, simulator: str | None, **options: Any) -> None:
        """Do all of it, in order."""
        call_command("migrate", interactive=False, verbosity=0)
        simulated: dict[str, Any] = {"simulator": simulator, "traps": True} if simulator else {}
        call_command("seed", swaps=True, **simulated)
        call_command("seed_rules", verbosity=0)
        if not Instrument.objects.filter(synced_at__isnull=False).exists():
            # The worker's first jobs; eight catalogues take too long to keep the page waiting for them.
            sync_markets.delay()
            sync_wallets.delay()
        self._ensure_operator(Path(settings.HOME) / "operator-password")

    def _ensure_operator(self, password_file: Path) -> None:
        """Create the operator once; forget the kept password as soon as it is not the right one."""
        users = get_user_model()._default_manager
        operator = users.filter(username=OPERATOR).first()
        if operator is None and not users.filter(is_superuser=True).exists():
            password = secrets.token_urlsafe(12)
            write_private(password_file, password + "\n")
            get_user_model().objects.create_superuser(OPERATOR, password=password)
        elif (kept := read_private(password_file)) and not (operator and operator.check_password(kept)):
            password_file.unlink()
