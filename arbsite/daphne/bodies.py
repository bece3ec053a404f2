"""A request's body is read by Django alone.

Twisted parses forms before Daphne sees them, for arguments that nobody asks for, and answers one that is none
with an empty 400 of its own. Ours are JSON in words. Importing this module (arbsite.asgi does) is all that is
needed.
"""

import twisted.web.http as twisted_http


def _nothing(content: bytes, ctype: bytes) -> dict[bytes, list[bytes]]:
    return {}


twisted_http._getMultiPartArgs = _nothing
