"""Wrong input is a 400 that names it, whichever page it came to: a fault of the request, not of a server.

Django's forms say what is wrong with a field. What never meets a form arrives here: text with NUL, which
PostgreSQL cannot keep, in an address or a cookie; rows and dates of the admin's lists that are none.
"""

from collections.abc import Iterator
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.core.exceptions import SuspiciousOperation, ValidationError
from django.db import DataError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from accounts.access.guard import named_in
from realtime.views import bad_request

SELECTED = "_selected_action"
"""The admin's name for the rows that an action is for."""


class WrongInput(Exception):
    """Request that cannot be answered; the words name the parameter."""


class WrongInputMiddleware(MiddlewareMixin):
    """Refuses before a page is asked what no page can take. Goes last: forgeries are refused before."""

    def process_view(
        self, request: HttpRequest, view: Any, _args: Any, _kwargs: Any
    ) -> HttpResponseBase | None:
        """Answer NUL anywhere, and rows in an admin's action that are no rows of it."""
        try:
            _check_cookies(request)
            _check_texts(request)
            _check_rows(request, getattr(view, "model_admin", None))
        except WrongInput as wrong:
            return bad_request(request, wrong)
        return None

    def process_exception(self, request: HttpRequest, problem: Exception) -> HttpResponseBase | None:
        """Answer what a page found out later, or PostgreSQL for it."""
        if isinstance(problem, DataError):
            return bad_request(request, WrongInput(named_in(request, problem)))
        if isinstance(problem, ValueError):
            problem = _of_a_field(request, problem) or problem
        return bad_request(request, problem) if isinstance(problem, WrongInput) else None


def _of_a_field(request: HttpRequest, problem: ValueError) -> WrongInput | None:
    """Errors that a choice shown again after a refusal raises when it is no row at all."""
    said = str(problem)
    if "expected a number but got" in said:
        for name, text in _texts(request):
            if said.endswith(f"got {text!r}."):
                return WrongInput(f"{shown(name)}: {shown(text)} is no row there is")
    return None


def _check_texts(request: HttpRequest) -> None:
    for name, text in _texts(request):
        if "\0" in text or "\0" in name:
            raise WrongInput(f"{shown(name)}: it holds a NUL character, which has no place in any text")


def _check_cookies(request: HttpRequest) -> None:
    for name, text in request.COOKIES.items():
        if "\0" in text:
            request.session = type(request.session)()  # the refusal's page asks who is signed in, too
            raise WrongInput(f"{shown(name)}: this cookie holds a NUL character, and names no session")


def _texts(request: HttpRequest) -> Iterator[tuple[str, str]]:
    yield "address", request.path_info
    for fields in (request.GET, request.POST):
        for name, values in fields.lists():
            yield from ((name, str(value)) for value in values)


def _check_rows(request: HttpRequest, model_admin: "ModelAdmin[Any] | None") -> None:
    if model_admin is None:
        return
    key = model_admin.model._meta.pk
    for text in request.POST.getlist(SELECTED):
        try:
            key.to_python(text)
        except (ValidationError, ValueError, OverflowError):
            raise WrongInput(f"{SELECTED}: {shown(text)} is no row of this list") from None


def shown(text: str) -> str:
    """A text that came from outside, as much of it as belongs into an answer."""
    return repr(text[:60])


changelist_of = ModelAdmin.get_changelist_instance


def checked_changelist(self: "ModelAdmin[Any]", request: HttpRequest) -> ChangeList:
    """Refuse a filter's wrong value in words; Django calls it a database fault, or fails over a date."""
    try:
        return changelist_of(self, request)
    except (IncorrectLookupParameters, SuspiciousOperation, DataError, OverflowError) as problem:
        asked = ", ".join(shown(name).strip("'") for name in request.GET if name != SEARCH_VAR)
        raise WrongInput(f"{asked}: this cannot be filtered by ({str(problem)[:200]})") from None


ModelAdmin.get_changelist_instance = checked_changelist  # type: ignore[method-assign]
