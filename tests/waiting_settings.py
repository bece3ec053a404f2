"""The desk's settings, with passwords whose hashes wait for a test."""

from arbsite.settings import *  # noqa: F403

PASSWORD_HASHERS = ["tests.waiting_hasher.WaitingHasher"]
