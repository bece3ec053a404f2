"""Password and code once more, before secrets or people are touched, where they were not given lately."""

import datetime
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import gettext

SAFE: Final = ("GET", "HEAD", "OPTIONS")
CLOCKS_DIFFER: Final = datetime.timedelta(seconds=30)
"""Of two web processes on two hosts."""

ASKED_BEFORE: Final = {
    "monitoring_alertchannel": ("add", "change", "delete", "changelist"),
    "markets_exchange": (
        "add",
        "change",
        "delete",
    ),  # its proxy, its addresses; switching it on and off is no secret
    "realtime_apitoken": ("add",),  # one that is suspect is revoked without a question
    "auth_user": ("add", "change", "delete", "changelist", "password_change"),
    "auth_group": ("add", "change", "delete", "changelist"),
}
"""Pages of the admin: the forms already, so that nothing is typed in vain; of lists what they do."""


def is_confirmed(request: HttpRequest) -> bool:
    """Whether who is there gave the password within CONFIRM_MINUTES, signing in or asked again."""
    session: Any = request.session
    at: datetime.datetime | None = session.record.confirmed_at if session.record else None
    if at is None:
        return False
    # By a clock that was ahead then it would last for longer: what is still to come counts for nothing.
    return -CLOCKS_DIFFER < timezone.now() - at < datetime.timedelta(minutes=settings.CONFIRM_MINUTES)


def ask(request: HttpRequest) -> HttpResponse:
    """Lead to the page that asks, and back from there. What was posted is not kept, which is said."""
    back = request.get_full_path()
    if request.method not in SAFE:
        back = request.path
        words = gettext("Nothing was saved. Confirm your identity, then enter the change again.")
        messages.warning(request, words)
    return HttpResponseRedirect(f"{reverse('confirm')}?{urlencode({'next': back})}")


class ConfirmMiddleware(MiddlewareMixin):
    """Ask for confirmation before the pages of ASKED_BEFORE. Goes after EntryMiddleware."""

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], arguments: Any, named: Any
    ) -> HttpResponse | None:
        """Let the request through, or ask."""
        model, page = _guarded(request)
        user: Any = request.user if model else None
        if user is None or not user.is_staff:
            return None
        may = user.has_perm(f"{model.replace('_', '.change_', 1)}")
        only_looks = request.method in SAFE and (page == "changelist" or (page == "change" and not may))
        return None if only_looks or is_confirmed(request) else ask(request)


def _guarded(request: HttpRequest) -> tuple[str, str]:
    """The model and the page of it that is asked for; empty where nothing is guarded."""
    match = request.resolver_match
    if match is not None and match.app_name == "admin":
        for model, pages in ASKED_BEFORE.items():
            page = str(match.url_name).removeprefix(f"{model}_")
            if page == "changelist" and request.POST.get("action") == "delete_selected":
                page = "delete"
            if page in pages:
                return model, page
    return "", ""
