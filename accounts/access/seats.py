"""Number of sockets each user has open in this process, of all pages together."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from django.conf import settings

from core.web.closing import CLOSE_TOO_MANY, Closed


class Seats:
    """Sockets by user."""

    def __init__(self) -> None:
        self._taken: Counter[int] = Counter()

    def take(self, user_id: int) -> Callable[[], None]:
        """Count a socket; returns how to count it no more. Raises Closed when its user has too many."""
        limit = settings.REALTIME_SOCKETS_PER_USER
        if self._taken[user_id] >= limit:
            raise Closed(CLOSE_TOO_MANY, f"more than {limit} sockets of one user: close another tab")
        self._taken[user_id] += 1
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                self._taken -= Counter((user_id,))  # forgets who has none

        return leave


seats: Final = Seats()
