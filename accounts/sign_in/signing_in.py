"""Signing in: too many failures lock out for a while, hashing waits its turn, and every try leaves a trace.

django-axes counts failures and locks out; this module says by what, and what a password's hash may cost.
"""

import ipaddress
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.contrib.auth.views import LoginView
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.generic.edit import ProcessFormView

import audit
from accounts.mfa import second_factor
from accounts.sign_in import pending
from accounts.sign_in.entry import half
from accounts.tally import sign_ins
from audit.acting import acting
from core.clock.moments import AHEAD_S
from core.connections import release
from core.web.places import leave_turn

logger = logging.getLogger(__name__)

HASHED_AT_ONCE: Final = 2
"""A hash is a third of a second of a core: so many at once leave the rest of the desk its share."""

WAITING: Final = 40
"""Tries that wait for their hash; beyond that they are asked to come again."""

FAILURES_OF_A_NAME: Final = settings.AXES_FAILURE_LIMIT
FAILURES_OF_AN_ADDRESS: Final = 4 * FAILURES_OF_A_NAME
"""Several people may share an address, so it is locked out later than one name at it."""

BUSY_S: Final = 10
LONGEST_NAME: Final = 255


class Busy(Exception):
    """Too many try to sign in at once."""


class _Turns:
    """Hashes in turn, with a bound on the number that wait."""

    def __init__(self) -> None:
        self._turn = threading.BoundedSemaphore(HASHED_AT_ONCE)
        self._counting = threading.Lock()
        self._there = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn. Raises Busy when too many wait already."""
        with self._counting:
            if self._there >= HASHED_AT_ONCE + WAITING:
                raise Busy
            self._there += 1
        try:
            with self._turn:
                yield
        finally:
            with self._counting:
                self._there -= 1


_turns: Final = _Turns()


@contextmanager
def turn_to_hash() -> Iterator[None]:
    """Wait for a turn to hash a password, without a connection to the database, nor the request's own turn.

    Raises Busy.
    """
    release()
    leave_turn()
    with _turns.take():
        yield


class PatientBackend(ModelBackend):
    """Django's own, but no database connection is held while a password is hashed."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        """The active user of that name and password, else None; either takes the same time. Raises Busy."""
        if username is None or password is None:
            return None
        user = User.objects.filter(username=username).first()
        with turn_to_hash():
            if user is None:
                User().set_password(password)
                return None
            right = user.check_password(password)
        return user if right and self.user_can_authenticate(user) else None


