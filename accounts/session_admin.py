"""Sessions in the admin: who is signed in where, and ending it."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import sessions
from accounts.models import UserSession
from audit.guarded import GuardedAdmin


@admin.register(UserSession)
class UserSessionAdmin(GuardedAdmin):
    """Everybody's sessions. To delete one is to end it, with all that is open by it."""

    empty_text = _("Nobody is signed in.")
    never = ("add", "change")  # signing in makes them

    list_display = ("user", "device", "address", "began_at", "seen_at", "second_factor")
    list_select_related = ("user",)
    list_filter = (("user", admin.RelatedOnlyFieldListFilter),)
    search_fields = ("user__username", "address")
    fields = ("user", "device", "address", "began_at", "seen_at", "verified_at", "confirmed_at")
    readonly_fields = fields
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[UserSession]:
        """Sessions that have not ended."""
        rows: QuerySet[UserSession] = super().get_queryset(request)
        return rows.filter(session__expire_date__gt=timezone.now())

    @admin.display(description=_("second factor"), boolean=True)
    def second_factor(self, row: UserSession) -> bool:
        """Whether it was given there."""
        return row.verified_at is not None

    def delete_model(self, request: HttpRequest, obj: UserSession) -> None:
        """End it."""
        sessions.end([obj], "listed", request)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """End them."""
        sessions.end(list(queryset.select_related("user")), "listed", request)
