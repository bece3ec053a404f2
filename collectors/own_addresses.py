"""Whether an address is an exchange's own, by its key."""

from collectors.exchanges import CODECS
from markets import own_words


def is_own(key: str, url: str) -> bool:
    """Whether a base URL, where there is one, is within the exchange's own domain, over TLS."""
    return not url or own_words.is_within(url, _own(key))


def may_be_quoted(key: str, url: str) -> bool:
    """Whether what the server there says of an error is shown."""
    return own_words.may_be_quoted(url, _own(key))


def _own(key: str) -> tuple[str, ...]:
    codec = CODECS.get(key)
    return (*codec.sheet.urls, codec.sheet.rest_url) if codec else ()
