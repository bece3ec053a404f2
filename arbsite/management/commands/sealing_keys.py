"""`manage.py sealing_keys`: the keys of sealed secrets, for processes that are to have no SECRET_KEY."""

from collections.abc import Iterable
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand

from core.secrets.sealing import derived_keys
from markets import sealed_proxy
from monitoring.alerts import secrets

PURPOSES: Final = {
    "SEALING_KEY_PROXIES": sealed_proxy.PURPOSE,
    "SEALING_KEY_CHANNELS": secrets.PURPOSE,
}
"""Variable → what its key opens."""


def derived(secret_key: str, fallbacks: Iterable[str]) -> dict[str, str]:
    """Variable → value."""
    return {
        name: ",".join(derived_keys(purpose, secret_key, fallbacks)) for name, purpose in PURPOSES.items()
    }


class Command(BaseCommand):
    """Print them as lines of an `.env` file."""

    help = (
        "Print the keys that are derived from SECRET_KEY (and SECRET_KEY_FALLBACKS), one for each kind of "
        "sealed secret, as lines of an .env file. Run it again whenever one of the two changes."
    )
    requires_system_checks = ()  # it asks nothing but SECRET_KEY

    def handle(self, *args: Any, **options: Any) -> None:
        """Print; standard output is for them alone."""
        for name, value in derived(str(settings.SECRET_KEY), settings.SECRET_KEY_FALLBACKS).items():
            self.stdout.write(f"{name}={value}")
