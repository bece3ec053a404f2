"""`manage.py api_token USER`: print a token for programs that use the API."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from arbsite.auth import make_token


class Command(BaseCommand):
    help = (
        "Print an API token: send it as `Authorization: Bearer TOKEN`. "
        "A new password for the user, or deactivating the user, revokes it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the name the user signs in with")
        parser.add_argument("--days", type=int, default=365, help="how long it is valid (default: 365)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["days"] <= 3650:
            raise CommandError("--days takes a number from 1 to 3650")
        users = get_user_model()._default_manager.filter(is_active=True)
        user = users.filter(username=options["user"]).first()
        if user is None:
            raise CommandError(
                f"there is no active user {options['user']!r}; `manage.py createsuperuser` makes one"
            )
        self.stdout.write(make_token(user, options["days"]))