class Handler(AxesDatabaseHandler):  # type: ignore[misc]
    """Failures counted by name and address together, and by address alone, which has its own limit.

    A failure stamped ahead of now, before the clock was set back, is over: no lock lasts longer than it says.
    """

    def get_user_attempts(
        self, request: HttpRequest, credentials: dict[str, Any] | None = None
    ) -> list[QuerySet[AccessAttempt]]:
        """Attempts that are not over yet."""
        counted = super().get_user_attempts(request, credentials)
        return [attempts.filter(attempt_time__lte=_latest()) for attempts in counted]

    def clean_expired_user_attempts(
        self, request: HttpRequest | None = None, credentials: dict[str, Any] | None = None
    ) -> int:
        """Delete what is over, so that the next failure is the first; returns how many rows."""
        expired: int = super().clean_expired_user_attempts(request, credentials)
        ahead, _by_table = AccessAttempt.objects.filter(attempt_time__gt=_latest()).delete()
        return int(expired + ahead)

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """Number of failures that counts against AXES_FAILURE_LIMIT."""
        of_name, of_address = (
            int(attempts.aggregate(n=Sum("failures_since_start"))["n"] or 0)
            for attempts in self.get_user_attempts(request, credentials)
        )
        counted: int = max(of_name, of_address * FAILURES_OF_A_NAME // FAILURES_OF_AN_ADDRESS)
        return counted

    def reset_attempts(self, **of: Any) -> int:
        """Forget failures; that a command does is recorded."""
        with transaction.atomic():
            count: int = super().reset_attempts(**of)
            if count and acting() is None:
                words = ", ".join(f"{name} {value}" for name, value in of.items() if value) or "all"
                audit.record("lock_out_ended", words=words)
        return count

    def reset_logs(self, *, age_days: int | None = None) -> int:
        """Delete traces of sign-ins, which is recorded."""
        return self._reset_traces("access logs", super().reset_logs, age_days)

    def reset_failure_logs(self, *, age_days: int | None = None) -> int:
        """Delete traces of refused sign-ins, which is recorded."""
        return self._reset_traces("access failures", super().reset_failure_logs, age_days)

    def _reset_traces(self, what: str, reset: Callable[..., int], age_days: int | None) -> int:
        with transaction.atomic():
            if count := reset(age_days=age_days):
                words = "all" if age_days is None else f"older than {age_days} days"
                audit.record("deleted", object=what, words=words, count=count)
        return count


def _latest() -> datetime:
    return timezone.now() + timedelta(seconds=AHEAD_S)


def client_address(request: HttpRequest) -> str | None:
    """Address a request comes from: of IPv6 the /64, which one customer has to themselves.

    Behind a proxy (BEHIND_PROXY) it is what that proxy appended to X-Forwarded-For; what stands before that
    anybody can make up.
    """
    given = request.META.get("REMOTE_ADDR") or ""
    if settings.BEHIND_PROXY:
        given = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip() or given
    return network_of(given)


def network_of(given: str) -> str | None:
    """An address as it is counted: of IPv6 the /64; None for what is none. A port behind it is left out."""
    try:
        address = ipaddress.ip_address(_without_port(given))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


def _without_port(given: str) -> str:
    if given.startswith("["):
        return given[1:].partition("]")[0]
    host, _, port = given.partition(":")
    return host if port.isascii() and port.isdigit() else given


class SaysWhenBusy(ProcessFormView):
    """A page that checks a password, and says so when too many are being checked."""

    def post(self, request: HttpRequest, *args: str, **kwargs: Any) -> HttpResponse:
        """Check it, or ask to come again."""
        try:
            return super().post(request, *args, **kwargs)
        except Busy:
            sign_ins["busy"] += 1
            words = _("Too many sign-ins are being checked just now. Try again in a few seconds.")
            return _refusal(request, words, HTTPStatus.SERVICE_UNAVAILABLE, BUSY_S)


class SignIn(SaysWhenBusy, LoginView):
    """The sign-in page. A user with a second factor is signed in once that is given, not before."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Send a user who is signed in but for the second factor to the page that asks for it."""
        if request.method in ("GET", "HEAD") and half(request) is not None:
            return self._to_second_factor()
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """The password is right."""
        user = form.get_user()
        if second_factor.authenticator_of(user) is None:
            return super().form_valid(form)
        pending.remember(self.request, user)
        return self._to_second_factor()

    def _to_second_factor(self) -> HttpResponse:
        wanted = {"next": self.get_redirect_url()}
        query = f"?{urlencode(wanted)}" if wanted["next"] else ""
        return HttpResponseRedirect(f"{reverse('second_factor_check')}{query}")


def name_of(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """The name that is tried, as much of it as is kept (AXES_USERNAME_CALLABLE)."""
    given = (credentials or {}).get("username") or request.POST.get("username") or ""
    return str(given)[:LONGEST_NAME]


def locked_out(request: HttpRequest, _credentials: object) -> HttpResponse:
    """Answer to somebody who has tried too often (AXES_LOCKOUT_CALLABLE)."""
    wait_s = int(settings.AXES_COOLOFF_TIME.total_seconds())
    words = _("Too many sign-ins have failed from here. Try again in {minutes} min, or ask an administrator.")
    return _refusal(request, words.format(minutes=wait_s // 60), HTTPStatus.TOO_MANY_REQUESTS, wait_s)


def _refusal(request: HttpRequest, words: str, status: HTTPStatus, after_s: int) -> HttpResponse:
    response = render(request, "registration/refused.html", {"words": words}, status=status)
    response["Retry-After"] = str(after_s)
    return response


# --- traces --------------------------------------------------------------------------------------


@receiver(user_logged_in)
def _signed_in(request: HttpRequest, user: AbstractBaseUser, **_: Any) -> None:
    sign_ins["accepted"] += 1
    logger.info("%s signed in from %s", user.get_username(), client_address(request))
    audit.record("sign_in", request=request, user=user)


@receiver(user_logged_out)
def _signed_out(request: HttpRequest, user: AbstractBaseUser | None, **_: Any) -> None:
    if user is not None:
        logger.info("%s signed out from %s", user.get_username(), client_address(request))
        audit.record("sign_out", request=request, user=user)


@receiver(user_login_failed)
def _refused(request: HttpRequest | None, credentials: dict[str, Any], **_: Any) -> None:
    """The name is not logged: people type passwords there, too. The admin's access attempts have it."""
    audit.counted("sign_in_refused", request=request, name=str(credentials.get("username") or ""))
    sign_ins["refused"] += 1
    logger.warning("a sign-in from %s was refused", client_address(request) if request else "a program")


@receiver(user_locked_out)
def _locked_out(request: HttpRequest, username: str | None = None, **_: Any) -> None:
    audit.counted("locked_out", request=request, name=username or "")
    sign_ins["locked_out"] += 1
    logger.warning("sign-ins from %s are locked out for a while", client_address(request))
