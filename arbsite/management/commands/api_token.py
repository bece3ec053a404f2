"""`manage.py api_token USER`: print a token for programs that use the API; list tokens; revoke one."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounts.tokens.model import ApiToken, Scope
from accounts.tokens.tokens import DAYS, MOST_DAYS, make_token


class Command(BaseCommand):
    help = (
        "Print an API token, once: send it as `Authorization: Bearer TOKEN`. --list shows which there are, "
        "--revoke ends one; a new password for the user, or deactivating the user, ends all of that user."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", nargs="?", help="the name the user signs in with")
        parser.add_argument("--name", default="program", help="what the token is for (default: program)")
        parser.add_argument("--scope", choices=Scope.values, default=Scope.READ, help="(default: read)")
        parser.add_argument("--days", type=int, default=DAYS, help=f"how long it is valid (default: {DAYS})")
        parser.add_argument("--list", action="store_true", help="list the tokens of USER, or of everybody")
        parser.add_argument("--revoke", type=int, metavar="ID", help="revoke the token of that number")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            self._list(options["user"])
        elif options["revoke"] is not None:
            self._revoke(options["revoke"], options["user"])
        else:
            self._make(options)

    def _make(self, options: dict[str, Any]) -> None:
        if not 1 <= options["days"] <= MOST_DAYS:
            raise CommandError(f"--days takes a number from 1 to {MOST_DAYS}")
        if options["user"] is None:
            raise CommandError("whose token? `manage.py api_token USER`")
        user = self._user(options["user"])
        try:
            secret = make_token(user, options["days"], name=options["name"], scope=options["scope"])
        except ValidationError as problem:
            raise CommandError(_named(problem)) from None
        self.stdout.write(secret)

    def _user(self, name: str) -> User:
        user = User.objects.filter(is_active=True, username=name).first()
        if user is None:
            raise CommandError(f"there is no active user {name!r}; `manage.py createsuperuser` makes one")
        return user

    def _list(self, name: str | None) -> None:
        rows = ApiToken.objects.select_related("user")
        for row in rows if name is None else rows.filter(user__username=name):
            used = f"used {row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never used"
            until = f"{'expired' if row.has_expired else 'until'} {row.expires_at:%Y-%m-%d %H:%M}"
            self.stdout.write(f"{row.pk}  {row.user}  {row.name}  {row.hint}…  {row.scope}  {until}  {used}")

    def _revoke(self, number: int, name: str | None) -> None:
        rows = ApiToken.objects.filter(pk=number)
        row = (rows if name is None else rows.filter(user__username=name)).first()
        if row is None:
            raise CommandError(f"--revoke: there is no API token {number}; --list shows which there are")
        row.delete()
        self.stdout.write(f"API token {number} “{row.name}” of {row.user} is revoked")


def _named(problem: ValidationError) -> str:
    """Name the option it is about, where it is about one."""
    if not hasattr(problem, "error_dict"):
        return " ".join(problem.messages)
    return "; ".join(f"--{name}: {' '.join(said)}" for name, said in problem.message_dict.items())
