"""The column of an exchange's proxy: with credentials it lies in the database sealed, as one text.

Address and credentials are sealed together, so they cannot be parted: whatever changes the address in the
database takes the credentials with it.
"""

from typing import Any, Final

from django.db import models

from core.proxies import SEALED, shown
from core.secrets.sealing import UnreadableSecret, seal, unseal

PURPOSE: Final = "proxies of exchanges"


class SealedProxyField(models.CharField[Any, Any]):
    """An address in full in Python; what cannot be opened stays sealed, which is no proxy's address."""

    shown_in_audit = staticmethod(shown)

    def db_type(self, connection: Any) -> str:
        """A sealed text is longer than what may be entered."""
        return "text"

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """Open it."""
        if value is None or not value.startswith(SEALED):
            return value
        try:
            return unseal(value.removeprefix(SEALED), PURPOSE, "")
        except UnreadableSecret:
            return value

    def get_prep_value(self, value: Any) -> Any:
        """Seal it, where there is something to hide."""
        text = super().get_prep_value(value)
        if not isinstance(text, str) or text.startswith(SEALED) or "@" not in text:
            return text
        return SEALED + seal(text, PURPOSE, "")

    def value_to_string(self, obj: models.Model) -> str:
        """Write the value sealed into a dump of the database."""
        return str(self.get_prep_value(self.value_from_object(obj)))
