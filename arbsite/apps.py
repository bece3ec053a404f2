"""The desk as a whole: its four groups are there after every `migrate`."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate

import audit


class ArbsiteConfig(AppConfig):
    """Groups and rights, and what every command and list of the admin shares."""

    name = "arbsite"

    def ready(self) -> None:
        """Set up the groups once the last app that has any has its permissions."""
        from django.contrib.auth.models import Group, User

        import arbsite.admin_lookups
        import arbsite.desk.commands  # noqa: F401 - what no list offers, and what no command can be called with
        from accounts.access.groups import set_up

        audit.register(User, machine=("last_login",), secret={"password": audit.hidden})
        audit.register(Group)

        last = [app for app in apps.get_app_configs() if app.models_module][-1]  # others send no signal
        post_migrate.connect(set_up, sender=last, dispatch_uid="accounts.access.groups")
