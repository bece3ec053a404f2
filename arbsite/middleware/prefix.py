"""The desk under a path of another web server: `/desk/scanner` is `/scanner` here.

Django knows it by FORCE_SCRIPT_NAME, and makes its own links with it. It wants to see the whole path of every
request; Channels wants to see none of the prefix. Both get theirs, whether the proxy in front passes the
prefix on or takes it off, as a client that asks the process itself.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]


def prefix_of(text: str) -> str:
    """URL_PREFIX as `/desk`, empty for none. Raises ValueError, with words, for what is no path."""
    path = "/" + text.strip().strip("/") if text.strip().strip("/") else ""
    if path and not re.fullmatch(r"(/[A-Za-z0-9][A-Za-z0-9._~-]*)+", path):
        raise ValueError(f"URL_PREFIX is {text!r}; write a path like /desk, of letters, digits and - . _ ~")
    return path


def cookie_name(what: str, *, https: bool, prefix: str, port: int) -> str:
    """The name of a cookie of this desk and no other.

    Browsers do not distinguish ports of one host: two desks on one machine would log each other out. Under
    HTTPS they take a `__Host-` cookie from this very host only, for all of its paths; under a prefix, which
    is another path, `__Secure-` is what there is.
    """
    name = "_".join(("arbdesk", what, str(port), *filter(None, re.split(r"[^A-Za-z0-9]+", prefix))))
    if not https:
        return name
    return f"__Secure-{name}" if prefix else f"__Host-{name}"


def under(prefix: str, application: Application) -> Application:
    """The application with its pages and sockets below this prefix.

    Daphne takes a header of any client, `Daphne-Root-Path`, for it: what that says is dropped.
    """

    async def moved(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            scope = {**scope, "root_path": ""}
            path = scope["path"]
            inside = path == prefix or path.startswith(prefix + "/")
            own = path[len(prefix) :] or "/" if inside else path
            scope = {**scope, "path": own if scope["type"] == "websocket" else prefix + own}
        await application(scope, receive, send)

    return moved
