"""A second factor is lost: its owner signs in with the password alone, and sets up another."""

from typing import Any

from django.http import HttpRequest

from accounts import sessions
from accounts.mfa import second_factor


def reset(user: Any, request: HttpRequest | None = None) -> tuple[bool, int]:
    """Forget a user's second factor and end their sessions: whether there was one, and how many."""
    there = second_factor.take_away(user, request)
    return there, sessions.end(sessions.sessions_of(user), "reset", request)
