"""`manage.py reset_mfa USER`: let a user without phone and recovery codes sign in with the password."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.mfa.resetting import reset


class Command(BaseCommand):
    """Reset for an administrator who is locked out; others are reset in the admin, under Users."""

    help = (
        "Forget a user's second factor (authenticator app and recovery codes) and end their sessions. The "
        "user then signs in with the password alone; where a second factor is required (MFA=required) the "
        "next sign-in sets up another one. For an administrator who is locked out: an administrator who is "
        "not does the same in the admin, under Users, “Reset the second factor”."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the name of the user."""
        parser.add_argument("user", help="the name the user signs in with")

    def handle(self, *args: Any, user: str, **options: Any) -> None:
        """Reset it, and say what was there."""
        found = User.objects.filter(username=user).first()
        if found is None:
            raise CommandError(f"there is no user {user!r}")
        there, ended = reset(found)
        what = "the second factor is forgotten" if there else "there was no second factor"
        self.stdout.write(f"{user}: {what}; {ended} sessions ended")
