"""Free TCP ports for servers that are started a moment later.

A port that the system hands out (`bind` to 0) may be any outgoing connection's a moment later, and the server
then cannot listen. So they are taken from below the range the system hands out, and each is kept for this
process by a lock that every process on this machine that asks here respects.
"""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO, Final

PORTS: Final = range(20_000, 30_000)  # Linux hands out 32768 and up, others 49152 and up

_kept: list[IO[bytes]] = []  # an open file holds its lock


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, this process' until it ends.

    Raises OSError when all of PORTS are taken.
    """
    locks = Path(tempfile.gettempdir()) / f"arbdesk-ports-{os.getuid()}"
    locks.mkdir(mode=0o700, exist_ok=True)
    for port in random.sample(PORTS, len(PORTS)):  # nosec B311 # no secret
        file = (locks / str(port)).open("wb")
        if _is_locked(file) and _is_free(port):
            _kept.append(file)
            return port
        file.close()
    raise OSError(f"no free port between {PORTS.start} and {PORTS.stop - 1}")


def _is_locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
