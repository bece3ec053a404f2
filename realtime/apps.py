"""The pages of now: charts, scanner, opportunities."""

from django.apps import AppConfig

import audit


class RealtimeConfig(AppConfig):
    """Spreads as they are."""

    name = "realtime"

    def ready(self) -> None:
        """Say what people keep here; how a token is recognised and when it was used is nobody's action."""
        from realtime import health, metrics  # noqa: F401 - register themselves
        from realtime.models import ApiToken, SavedView

        audit.register(SavedView, machine=("saved_at",))
        audit.register(
            ApiToken,
            machine=("digest", "fingerprint", "last_used_at"),
            kinds={"added": "token_made", "deleted": "token_revoked"},
        )
