"""The files of a table as an object store, local or S3, with put-if-absent."""

import datetime
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from obstore.store import LocalStore, ObjectStore, from_url

if TYPE_CHECKING:
    from obstore.store import S3Config

# A store that is gone must be noticed within seconds, not after the library's three minutes.
_TIMEOUT: Final = datetime.timedelta(seconds=10)
_RETRIES: Final = 2

# What deltalake also reads; an environment has other AWS_* variables, which obstore refuses.
_OPTIONS: Final = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SERVER_SIDE_ENCRYPTION",
        "AWS_SESSION_TOKEN",
        "AWS_SSE_KMS_KEY_ID",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    }
)


def store_at(uri: str, options: dict[str, str]) -> ObjectStore:
    """The store under a directory, created when missing, or an URL with AWS_* options.

    Raises OSError when there can be no such directory.
    """
    if "://" not in uri:
        os.makedirs(uri, exist_ok=True)
        return LocalStore(uri)
    known = {name: value for name, value in options.items() if name in _OPTIONS}
    return from_url(
        uri,
        config=cast("S3Config", known),
        client_options={
            "timeout": _TIMEOUT,
            "connect_timeout": _TIMEOUT / 2,
            "allow_http": options.get("AWS_ALLOW_HTTP", "").lower() in {"true", "1"},
        },
        retry_config={"max_retries": _RETRIES, "retry_timeout": _TIMEOUT},
    )


def anything_under(uri: str, options: dict[str, str], folder: str) -> bool:
    """Whether there are files in a folder of a store; where there is no store, there are none."""
    if "://" in uri:
        return any(store_at(uri, options).list(folder, chunk_size=1))
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(os.path.join(uri, folder)) as entries:
        return any(entries)
    return False
