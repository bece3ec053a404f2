"""Something that does not work for a while: said once when it begins, and once when it is over."""

import logging
import time

from redis.exceptions import AuthenticationError, BusyLoadingError, ResponseError


class Outage:
    """One thing that may fail again and again; `log` is the logger of the part that depends on it."""

    def __init__(self, log: logging.Logger, level: int = logging.ERROR) -> None:
        self._log = log
        self._level = level
        self._since: float | None = None
        self._kind = ""

    def __bool__(self) -> bool:
        return self._since is not None

    def begins(
        self, message: str, *words: object, kind: str = "", problem: BaseException | None = None
    ) -> bool:
        """It fails: logged, with the traceback of a `problem`, unless it did so already.

        Where there are several kinds of failure, another one than the last is logged, too. Returns whether it
        was logged.
        """
        if self and kind == self._kind:
            return False
        if self._since is None:
            self._since = time.monotonic()
        self._kind = kind
        self._log.log(self._level, message, *words, exc_info=problem)
        return True

    def ends(self, message: str, *words: object) -> None:
        """Note that it works: logged, with the duration of the outage, if it had failed."""
        if self._since is not None:
            after_s, self._since = time.monotonic() - self._since, None
            self._log.info(f"{message} (after %s)", *words, lasted(after_s))


def lasted(seconds: float) -> str:
    """A time as people say it: `4.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    return f"{minutes // 60} h {minutes % 60} min"


def of_redis(problem: Exception, name: str = "Redis") -> str:
    """Why something cannot reach Redis, in words: no answer, or the answer itself."""
    if isinstance(problem, ResponseError | AuthenticationError | BusyLoadingError):
        return f"{name} refuses ({problem})"
    return f"{name} does not answer ({str(problem) or 'it takes too long'})"
