"""Whether what deletes old things may believe the clock: by one that is years ahead, everything is old.

| key | what |
|---|---|
| `retention` | hash: what is to be deleted -> s since the epoch, when that was last about to happen |
"""

import logging
import time
from typing import Final

from markets.runtime import redis_client

logger = logging.getLogger(__name__)

KEY: Final = "retention"
USUAL_S: Final = 7 * 86_400.0
"""What happens daily comes no later than this, unless the desk was off, or the clock was set."""


def may_delete(what: str) -> bool:
    """Whether the time is in keeping with when this was last asked; the first time it is.

    Where it is not, nothing is lost: the next one, a day later, has two that agree. Raises RedisError.
    """
    redis, now_s = redis_client(), time.time()
    before: bytes | None = redis.hget(KEY, what)  # type: ignore[assignment]
    redis.hset(KEY, what, str(now_s))
    since_s = 0.0 if before is None else now_s - float(before)
    if 0.0 <= since_s <= USUAL_S:
        return True
    logger.warning(
        "old %s are kept this time: the clock says that the last time was %.1f days ago; was it set, "
        "or the desk off? The next run deletes them", what, since_s / 86_400,
    )  # fmt: skip
    return False
