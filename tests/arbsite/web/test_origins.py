"""A WebSocket comes from the desk's own pages, or from a trusted origin: scheme, host and port."""

from typing import Any

import polars as pl
import pytest
from pytest_django import Settings

from arbsite.auth import is_allowed_origin, own_origin
from history.read.exporting import harmless
from realtime.scanner import api as scan_api

OWN = "https://desk.example"


@pytest.mark.parametrize("origin", [OWN, f"{OWN}:443", "https://DESK.example"])
def test_its_own(origin: str) -> None:
    assert is_allowed_origin(origin, OWN)


@pytest.mark.parametrize(
    "origin",
    ["", "null", "http://desk.example", f"{OWN}:8443", "https://desk.example.evil.org", f"{OWN}/x", "https://[",
     "https://a@desk.example", "ftp://desk.example", f"{OWN}:99999", "https://x.desk.example", f"{OWN}?x"],
)  # fmt: skip
def test_nobody_else(origin: str) -> None:
    assert not is_allowed_origin(origin, OWN)


@pytest.mark.parametrize(
    ("origin", "is_good"),
    [("https://a.example", True), ("http://a.example", False), ("https://a.example:1", False),
     ("https://x.b.example", True), ("https://b.example", False), ("https://evilb.example", False)],
)  # fmt: skip
def test_the_trusted(settings: Settings, origin: str, is_good: bool) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://a.example", "https://*.b.example"]
    assert is_allowed_origin(origin, "") is is_good


@pytest.mark.parametrize(
    ("proxied", "host", "proto", "own"),
    [(True, "desk.example", "https", "https://desk.example"), (False, "desk.example", "https", "http://desk.example"),
     (True, "desk.example:81", "http", "http://desk.example:81"), (True, "evil.example", "https", "")],
)  # fmt: skip
def test_behind_a_proxy(settings: Settings, proxied: bool, host: str, proto: str, own: str) -> None:
    settings.BEHIND_PROXY, settings.ALLOWED_HOSTS = proxied, ["desk.example"]
    scope: dict[str, Any] = {"scheme": "ws", "headers": [(b"host", host.encode()), (b"x-forwarded-proto", proto.encode())]}  # fmt: skip # noqa: E501
    assert own_origin(scope) == own


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", " =1", "\n=1"])
def test_no_csv_holds_a_formula(text: str) -> None:
    assert scan_api.harmless(text) == f"'{text}"
    assert harmless(pl.DataFrame({"a": [text, "BTC", None], "n": [-1.0, 2, 3]})).rows() == [
        (f"'{text}", -1.0), ("BTC", 2.0), (None, 3.0),
    ]  # fmt: skip
