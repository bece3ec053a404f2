"""Whether exchanges say that our wall clock is right, for what must not go by one that is years ahead."""

from typing import Any, Final

import msgspec
from redis import RedisError

from core.redis_client import redis_client
from monitoring.quality import wire

NEAR_S: Final = 3600.0
"""What is decided by it is a matter of days."""


def exchanges_agree() -> bool:
    """Whether the exchanges received right now have the time we have; not where none is received. Blocks
    shortly.

    Reports of collectors are gone after seconds, so their offsets are those of now.
    """
    redis = redis_client()
    try:
        shards: Any = redis.hkeys(wire.SHARDS)
        answers: Any = redis.mget([wire.report_key(each.decode()) for each in shards]) if shards else []
        reports = [wire.decode_report(answer) for answer in answers if answer is not None]
    except (RedisError, OSError, msgspec.MsgspecError):
        return False
    finally:
        redis.close()
    exchanges = (exchange for report in reports for exchange in report.exchanges)
    offsets = [each.clock_offset_ms for each in exchanges if each.clock_offset_ms is not None]
    near = sum(abs(offset_ms) <= NEAR_S * 1000 for offset_ms in offsets)
    return 2 * near > len(offsets)
