"""The second factor: who needs one, how it is set up, and how a code is taken.

Codes are those of authenticator apps (django-otp makes and compares them). Each is taken once. Wrong ones
count as failed sign-ins of that name and address (django-axes), and pause its codes from everywhere.
Keys lie sealed; recovery codes as digests, which need no slow hash: each has 80 bits.
"""

import base64
import datetime
import hashlib
import re
import secrets
from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.contrib.auth.signals import user_login_failed
from django.db import transaction
from django.db.models import Model, Q
from django.http import HttpRequest
from django.utils import timezone
from django_otp.oath import TOTP

import audit
from accounts.models import Authenticator, RecoveryCode, UserSession
from accounts.tokens.model import ApiToken
from core.secrets.sealed_columns import sealed_columns
from core.secrets.sealing import UnreadableSecret, seal, unseal

if TYPE_CHECKING:
    from accounts.access.rights import Credential

PURPOSE: Final = "keys of authenticator apps"
KEY_BYTES: Final = 20
STEPS_ASIDE: Final = 1
"""A code is taken half a minute early or late: clocks differ."""

RECOVERY_CODES: Final = 10
RECOVERY_BYTES: Final = 10

SETTING_UP_FOR: Final = datetime.timedelta(hours=1)
"""So long the key of a set-up that was begun stays the same."""

GUARDED: Final[tuple[type[Model], ...]] = (ApiToken, User, Group, Permission)
"""Who may add, change or delete these touches keys or people; what has a sealed column is guarded, too."""

GUARDED_APPS: Final = ("trading",)
"""A user who may do more there than read moves money."""

NEEDED: Final = "a second factor is needed: sign in again"


class TooSoon(Exception):
    """Too many wrong codes: none is checked until the time that is the argument."""

    def __init__(self, until: datetime.datetime) -> None:
        super().__init__(until)
        self.until = until

    @property
    def seconds(self) -> int:
        """Seconds until then, at least one."""
        return max(1, round((self.until - timezone.now()).total_seconds()))


# --- who needs one -------------------------------------------------------------------------------


def required_of(users: Iterable[int]) -> set[int]:
    """Those of these users (ids) who need a second factor: superusers, and holders of a guarded right."""
    if settings.MFA != "required":
        return set()
    models = {*GUARDED, *(column.model for column in sealed_columns)}
    of_models = [
        Q(content_type__app_label=each._meta.app_label, content_type__model=each._meta.model_name)
        for each in models
    ]
    of_apps = Q(content_type__app_label__in=GUARDED_APPS)
    guarded = Permission.objects.filter(reduce(or_, of_models, of_apps))
    guarded = guarded.exclude(codename__startswith="view_")
    may = Q(is_superuser=True) | Q(user_permissions__in=guarded) | Q(groups__permissions__in=guarded)
    return set(User.objects.filter(may, pk__in=set(users)).values_list("pk", flat=True))


def asked_of(users: Iterable[int]) -> set[int]:
    """Those of these users (ids) who are asked for a second factor: they have one, or need one."""
    there = set(users)
    have = Authenticator.objects.filter(user__in=there, confirmed=True).values_list("user_id", flat=True)
    return set(have) | required_of(there)


def is_required_of(user: Any) -> bool:
    """Whether a user has to have one."""
    return user.pk in required_of([user.pk])


def is_missing(user: Any, record: UserSession | None) -> bool:
    """Whether a session is not whole: its user is asked for a second factor that was not given there."""
    given = record is not None and record.verified_at is not None
    return not given and user.pk in asked_of([user.pk])


def objections(credentials: "Iterable[Credential]") -> "dict[Credential, str]":
    """Sessions that flow without the second factor that is asked for by now (see accounts.access.rights)."""
    sessions = [each for each in credentials if each.session_key is not None]
    asked = asked_of({each.user_id for each in sessions}) if sessions else set()
    doubted = [each for each in sessions if each.user_id in asked]
    if not doubted:
        return {}
    keys = [each.session_key for each in doubted]
    given = UserSession.objects.filter(session_id__in=keys, verified_at__isnull=False)
    whole = set(given.values_list("session_id", flat=True))
    return {each: NEEDED for each in doubted if each.session_key not in whole}


# --- setting up ----------------------------------------------------------------------------------


def authenticator_of(user: Any) -> Authenticator | None:
    """The app a user gives codes of; None: there is none."""
    return Authenticator.objects.filter(user=user, confirmed=True).first()


def begin(user: Any) -> str:
    """The key of a set-up, in the letters that people may type; the same when asked again within the hour."""
    long_ago = timezone.now() - SETTING_UP_FOR
    Authenticator.objects.filter(user=user, confirmed=False, created_at__lt=long_ago).delete()
    fresh = base64.b32encode(secrets.token_bytes(KEY_BYTES)).decode()
    sealed = seal(fresh, PURPOSE, _place(user))
    row, _made = Authenticator.objects.get_or_create(
        user=user, confirmed=False, defaults={"name": "authenticator app", "sealed_key": sealed}
    )
    try:
        return _key(row)
    except UnreadableSecret:  # begun under another SECRET_KEY: begun again
        row.sealed_key = sealed
        row.save()
        return fresh


