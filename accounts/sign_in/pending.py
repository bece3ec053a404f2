"""A sign-in between its two factors: the password was right, nobody is signed in yet."""

import time
from typing import Any, Final

from django.contrib.auth import load_backend, login
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

KEPT: Final = "sign_in_pending"
FOR_S: Final = 600
"""So long the second factor may take."""


def remember(request: HttpRequest, user: Any) -> None:
    """Keep whose password was right, in a session that is nobody's."""
    request.session[KEPT] = {
        "user": user.pk,
        "backend": user.backend,
        "proof": user.get_session_auth_hash(),
        "at": time.time(),
    }


def whose(request: HttpRequest) -> AbstractBaseUser | None:
    """User whose second factor is waited for; None: nobody, or the wait was too long."""
    kept: dict[str, Any] | None = request.session.get(KEPT)
    if kept is None or not 0 <= time.time() - kept["at"] < FOR_S:
        return None
    user: Any = load_backend(kept["backend"]).get_user(kept["user"])
    if user is None:
        return None
    good = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    if not any(constant_time_compare(kept["proof"], each) for each in good):
        return None  # another password meanwhile
    user.backend = kept["backend"]
    return user  # type: ignore[no-any-return]


def sign_in(request: HttpRequest, user: Any) -> None:
    """Sign in whose second factor was given."""
    del request.session[KEPT]
    login(request, user, backend=user.backend)
