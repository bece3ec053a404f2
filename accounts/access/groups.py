"""The groups that come with the desk, each with what its work needs and nothing else.

`migrate` sets their rights each time, so that they stay what docs/security.md says. An operator who wants
other rights makes a group of their own, which nothing here touches.
"""

from typing import Any, Final

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

_OWN_TOKENS: Final = Q(content_type__app_label="realtime", content_type__model="apitoken")
_FILTERS: Final = Q(content_type__app_label="markets", content_type__model="opportunityfilter")
_CONFIGURATION: Final = Q(content_type__app_label__in=("markets", "history", "monitoring", "orderbook")) | Q(
    content_type__app_label="opportunities", content_type__model="verdictthresholds"
)
_PAGES: Final = _CONFIGURATION | Q(
    content_type__app_label="opportunities", content_type__model="opportunityepisode"
)
_DESK: Final = Q(content_type__app_label="realtime", content_type__model="desk")
_PEOPLE: Final = Q(content_type__app_label="auth", content_type__model__in=("user", "group")) | Q(
    content_type__app_label="accounts"
)
_TRACES: Final = Q(content_type__app_label__in=("axes", "audit"))

_VIEWER: Final = _PAGES & Q(codename__startswith="view_") & ~Q(codename="view_alertchannel")
_TRADER: Final = _VIEWER | _FILTERS | _OWN_TOKENS
_OPERATOR: Final = _TRADER | _CONFIGURATION | _DESK
_ADMINISTRATOR: Final = _OPERATOR | _PEOPLE | _TRACES

GROUPS: Final = {
    "viewer": _VIEWER,
    "trader": _TRADER,
    "operator": _OPERATOR,
    "administrator": _ADMINISTRATOR,
}


def set_up(using: str = "default", **_: Any) -> None:
    """Give each group its rights (after `migrate`, when all permissions are there)."""
    for name, rights in GROUPS.items():
        group, _made = Group.objects.using(using).get_or_create(name=name)
        group.permissions.set(Permission.objects.using(using).filter(rights))