def address_of(user: Any, key: str) -> str:
    """Text of the QR code: the key as apps read it (otpauth://)."""
    issuer = f"Arbdesk {urlsplit(settings.PUBLIC_URL).hostname or ''}".strip()
    label = quote(f"{issuer}:{user.get_username()}")
    return f"otpauth://totp/{label}?{urlencode({'secret': key, 'issuer': issuer}, quote_via=quote)}"


def finish(request: HttpRequest, user: Any, code: str) -> list[str]:
    """Take the first code of the app that is being set up; it is the second factor from then on.

    Returns the recovery codes, which cannot be read again, or nothing when the code is wrong.
    """
    with transaction.atomic():
        rows = {row.confirmed: row for row in Authenticator.objects.select_for_update().filter(user=user)}
        fresh, former = rows.get(False), rows.get(True)
        if fresh is None or not _takes(fresh, _plain(code)):
            return []
        if former is not None:
            former.delete()
        fresh.confirmed = True
        fresh.save()
        codes = _renewed_codes(user)
        # Who has signed in without it, here or elsewhere, is asked for it.
        UserSession.objects.filter(user=user).update(verified_at=None)
        audit.record("second_factor_enrolled", user=user, request=request, after={"of": str(user)})
    return codes


def renew_codes(request: HttpRequest, user: Any) -> list[str]:
    """Other recovery codes in place of those there are."""
    with transaction.atomic():
        codes = _renewed_codes(user)
        after = {"of": str(user), "what": "recovery codes"}
        audit.record("second_factor_reset", user=user, request=request, after=after)
    return codes


def take_away(user: Any, request: HttpRequest | None = None) -> bool:
    """Forget a user's second factor, and that any session has given it; whether there was one."""
    with transaction.atomic():
        there, _ = Authenticator.objects.filter(user=user).delete()
        RecoveryCode.objects.filter(user=user).delete()
        UserSession.objects.filter(user=user).update(verified_at=None)
        by, after = getattr(request, "user", None), {"of": str(user), "what": "second factor"}
        audit.record("second_factor_reset", user=by, request=request, after=after)
    return bool(there)


def codes_left(user: Any) -> int:
    """Recovery codes that have not been used."""
    return RecoveryCode.objects.filter(user=user).count()


def _renewed_codes(user: Any) -> list[str]:
    RecoveryCode.objects.filter(user=user).delete()
    made = [base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode() for _ in range(RECOVERY_CODES)]
    codes = ["-".join(re.findall(".{4}", code.lower())) for code in made]
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=_digest(user, code)) for code in codes)
    return codes


# --- taking a code -------------------------------------------------------------------------------


def verify(request: HttpRequest, user: Any, code: str) -> bool:
    """Whether a code of the user's app, or a recovery code, is right; it is not taken again.

    A wrong one counts as a failed sign-in. Where those are too many `request.axes_locked_out` is set, and
    AxesMiddleware answers.

    Raises:
        TooSoon: too many wrong codes were given, from wherever.
        UnreadableSecret: no SECRET_KEY we have opens the app's key; recovery codes are taken all the same.
    """
    credentials = {"username": user.get_username()}
    allowed = AxesProxyHandler.is_allowed(request, credentials)
    if allowed:
        with transaction.atomic():
            if _takes_any(user, _plain(code)):
                return True
    else:
        request.axes_locked_out = True  # type: ignore[attr-defined]
    user_login_failed.send(sender=__name__, credentials=credentials, request=request)
    return False


def _takes_any(user: Any, code: str) -> bool:
    app = Authenticator.objects.select_for_update().filter(user=user, confirmed=True).first()
    if app is None:
        return False
    if not code.isdecimal():
        used, _ = RecoveryCode.objects.filter(user=user, digest=_digest(user, code)).delete()
        return used == 1
    if (
        app.throttling_failure_timestamp is not None
    ):  # by a clock that was ahead a pause would last for longer
        app.throttling_failure_timestamp = min(app.throttling_failure_timestamp, timezone.now())
    allowed, why = app.verify_is_allowed()
    if not allowed:
        raise TooSoon(why["locked_until"])
    if _takes(app, code):
        app.throttle_reset()
        return True
    app.throttle_increment()
    return False


def _takes(app: Authenticator, code: str) -> bool:
    """Whether the code is one of about now that was not taken yet; the row is not saved here."""
    if not (code.isascii() and code.isdecimal() and len(code) == 6):
        return False
    codes = TOTP(base64.b32decode(_key(app)))
    if not codes.verify(int(code), tolerance=STEPS_ASIDE, min_t=app.last_step + 1):
        return False
    app.last_step = codes.t()
    return True


def _key(app: Authenticator) -> str:
    return unseal(app.sealed_key, PURPOSE, _place(app.user))


def _place(user: Any) -> str:
    """A key is of use for its own user only, whatever becomes of the row."""
    return f"user {user.pk}"


def _plain(code: str) -> str:
    """Normalize what people type: without spaces, dashes and capitals."""
    return re.sub(r"[\s-]", "", code).lower()


def _digest(user: Any, code: str) -> str:
    return hashlib.sha256(f"{user.pk}:{_plain(code)}".encode()).hexdigest()
