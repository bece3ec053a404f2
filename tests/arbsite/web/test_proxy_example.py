"""deploy/nginx: what it says holds together, and with the limits of the desk itself."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from arbsite.daphne.doors import BODY_S, HEAD_S, LARGE_BODY, SMALL_BODY
from arbsite.environment import BASE_DIR

FILE = BASE_DIR / "deploy" / "nginx" / "arbdesk.conf"
TEXT = re.sub(r"#.*", "", FILE.read_text())
UNITS = {"": 1, "k": 1024, "m": 1024 * 1024, "s": 1}


def values(directive: str, of: str = TEXT) -> list[str]:
    return [found.strip() for found in re.findall(rf"^\s*{directive}\s+([^;]+);", of, re.MULTILINE)]


def amount(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([kms]?)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def location(path: str) -> str:
    found = re.search(rf"location {re.escape(path)} {{([^}}]*)}}", TEXT)
    assert found, path
    return found[1]


def test_every_brace_and_statement_is_closed() -> None:
    assert TEXT.count("{") == TEXT.count("}")
    for line in filter(None, map(str.strip, TEXT.splitlines())):
        assert line[-1] in "{};", line


def test_bodies_have_the_sizes_that_the_desk_takes() -> None:
    server = TEXT[: TEXT.index("location / ")]
    assert [amount(size) for size in values("client_max_body_size", server)] == [SMALL_BODY]
    (admin,) = values("client_max_body_size", location("/admin/"))
    assert amount(admin) == LARGE_BODY


def test_heads_and_bodies_end_here_before_they_would_at_the_desk() -> None:
    assert amount(values("client_header_timeout")[0]) <= HEAD_S
    assert amount(values("client_body_timeout")[0]) <= BODY_S


def test_connections_and_requests_are_bounded_by_zones_that_there_are() -> None:
    zones = set(re.findall(r"zone=(\w+):", TEXT))
    used = set(re.findall(r"limit_req zone=(\w+) ", TEXT)) | set(re.findall(r"limit_conn (\w+) ", TEXT))
    assert used == zones
    assert "limit_conn arbdesk_address" in TEXT
    assert "limit_conn arbdesk_all" in TEXT


def test_the_desk_learns_who_asks_and_how() -> None:
    headers = dict(each.split(maxsplit=1) for each in values("proxy_set_header"))
    assert headers["X-Forwarded-Proto"] == "$scheme"
    assert headers["X-Forwarded-For"] == "$proxy_add_x_forwarded_for", (
        "appended: the last entry is the proxy's"
    )
    assert headers["Host"] == "$http_host", "with its port: origins are compared exactly"
    assert headers["Upgrade"] == "$http_upgrade"
    for block in re.findall(r"location [^{]+{([^}]*)}", TEXT):
        assert "proxy_set_header" not in block, "one there would take all of them away"


@pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx here: the configuration is only read")
def test_nginx_takes_it(tmp_path: Path) -> None:
    key, certificate = tmp_path / "privkey.pem", tmp_path / "fullchain.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=desk",
         "-keyout", key, "-out", certificate], check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "arbdesk.conf").write_text(
        FILE.read_text().replace("/etc/ssl/desk.example.com", str(tmp_path)).replace("listen [::]", "# ")
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in kinds)
    http = f"access_log off;\n{places}include {tmp_path}/arbdesk.conf;\n"
    (tmp_path / "nginx.conf").write_text(f"events {{}}\npid {tmp_path}/pid;\nhttp {{ {http} }}\n")
    command = ["nginx", "-t", "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
