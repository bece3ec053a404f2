"""The pages of one's own account: sessions, password, and the question whether it is still oneself."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import HASH_SESSION_KEY, authenticate, update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import PasswordChangeView, RedirectURLMixin, redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views import View
from django.views.decorators.cache import cache_control
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView, TemplateView

import audit
from accounts import sessions
from accounts.mfa import second_factor
from accounts.mfa.second_factor import TooSoon
from accounts.my_size import LEAST, MOST, MySize, my_size
from accounts.sign_in.entry import entry
from accounts.sign_in.signing_in import SaysWhenBusy, turn_to_hash
from core.secrets.sealing import UnreadableSecret

MOST_SHOWN = 100

fresh = method_decorator(cache_control(no_store=True, private=True), name="dispatch")
"""No page of an account lies in a cache."""

discreet = method_decorator(sensitive_post_parameters(), name="dispatch")
"""Nothing that is typed there is in the report of an error."""


@fresh
class Sessions(LoginRequiredMixin, TemplateView):
    """List of a user's own sessions."""

    template_name = "accounts/sessions.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The sessions, this one first."""
        there = list(sessions.sessions_of(self.request.user)[:MOST_SHOWN])
        mine: Any = self.request.session
        there.sort(key=lambda each: each.session_id != mine.session_key)
        return super().get_context_data(page="sessions", sessions=there, mine=mine.session_key, **kwargs)


class EndSession(LoginRequiredMixin, View):
    """End one of one's own sessions."""

    def post(self, request: HttpRequest, number: int) -> HttpResponse:
        """End it, and what is open by it."""
        record = get_object_or_404(sessions.sessions_of(request.user), pk=number)
        if record.session_id == request.session.session_key:
            return redirect("account_sessions")  # signing out is a button of its own
        sessions.end([record], "listed", request)
        messages.success(request, gettext("The session has ended: %(session)s.") % {"session": record})
        return redirect("account_sessions")


