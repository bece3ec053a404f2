"""People: how they sign in, how long they stay, and who may look after them."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Who is there."""

    name = "accounts"

    def ready(self) -> None:
        """Have `check --deploy` look at it."""
        from accounts import checks  # noqa: F401 - registers itself
