"""Base of the configuration's pages: whether collectors follow, what to do with an empty list."""

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from audit.guarded import GuardedAdmin
from core.errors import InvalidConfig
from markets.follow.following import following
from markets.follow.revision import lock_revision
from markets.models import IdentityCase, Instrument, Kind, WalletStatus
from markets.selectors import load_config
from markets.services import set_enabled

WRITTEN_BY_MACHINES = (Instrument, WalletStatus, IdentityCase)


class ConfigAdmin(GuardedAdmin):
    """A page of the configuration: says whether collectors follow, and warns when they cannot."""

    class Media:
        css = {"all": ("markets/admin.css",)}

    def lock_first(self) -> None:
        """The revision: every writer of configuration takes it before its rows."""
        lock_revision()

    def _warn_if_unusable(self, request: HttpRequest) -> None:
        try:
            load_config()
        except InvalidConfig as error:
            text = _("Saved, but collectors keep the last good configuration: %(error)s") % {"error": error}
            self.message_user(request, text, messages.WARNING)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save, then say when the whole has become unusable."""
        super().save_related(request, form, formsets, change)
        self._warn_if_unusable(request)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, with how collectors follow."""
        return super().changelist_view(request, {**(extra_context or {}), "following": following()})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The form, with how collectors follow."""
        return super().render_change_form(request, {**context, "following": following()}, *args, **kwargs)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Allow what machines wrote about a row to go with it, although nobody deletes it one by one."""
        objects, counts, needed, protected = super().get_deleted_objects(objs, request)
        names = {model._meta.verbose_name for model in WRITTEN_BY_MACHINES}
        return objects, counts, needed - names, protected


class WithMarkets(admin.options.BaseModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """Forms in which a market that is not named is spot, as everything was before there were swaps."""

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Ask for a market, and do without."""
        field: Any = super().formfield_for_choice_field(db_field, request, **kwargs)
        if db_field.name.startswith("market"):
            field.required, field.empty_value = False, Kind.SPOT
        return field


class SwitchAdmin(ConfigAdmin):
    """A page of rows that can be switched on and off."""

    actions: Any = ("enable", "disable")

    @admin.action(description=_("Enable selected %(verbose_name_plural)s"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        """Switch the selected rows on."""
        self._switch(request, queryset, True)

    @admin.action(description=_("Disable selected %(verbose_name_plural)s"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        """Switch the selected rows off."""
        self._switch(request, queryset, False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Model], enabled: bool) -> None:
        count = set_enabled(queryset, enabled, cast(User, request.user))
        if enabled:
            text = ngettext("%(count)d enabled.", "%(count)d enabled.", count)
        else:
            text = ngettext("%(count)d disabled.", "%(count)d disabled.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS)
        self._warn_if_unusable(request)
