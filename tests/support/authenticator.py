"""A phone with an authenticator app, and people who sign in with it."""

import base64
import re
from dataclasses import dataclass

import django_otp.oath
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django_otp.oath import TOTP

from accounts.mfa import second_factor
from accounts.models import Authenticator, UserSession

PASSWORD = "correct horse battery staple"
STEP_S = 30
SET_UP = "/accounts/second-factor/set-up/"
CHECK = "/accounts/second-factor/check/"


class Clock:
    """The time by which codes are made, of server and phone alike."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_800_000_000.0
        patch.setattr(django_otp.oath, "time", lambda: self.now_s)

    def next_code(self) -> None:
        """Wait until the app shows another one."""
        self.now_s += STEP_S


@dataclass
class Phone:
    """Knows the key, and shows codes of it."""

    key: str

    def code(self, steps: int = 0) -> str:
        """The code of now, or of some half minutes from now."""
        codes = TOTP(base64.b32decode(self.key.replace(" ", "")))
        codes.drift = steps
        return f"{codes.token():06d}"

    def wrong(self) -> str:
        """No code of about now."""
        shown = {self.code(step) for step in range(-2, 3)}
        return next(code for code in ("000000", "111111", "222222", "333333", "444444") if code not in shown)


def enrol(user: User) -> Phone:
    """Give a user an authenticator app, past the pages."""
    phone = Phone(second_factor.begin(user))
    Authenticator.objects.filter(user=user).update(confirmed=True)
    return phone


def key_on(page: str) -> str:
    """The key that the page of the set-up shows."""
    found = re.search(r'<code class="key">([A-Z2-7 ]+)</code>', page)
    assert found, page
    return found[1].replace(" ", "")


def whole(client: Client) -> Client:
    """A browser that is signed in, as if the second factor had been given there."""
    record = UserSession.objects.get(session_id=client.session.session_key)
    UserSession.objects.filter(pk=record.pk).update(verified_at=record.began_at)
    return client
