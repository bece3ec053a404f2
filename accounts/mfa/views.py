"""The pages of a second factor: giving a code, setting one up, its recovery codes, and doing without."""

from typing import Any

import segno
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import RedirectURLMixin, redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView, TemplateView

from accounts import sessions
from accounts.mfa import confirming, second_factor
from accounts.sign_in import pending
from accounts.sign_in.entry import entry, half
from accounts.views import check_code, discreet, fresh


class CodeForm(forms.Form):
    """A code."""

    code = forms.CharField(
        label=_("Code"), max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "autofocus": True}),
    )  # fmt: skip

    request: HttpRequest


@fresh
@discreet
class Check(RedirectURLMixin, FormView):  # type: ignore[type-arg]  # no generic at run time
    """Asks for a code: after the password, or in a session that needs one from now on."""

    template_name = "accounts/check.html"
    form_class = CodeForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Ask for the second factor of a user who gave the password, or lead to setting one up."""
        self.signing_in = pending.whose(request)
        self.user: Any = self.signing_in or half(request)
        if self.user is None:  # nobody, or somebody who is signed in
            return redirect_to_login(self.get_success_url())
        if second_factor.authenticator_of(self.user) is None:
            return HttpResponseRedirect(f"{reverse('second_factor_set_up')}?{request.GET.urlencode()}")
        return super().dispatch(request, *args, **kwargs)

    def get_default_redirect_url(self) -> str:
        """Page to go to when none was asked for."""
        return resolve_url(settings.LOGIN_REDIRECT_URL)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the page to go to afterwards."""
        return super().get_context_data(next=self.get_redirect_url(), who=self.user, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        """Check it; then the session is whole."""
        form.request = self.request
        check_code(form, self.user, form.cleaned_data["code"])
        if form.errors:
            return self.form_invalid(form)
        if self.signing_in is not None:
            pending.sign_in(self.request, self.signing_in)
        make_whole(self.request, self.user)
        if not second_factor.codes_left(self.user):
            words = gettext("You have no recovery codes left: generate new ones.")
            messages.warning(self.request, words)
        return super().form_valid(form)


def make_whole(request: HttpRequest, user: Any) -> None:
    """The second factor was given in this session, which goes on under another key."""
    session: Any = request.session
    if session.record is None:
        sessions.touch(request, user)
    session.cycle_key()
    sessions.note(session.record, verified_at=timezone.now())


@fresh
class SecondFactor(LoginRequiredMixin, TemplateView):
    """Page of a user's own second factor."""

    template_name = "accounts/second_factor.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the present state."""
        user = self.request.user
        return super().get_context_data(
            page="second_factor",
            app=second_factor.authenticator_of(user),
            codes_left=second_factor.codes_left(user),
            required=second_factor.is_required_of(user),
            optional_here=settings.MFA != "required",
            **kwargs,
        )


@fresh
@discreet
class SetUp(RedirectURLMixin, FormView):  # type: ignore[type-arg]  # no generic at run time
    """Sets up an authenticator app, in place of the one there may be; shows the recovery codes once."""

    template_name = "accounts/set_up.html"
    form_class = CodeForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Admit users who gave the password lately, and the second factor where there is one."""
        found = entry(request)
        self.user: Any = found.half or found.user
        if not self.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if found.half is not None and second_factor.authenticator_of(found.half) is not None:
            return HttpResponseRedirect(reverse("second_factor_check"))
        if not confirming.is_confirmed(request):
            return confirming.ask(request)
        return super().dispatch(request, *args, **kwargs)

    def get_default_redirect_url(self) -> str:
        """Page to go to when none was asked for."""
        return resolve_url(settings.LOGIN_REDIRECT_URL)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The key, as a picture and as text."""
        key = second_factor.begin(self.user)
        return super().get_context_data(
            picture=picture_of(second_factor.address_of(self.user, key)),
            key=" ".join(key[at : at + 4] for at in range(0, len(key), 4)),
            next=self.get_redirect_url(),
            required=half(self.request) is not None,
            **kwargs,
        )

    def form_valid(self, form: Any) -> HttpResponse:
        """The app gives codes: from now on it is asked for, and this session has it."""
        codes = second_factor.finish(self.request, self.user, form.cleaned_data["code"])
        if not codes:
            words = gettext("The code is wrong. Check the clock of your phone.")
            form.add_error("code", words)
            return self.form_invalid(form)
        make_whole(self.request, self.user)
        self.request.user = self.user
        return _shown_once(self.request, codes, self.get_success_url())


def picture_of(text: str) -> SafeString:
    """A QR code as SVG, dark on light in either theme: not all cameras read it the other way round."""
    code = segno.make(text, error="m", micro=False)
    drawn = code.svg_inline(omitsize=True, border=4, dark="#000", light="#fff")
    return mark_safe(drawn)  # noqa: S308  # nosec B308 B703 # squares only, the text is not in it


@fresh
class RecoveryCodes(LoginRequiredMixin, TemplateView):
    """Makes other recovery codes."""

    http_method_names = ("post",)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Show them, this once."""
        if not confirming.is_confirmed(request):
            return _ask_first(request)
        if second_factor.authenticator_of(request.user) is None:
            return redirect("second_factor")
        codes = second_factor.renew_codes(request, request.user)
        return _shown_once(request, codes, reverse("second_factor"))


class DoWithout(LoginRequiredMixin, TemplateView):
    """Takes one's own second factor away, where none is required."""

    http_method_names = ("post",)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Take it away."""
        if not confirming.is_confirmed(request):
            return _ask_first(request)
        if second_factor.is_required_of(request.user):
            messages.error(request, gettext("Your permissions require a second factor."))
        else:
            second_factor.take_away(request.user, request)
            messages.success(request, gettext("Your second factor was removed."))
        return redirect("second_factor")


def _ask_first(request: HttpRequest) -> HttpResponse:
    """The question, and back to the page with the button."""
    return HttpResponseRedirect(f"{reverse('confirm')}?next={reverse('second_factor')}")


def _shown_once(request: HttpRequest, codes: list[str], then: str) -> HttpResponse:
    return render(request, "accounts/recovery_codes.html", {"codes": codes, "then": then})
