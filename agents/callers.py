"""Callers: users with the credential that lets them in, for as long as it is good."""

import logging
from collections.abc import Awaitable, Callable, Iterable

from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver.exceptions import ToolError
from msgspec import Struct
from pydantic import ConfigDict

from accounts.access.rights import Credential, fingerprint
from accounts.tokens.tokens import InvalidToken, credential_of, good_token

logger = logging.getLogger(__name__)

Who = Callable[[], Awaitable["Caller"]]


class Caller(Struct, frozen=True):
    """A user, and what they are let in by."""

    user: User
    credential: Credential


class NoUser(Exception):
    """Nobody can be meant; the message says what to give."""


def local_user(name: str) -> User:
    """User on whose behalf the tools of a terminal read: the one named, or the only active one.

    Raises NoUser, DatabaseError.
    """
    users = User.objects.filter(is_active=True).order_by("username")
    if name:
        found = users.filter(username=name).first()
        if found is None:
            raise NoUser(f"--user: there is no active user {name!r}; {_there_are(users[:20])}")
        return found
    several = list(users[:20])
    if len(several) != 1:
        raise NoUser(f"--user: on whose behalf? {_there_are(several)}")
    return several[0]


def _there_are(users: Iterable[User]) -> str:
    names = ", ".join(user.username for user in users)
    return f"there are {names}" if names else "there are none: `manage.py createsuperuser` makes one"


def always(user: User) -> Who:
    """A caller for the life of a process, until the user is inactive or has a new password."""
    begun = fingerprint(user)

    async def who() -> Caller:
        now = await User.objects.filter(pk=user.pk, is_active=True).afirst()
        if now is None or fingerprint(now) != begun:
            raise ToolError(f"user {user.username} is not active any more, or has a new password")
        return Caller(now, Credential(now.pk, begun))

    return who


class Verified(AccessToken):
    """An API token that was found good, with its caller."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    caller: Caller


class TokenVerifier:
    """Verifies each request's API token."""

    async def verify_token(self, token: str) -> Verified | None:
        """The caller of a good token; None refuses with 401."""
        try:
            found = await database_sync_to_async(good_token)(token)
        except InvalidToken as problem:
            logger.warning("a request is refused: %s", problem)
            return None
        caller = Caller(found.user, credential_of(found))
        return Verified(token=found.hint, client_id=str(found.user.pk), scopes=[], caller=caller)


async def of_request() -> Caller:
    """The caller of the HTTP request that is being answered. Raises ToolError."""
    verified = get_access_token()
    if not isinstance(verified, Verified):
        raise ToolError("send `Authorization: Bearer TOKEN` (manage.py api_token USER)")
    return verified.caller
