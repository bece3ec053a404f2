"""`manage.py sealing_keys`: the keys of sealed secrets, for processes that are to have no SECRET_KEY."""

from typing import Any, Final

from django.core.management.base import BaseCommand

from markets import sealed_proxy
from markets.sealing import derived_keys
from monitoring import secrets

PURPOSES: Final = {
    "SEALING_KEY_PROXIES": sealed_proxy.PURPOSE,
    "SEALING_KEY_CHANNELS": secrets.PURPOSE,
}
"""Variable → what its key opens."""


def derived() -> dict[str, str]:
    """Variable → value, from SECRET_KEY and SECRET_KEY_FALLBACKS.

    Raises:
        django.core.exceptions.ImproperlyConfigured: there is no SECRET_KEY.
    """
    return {name: ",".join(derived_keys(purpose)) for name, purpose in PURPOSES.items()}


class Command(BaseCommand):
    """Print them as lines of an `.env` file."""

    help = (
        "Print the keys that are derived from SECRET_KEY (and SECRET_KEY_FALLBACKS), one for each kind of "
        "sealed secret, as lines of an .env file. Run it again whenever one of the two changes."
    )
    requires_system_checks = ()  # it asks nothing but SECRET_KEY

    def handle(self, *args: Any, **options: Any) -> None:
        """Print; standard output is for them alone."""
        for name, value in derived().items():
            self.stdout.write(f"{name}={value}")
