"""A password hasher that takes as long as a test wants, for web processes with `tests.waiting_settings`."""

import os
import time
from pathlib import Path

from django.contrib.auth.hashers import MD5PasswordHasher

PLACE = Path(os.environ.get("WAITING_HASHER", os.devnull))
"""A directory: each hash that has begun is a file in it, and all of them wait for the file `go`."""


class WaitingHasher(MD5PasswordHasher):
    """Waits, then hashes."""

    def encode(self, password: str, salt: str) -> str:
        """The hash, once it may be."""
        (PLACE / f"hashing-{time.monotonic_ns()}").touch()
        while not (PLACE / "go").exists():
            time.sleep(0.02)
        return super().encode(password, salt)
