"""`manage.py mcp`: read-only tools for agents, over stdio or HTTP."""

import asyncio
from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from agents.callers import NoUser, always, local_user
from agents.role import NoReader, become_reader
from agents.server import PATH, local_server, serve_http

EXAMPLE = f"""\
examples:
  manage.py mcp
      over this program's stdin and stdout: an agent's own configuration starts it so, for example
      {{"mcpServers": {{"arbdesk":
        {{"command": "/path/.venv/bin/python", "args": ["/path/manage.py", "mcp"]}}}}}}
  manage.py mcp --user analyst
      the same, with what that user may see
  manage.py mcp --http 127.0.0.1:8100
      over HTTP at http://127.0.0.1:8100{PATH}; every request carries `Authorization: Bearer TOKEN`
      (manage.py api_token USER)

The tools read and can do nothing else: the database role they take may not write. docs/agents.md lists them.
"""


class Command(BaseCommand):
    help = "Serve read-only tools for agents over the Model Context Protocol."
    requires_system_checks = ()

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        """Keep the lines of the examples."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add options."""
        parser.add_argument("--user", default="", help="on whose behalf, over stdio (default: the only user)")
        parser.add_argument("--http", metavar="HOST:PORT", help="serve HTTP there instead of stdio")
        parser.add_argument(
            "--public-url", default="", help="where clients reach --http, if through a proxy (https://…)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until the client goes, or SIGTERM."""
        try:
            become_reader()
            if options["http"] is None:
                if options["public_url"]:
                    raise CommandError("--public-url: it goes with --http")
                asyncio.run(local_server(always(local_user(options["user"]))).run_stdio_async())
            else:
                if options["user"]:
                    raise CommandError("--user: over HTTP the token says who asks")
                host, port = _address(options["http"])
                url = options["public_url"] or f"http://{host}:{port}"
                if not url.startswith(("http://", "https://")):
                    raise CommandError("--public-url: it begins with https:// or http://")
                asyncio.run(serve_http(host, port, url))
        except (NoUser, NoReader) as problem:
            raise CommandError(str(problem)) from None
        except DatabaseError as problem:
            raise CommandError(f"PostgreSQL: {str(problem).strip()}") from None
        except OSError as problem:
            raise CommandError(f"--http: cannot listen on {options['http']}: {problem.strerror}") from None


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise CommandError(f"--http: {text!r} is no HOST:PORT, like 127.0.0.1:8100")
    return host, int(port)
