"""Users and groups in the admin: nobody gives rights they lack, nor touches somebody who has more."""

from http import HTTPStatus
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

import audit
from accounts import sessions
from accounts.mfa import resetting
from accounts.models import Authenticator, UserSession
from audit.guarded import GuardedAdmin
from audit.seen import seal
from core.names.plain_names import check_name


def rights_of(user: Any) -> set[int]:
    """The permissions a user has by name or by group, also one who is not active now."""
    theirs = Permission.objects.filter(Q(user=user.pk) | Q(group__user=user.pk))
    return set(theirs.values_list("pk", flat=True))


def lacks(user: Any, rights: set[int]) -> bool:
    """Whether somebody does not have all these rights themselves."""
    return not user.is_superuser and not rights <= rights_of(user)


def groups_within(user: Any) -> Any:
    """Groups that give nothing the user lacks."""
    beyond = Permission.objects.exclude(pk__in=rights_of(user))
    return Group.objects.exclude(permissions__in=beyond)


class WithinOnesRights(GuardedAdmin):
    """Offers only rights that the one who edits has; a superuser has all."""

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Narrow what may be chosen; other values are refused by the form."""
        user: Any = request.user
        if not user.is_superuser and db_field.name == "groups":
            kwargs["queryset"] = groups_within(user)
        if not user.is_superuser and db_field.name in ("permissions", "user_permissions"):
            mine = Permission.objects.filter(pk__in=rights_of(user))
            kwargs["queryset"] = mine.select_related("content_type")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Names are checked here: the columns are Django's own."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(db_field, CharField) and field is not None and db_field.name != "password":
            field.validators.append(check_name)
        return field

    def is_beyond(self, request: HttpRequest, obj: Any) -> bool:
        """Whether a row has rights that the one who edits lacks."""
        raise NotImplementedError

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse a row with more rights: its password would be a way to them."""
        return super().has_change_permission(request, obj) and not (obj and self.is_beyond(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nor deleted."""
        return super().has_delete_permission(request, obj) and not (obj and self.is_beyond(request, obj))


class DeskUserAdmin(WithinOnesRights, UserAdmin):  # type: ignore[type-arg]
    """Users; only a superuser makes superusers."""

    list_display = ("username", "email", "first_name", "last_name", "is_staff", "second_factor")
    actions = ("reset_second_factor",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Add whether each has a second factor."""
        apps = Authenticator.objects.filter(user=OuterRef("pk"), confirmed=True)
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.annotate(has_second_factor=Exists(apps))

    @admin.display(description=_("second factor"), boolean=True)
    def second_factor(self, row: Any) -> bool:
        """Whether one is set up."""
        return bool(row.has_second_factor)

    @admin.action(description=_("Reset the second factor of selected users"), permissions=["change"])
    def reset_second_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Forget it, and end their sessions: a lost phone may be signed in."""
        for user in queryset:
            if self.is_beyond(request, user):
                words = gettext("Not reset: %(user)s has permissions that you lack.") % {"user": user}
                self.message_user(request, words, messages.ERROR)
                continue
            resetting.reset(user, request)
            self.log_change(request, user, "Reset the second factor.")
            words = gettext("The second factor of %(user)s was reset: the next sign-in sets up a new one.")
            self.message_user(request, words % {"user": user}, messages.SUCCESS)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Make the box that gives everything read-only."""
        fields = tuple(super().get_readonly_fields(request, obj))
        user: Any = request.user
        return fields if user.is_superuser else (*fields, "is_superuser")

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Set somebody's password, which ends their sessions; refuse where the user was changed meanwhile."""
        with transaction.atomic(), audit.gathered():
            if request.method == "POST":
                self.hold([id])
            user = self.get_object(request, id)
            if user is not None and (conflict := self.conflict(request, [user])):
                self.message_user(request, conflict.words(), messages.WARNING)
                return HttpResponseRedirect(request.get_full_path())
            response = super().user_change_password(request, id, form_url)
            if request.method == "POST" and response.status_code == HTTPStatus.FOUND:
                mine: Any = request.session
                theirs = UserSession.objects.filter(user__pk=id).exclude(session_id=mine.session_key)
                sessions.end(list(theirs.select_related("user")), "password", request)
        if isinstance(response, TemplateResponse) and response.context_data is not None:
            response.context_data["seen"] = seal([user]) if user is not None else ""
        return response

    def is_beyond(self, request: HttpRequest, obj: Any) -> bool:
        """A superuser, or somebody with a right that the one who edits lacks."""
        user: Any = request.user
        return not user.is_superuser and (obj.is_superuser or lacks(user, rights_of(obj)))


class DeskGroupAdmin(WithinOnesRights, GroupAdmin):  # type: ignore[misc]
    """Groups."""

    def is_beyond(self, request: HttpRequest, obj: Any) -> bool:
        """Whether it gives a right that the editor lacks."""
        return lacks(request.user, set(obj.permissions.values_list("pk", flat=True)))


admin.site.unregister(User)
admin.site.unregister(Group)
admin.site.register(User, DeskUserAdmin)
admin.site.register(Group, DeskGroupAdmin)
