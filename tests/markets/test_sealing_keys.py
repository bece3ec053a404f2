"""A process may have the key of one kind of sealed secret, and can open nothing else with it."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

from core.secrets.sealing import seal
from markets import sealed_proxy
from monitoring.alerts import secrets


def _in_a_process(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", script],
        cwd=settings.BASE_DIR, capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, **environment},
    )  # fmt: skip
    return done.stdout.strip() or done.stderr.strip()


def test_a_process_with_the_key_of_one_purpose_opens_those_secrets_and_no_others() -> None:
    """A collector needs no SECRET_KEY, with which it could make sessions and read the secrets of channels."""
    done = subprocess.run(
        [sys.executable, "manage.py", "sealing_keys"],
        cwd=settings.BASE_DIR, env=dict(os.environ), capture_output=True, text=True, check=True,
    )  # fmt: skip
    keys = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert set(keys) == {"SEALING_KEY_PROXIES", "SEALING_KEY_CHANNELS"}
    opens = """
from core.secrets import sealing
from markets import sealed_proxy
from monitoring.alerts import secrets
for purpose, sealed in ((sealed_proxy.PURPOSE, {proxy!r}), (secrets.PURPOSE, {channel!r})):
    try:
        print(sealing.unseal(sealed, purpose, ""), end=";")
    except sealing.UnreadableSecret as error:
        print(error, end=";")
""".format(proxy=seal("of a proxy", sealed_proxy.PURPOSE, ""), channel=secrets.seal("of a channel"))
    nothing = "this process was given no key to open it: `manage.py sealing_keys` makes one;"
    only_proxies = _in_a_process(opens, SEALING_KEY_PROXIES=keys["SEALING_KEY_PROXIES"])
    assert only_proxies == f"of a proxy;{nothing}"
    only_channels = _in_a_process(opens, SEALING_KEY_CHANNELS=keys["SEALING_KEY_CHANNELS"])
    assert only_channels == f"{nothing}of a channel;"
    # Of two, as `sealing_keys` prints them with SECRET_KEY_FALLBACKS, either opens.
    two = f"{'A' * 43}=,{keys['SEALING_KEY_PROXIES']}"
    assert _in_a_process(opens, SEALING_KEY_PROXIES=two) == f"of a proxy;{nothing}"


@pytest.mark.parametrize("value", ["short", "A" * 43, "ä" * 44, "A" * 43 + "=," + "B" * 5])
def test_what_is_no_key_is_named_and_not_shown(value: str) -> None:
    said = _in_a_process("from django.conf import settings; settings.SEALING_KEYS", SEALING_KEY_PROXIES=value)
    assert "SEALING_KEY_PROXIES is no key" in said
    assert value not in said
