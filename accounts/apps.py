"""People: how they sign in, how long they stay signed in, and who manages them."""

from django.apps import AppConfig

import audit
from core.secrets.sealed_columns import SealedColumn, sealed_columns


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        """Register checks, sealed columns and audit; `accounts.sessions` records sessions' ends itself."""
        from accounts import checks, metrics, upkeep  # noqa: F401 - register themselves
        from accounts.mfa import second_factor
        from accounts.models import Authenticator, UserSession

        apps = "keys of authenticator apps"
        sealed_columns.append(SealedColumn(apps, Authenticator, "sealed_key", second_factor.PURPOSE))
        columns = [each.name for each in UserSession._meta.fields]
        audit.register(UserSession, machine=columns, made_by_machines=True)
