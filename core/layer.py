"""The channel layer by which collectors and web processes talk, without 8 MB of cryptography.

channels_redis loads that wherever it is installed, and does without where it is not. Nothing in our
layer is encrypted; alert channels load it when they open a secret (monitoring/alerts/secrets.py).
"""

import sys
from typing import Any, Final

from channels.layers import get_channel_layer

__all__ = ["get_channel_layer"]

_ENCRYPTION: Final = "cryptography.fernet"


def _load_unencrypted(modules: dict[str, Any]) -> None:
    """Load what channels_redis encrypts with, or rather does not."""
    if _ENCRYPTION in modules:
        return
    modules[_ENCRYPTION] = None  # importing it raises ImportError, for which channels_redis is prepared
    try:
        import channels_redis.serializers  # noqa: F401
    finally:
        del modules[_ENCRYPTION]


# While modules are imported: later, a thread that opens a secret could find it missing.
_load_unencrypted(sys.modules)
