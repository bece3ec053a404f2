"""API tokens in the admin: made for oneself, shown once, listed, revoked one by one."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from accounts.tokens.model import ApiToken
from accounts.tokens.tokens import DAYS, MOST_DAYS, check_room, new_token
from audit.own_rows import OwnRowsAdmin


def tokens_known_to(user: Any) -> QuerySet[ApiToken]:
    """A user's own tokens; everybody's for a user who manages people."""
    return ApiTokenAdmin.known_to(user, ApiToken.objects.select_related("user"))


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """Form of a new token."""

    days = forms.IntegerField(
        label=_("Days"),
        initial=DAYS,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_DAYS)],
        help_text=_("Days until it expires."),
    )

    class Meta:
        model = ApiToken
        fields = ("name", "scope")

    user: User

    def clean(self) -> dict[str, Any] | None:
        """Validate with the rules of the command."""
        check_room(self.user)
        return super().clean()


@admin.register(ApiToken)
class ApiTokenAdmin(OwnRowsAdmin):
    """A user's own tokens; all tokens for users who manage users. Nobody makes one for somebody else."""

    empty_text = _("There are no API tokens. Add one for each program that uses the API.")

    sees_everybodys = "auth.change_user"
    never = ("change",)  # what a token may is said when it is made
    list_display = ("name", "user", "scope", "hint", "created_at", "expires_at", "expired", "last_used_at")
    list_select_related = ("user",)
    list_filter = ("scope",)
    search_fields = ("name", "user__username")
    fields = ("user", "name", "scope", "hint", "created_at", "expires_at", "last_used_at")

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        """Fields that the maker of a new token fills in; of others all that is known."""
        return ("name", "scope", "days") if obj is None else self.fields

    def get_form(
        self, request: HttpRequest, obj: ApiToken | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """The form of a token for its maker."""
        if obj is not None:
            return super().get_form(request, obj, change, **kwargs)
        return type("OwnTokenForm", (TokenForm,), {"user": request.user})

    @admin.display(description=_("expired"), boolean=True)
    def expired(self, row: ApiToken) -> bool:
        """Whether its days are over."""
        return row.has_expired

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        """Make it; the secret goes no further than the answer."""
        user: Any = request.user
        obj.secret = new_token(obj, user, form.cleaned_data["days"])  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the secret, this once. It is in no message: those go through cookies and sessions."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("API token"),
            "token": obj,
            "secret": obj.secret,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/realtime/apitoken/made.html", context)