class EndOtherSessions(LoginRequiredMixin, View):
    """End all of one's own sessions but this one."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """End them, and what is open by them."""
        others = sessions.sessions_of(request.user).exclude(session_id=request.session.session_key)
        ended = sessions.end(others, "others", request)
        words = ngettext("%(count)s other session has ended.", "%(count)s other sessions have ended.", ended)
        messages.success(request, words % {"count": ended})
        return redirect("account_sessions")


class PasswordForm(PasswordChangeForm):
    """The former password is checked as at the sign-in page: tries are counted, and take their turn."""

    request: HttpRequest

    def clean_old_password(self) -> str:
        """Refuse a wrong one."""
        given: str = self.cleaned_data["old_password"]
        if not is_password(self.request, self.user, given):
            words = self.error_messages["password_incorrect"]
            raise forms.ValidationError(words, code="password_incorrect")
        return given

    def save(self, commit: bool = True) -> Any:
        """Set the new one, hashed without a database connection in hand."""
        with turn_to_hash():
            self.user.set_password(self.cleaned_data["new_password1"])
        self.user.save(update_fields=["password"])
        return self.user


def is_password(request: HttpRequest, user: Any, given: str) -> bool:
    """Whether it is the password of the user who is signed in. Raises Busy."""
    found = authenticate(request, username=user.get_username(), password=given)
    if found is not None and found.pk == user.pk:
        # Checking may have replaced the hash (Django does, once it hashes better); it proves the session now.
        request.session[HASH_SESSION_KEY] = found.get_session_auth_hash()
        return True
    after = {"of": str(user), "what": "password"}
    audit.record("confirmation_failed", user=user, request=request, after=after)
    return False


@fresh
@discreet
class Password(SaysWhenBusy, PasswordChangeView):
    """Another password for oneself; all other sessions end, and API tokens too."""

    template_name = "accounts/password.html"
    form_class = PasswordForm

    def get_form(self, form_class: Any = None) -> Any:
        """The form, which needs the request to count tries."""
        form: Any = super().get_form(form_class)
        form.request = self.request
        return form

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the name of the page."""
        return super().get_context_data(page="password", **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        """Change it; this session goes on under another key."""
        user = form.save()
        others = sessions.sessions_of(user).exclude(session_id=self.request.session.session_key)
        sessions.end(others, "password", self.request)
        update_session_auth_hash(self.request, user)
        messages.success(self.request, gettext("Your password was changed. All other sessions have ended."))
        return redirect("account_sessions")


# --- how much one trades ---------------------------------------------------------------------------


class SizeForm(forms.Form):
    """My size; empty: none."""

    size = forms.DecimalField(
        label=_("My size, in USDT"), required=False, min_value=LEAST, max_value=MOST, decimal_places=2,
        help_text=_(
            "How much you buy at a time: the scanner, charts and depth show edge and profit of it, unless a "
            "view names another. Prices in something else take what it is worth. Empty: not shown."
        ),
    )  # fmt: skip


@fresh
class Size(LoginRequiredMixin, FormView):  # type: ignore[type-arg]
    """The size that pages show depth of, where they name no other."""

    template_name = "accounts/size.html"
    form_class = SizeForm

    def get_initial(self) -> dict[str, Any]:
        """The size there is."""
        return {"size": my_size(self.request.user)}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the name of the page."""
        return super().get_context_data(page="size", **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        """Keep it, or that there is none."""
        size = form.cleaned_data["size"]
        user: Any = self.request.user
        if size is None:
            MySize.objects.filter(user=user).delete()
            messages.success(self.request, gettext("You have no size of your own now."))
        else:
            MySize.objects.update_or_create(user=user, defaults={"size": size})
            messages.success(self.request, gettext("Your size is kept."))
        return redirect("my_size")


# --- is it still you? ----------------------------------------------------------------------------


class ConfirmForm(forms.Form):
    """The password, and a code where there is a second factor."""

    password = forms.CharField(
        label=_("Password"), strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )  # fmt: skip
    code = forms.CharField(
        label=_("Code of your authenticator app, or a recovery code"), max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code"}),
    )  # fmt: skip

    def __init__(self, *args: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request, self.user = request, user
        if second_factor.authenticator_of(user) is None:
            del self.fields["code"]

    def clean(self) -> dict[str, Any]:
        """Refuse a wrong password, then a wrong code: a right code is not spent on a wrong password."""
        data: dict[str, Any] = super().clean() or {}
        if self.errors:
            return data
        if not is_password(self.request, self.user, data["password"]):
            self.add_error("password", _("The password is wrong."))
        elif "code" in self.fields:
            check_code(self, self.user, data["code"])
        return data


def check_code(form: Any, user: Any, code: str) -> None:
    """Add an error to a form, that knows its `request`, unless the code is right."""
    try:
        if second_factor.verify(form.request, user, code):
            return
        form.add_error("code", _("The code is wrong, or it was used before: wait for the next one."))
    except TooSoon as problem:
        words = gettext("There were too many wrong codes. Try again in %(seconds)s s.")
        form.add_error("code", words % {"seconds": problem.seconds})
    except UnreadableSecret:
        form.add_error(
            "code", _("The app's code cannot be checked because SECRET_KEY has changed: use a recovery code.")
        )
    after = {"of": str(user), "what": "code"}
    audit.record("confirmation_failed", user=user, request=form.request, after=after)


@fresh
@discreet
class Confirm(SaysWhenBusy, RedirectURLMixin, FormView):  # type: ignore[type-arg]
    """Asks whether it is still the one who signed in, before what matters (accounts.mfa.confirming)."""

    template_name = "accounts/confirm.html"
    form_class = ConfirmForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Admit users who are signed in, also those about to set up a second factor."""
        found = entry(request)
        self.user: Any = found.half or found.user
        if not self.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return super().dispatch(request, *args, **kwargs)

    def get_default_redirect_url(self) -> str:
        """Page to go to when none was asked for."""
        return reverse("account_sessions")

    def get_form_kwargs(self) -> dict[str, Any]:
        """Add the user it should be."""
        return super().get_form_kwargs() | {"request": self.request, "user": self.user}

    def form_valid(self, form: Any) -> HttpResponse:
        """Remember for a while that it is."""
        session: Any = self.request.session
        if session.record is None:  # of a session from before there were records
            sessions.touch(self.request, self.user)
        sessions.note(session.record, confirmed_at=timezone.now())
        audit.record("confirmed", user=self.user, request=self.request, after={"of": str(self.user)})
        return super().form_valid(form)
