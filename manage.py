#!/usr/bin/env python
"""Django's command line for the arbitrage desk: `manage.py help` lists what it can do."""

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arbsite.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            "Django is not installed for this Python. Run `make install`, then .venv/bin/python manage.py …"
        ) from error
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        raise SystemExit(f"Wrong configuration: {error}") from error
    except Exception as error:
        if server := _unreachable(error):
            reason = str(error).partition("\n")[0]
            raise SystemExit(f"{server} does not answer, is it up? {reason}") from error
        raise


def _unreachable(error: Exception) -> str:
    """Name the server that an error says is not there; empty for any other error."""
    from django.db import OperationalError
    from kombu.exceptions import OperationalError as BrokerError
    from redis.exceptions import ConnectionError as RedisGone
    from redis.exceptions import TimeoutError as RedisSilent

    if isinstance(error, OperationalError):
        return "PostgreSQL (DATABASE_URL)"
    return "Redis (REDIS_URL)" if isinstance(error, BrokerError | RedisGone | RedisSilent) else ""


if __name__ == "__main__":
    main()
