"""The web process: Daphne without what it would load and never use.

    python -m arbsite.web -b 127.0.0.1 -p 8000 arbsite.asgi:application

It takes Daphne's own arguments. TLS ends at the proxy, so Twisted goes without OpenSSL, as it does where
that is not installed (`ssl:` endpoints are refused then); of Autobahn only its WebSockets are loaded. That
is 13 MB in every web process. Daphne started in its own way works just as well.
"""

import logging
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

import autobahn

FILES: Final = 8_192


def leave_out() -> None:
    """Keep Daphne's libraries from loading what a web process has no use for; before Daphne is imported."""
    modules: dict[str, Any] = sys.modules
    modules["OpenSSL"] = None  # importing it raises ImportError, for which Twisted is prepared
    websockets_only = ModuleType("autobahn.twisted")  # its own loads WAMP, with all of cryptography
    websockets_only.__path__ = [str(Path(place) / "twisted") for place in autobahn.__path__]
    modules[websockets_only.__name__] = websockets_only
    # Our tables are small: a thread per core would only keep memory of its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def open_more_files() -> None:
    """A connection is a file: have as many as may be had, where a shell gives few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, FILES)), hard))


def main() -> None:
    """Serve until asked to stop."""
    open_more_files()
    leave_out()
    from daphne.cli import CommandLineInterface

    CommandLineInterface.entrypoint()
    _end()


def _end() -> NoReturn:
    """Leave at once: Python would wait for the threads of requests that were given up, which never end."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
