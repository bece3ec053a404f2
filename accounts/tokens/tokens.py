"""API tokens: made, shown once, found again by a digest of their secret, and revoked one by one.

A digest is keyed with SECRET_KEY: the database alone is of no use to anybody. All tokens of a user end with
a new password, and all tokens with a new SECRET_KEY, unless the former one is in SECRET_KEY_FALLBACKS.
"""

import logging
import secrets
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.db.models import Q
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.utils import timezone
from django.utils.crypto import salted_hmac

import audit
from accounts.access.rights import EXPIRED, Credential, fingerprint, former_fingerprints
from accounts.tokens.model import ApiToken, Scope

logger = logging.getLogger(__name__)

SALT: Final = "arbsite.tokens"
BEGINS: Final = "arb_"
HINT: Final = len(BEGINS) + 4
"""Characters of a secret that are kept, to distinguish tokens; 39 more are not."""

DAYS: Final = 90
MOST_DAYS: Final = 3650
MOST_OF_A_USER: Final = 50
FORGOTTEN_AFTER: Final = timedelta(days=30)
"""So long an expired token stays listed."""

USED_EVERY: Final = timedelta(minutes=5)
"""The last use is written no more often."""

MADE: Final = ("user", "digest", "hint", "fingerprint", "expires_at")
"""Fields that nobody says."""

HOW: Final = "`manage.py api_token USER` prints one, and so does the admin under API tokens"


class InvalidToken(Exception):
    """The token cannot be used; the message says why and what to do."""


def make_token(user: User, days: float = DAYS, *, name: str = "program", scope: str = Scope.READ) -> str:
    """Make a token for a user, good for `days` days; its secret, which cannot be read again.

    Raises:
        ValidationError: the name or the scope cannot be, or the user has too many tokens.
    """
    check_room(user)
    token = ApiToken(name=name, scope=scope)
    token.clean_fields(exclude=MADE)
    return new_token(token, user, days)


def check_room(user: User) -> None:
    """Forget what has long expired. Raises ValidationError when the user has too many tokens."""
    ApiToken.objects.filter(user=user, expires_at__lt=timezone.now() - FORGOTTEN_AFTER).delete()
    if ApiToken.objects.filter(user=user).count() >= MOST_OF_A_USER:
        raise ValidationError(f"{user} has {MOST_OF_A_USER} API tokens already: revoke one that is not used")


def new_token(token: ApiToken, user: User, days: float) -> str:
    """Keep a token whose name and scope are said already; returns its secret."""
    secret = BEGINS + secrets.token_urlsafe(32)
    token.user, token.hint = user, secret[:HINT]
    token.digest, token.fingerprint = _digest(secret, str(settings.SECRET_KEY)), fingerprint(user)
    token.expires_at = timezone.now() + timedelta(days=days)
    token.save()
    logger.info(
        "API token %d “%s” (%s) of %s made, good for %g days", token.pk, token.name, token.scope, user, days
    )
    return secret


@receiver(post_delete, sender=ApiToken)
def _revoked(instance: ApiToken, **_: Any) -> None:
    logger.info("API token %s “%s” of user %s revoked", instance.pk, instance.name, instance.user_id)


def good_token(secret: str) -> ApiToken:
    """The token of a secret, with its user, as long as it is good. Raises InvalidToken, DatabaseError."""
    if secret.count(":") == 2:  # signed, as they were when they were not kept
        raise InvalidToken(f"this API token is of a kind that is not taken any more: make a new one; {HOW}")
    keys = (str(settings.SECRET_KEY), *settings.SECRET_KEY_FALLBACKS)
    digests = [_digest(secret, key) for key in keys] if secret.startswith(BEGINS) else []
    token = ApiToken.objects.select_related("user").filter(digest__in=digests).first()
    if token is None:
        raise InvalidToken(f"the API token is not valid, or it was revoked: {HOW}")
    if token.has_expired:
        raise InvalidToken(f"{EXPIRED}; {HOW}")
    user = token.user
    if not user.is_active or token.fingerprint not in (fingerprint(user), *former_fingerprints(user)):
        raise InvalidToken("the API token was revoked: its user is inactive or has a new password")
    _used(token)
    if token.fingerprint != fingerprint(user):
        _renew(token, secret)
    return token


def _renew(token: ApiToken, secret: str) -> None:
    """Put it under the SECRET_KEY of now: only as it is used is its secret there to do so."""
    token.digest, token.fingerprint = _digest(secret, str(settings.SECRET_KEY)), fingerprint(token.user)
    with suppress(DatabaseError):
        ApiToken.objects.filter(pk=token.pk).update(digest=token.digest, fingerprint=token.fingerprint)


def _used(token: ApiToken) -> None:
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - USED_EVERY:
        long_ago = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_EVERY)
        with suppress(DatabaseError), transaction.atomic():  # who may read may, where it cannot be noted
            noted = ApiToken.objects.filter(long_ago, pk=token.pk).update(last_used_at=now)
            if noted and token.last_used_at is None:
                audit.record("token_first_used", user=token.user, object=token)


def credential_of(token: ApiToken) -> Credential:
    """Credential of a good token."""
    return Credential(token.user_id, fingerprint(token.user), token_id=token.pk)


def _digest(secret: str, key: str) -> str:
    return salted_hmac(SALT, secret, secret=key, algorithm="sha256").hexdigest()
