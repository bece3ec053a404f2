"""A command says in a line which argument cannot be; it never ends in a traceback."""

import re
import sys
from typing import Any, Final

import pytest
from django.core.management import call_command, execute_from_command_line
from redis import Redis

import manage
from tests.support.nasty import DIGITS

pytestmark = pytest.mark.django_db(transaction=True)

NUMBERS: Final = (
    "", "x", "-1", DIGITS, f"-{DIGITS}", "nan", "inf", "-inf", "1e999", "0x10", "1,5", "²", "\ud800", "1e400",
)  # fmt: skip
WHOLE: Final = (*NUMBERS, "1.5", "1e3", "9" * 20)
TIMES: Final = (
    "x", "2026-02-31", "0000-00-00", "10000-01-01", "2026-13-01", "2026-01-01T25:00", "nan", "1e999", DIGITS,
    "2026-01-01T00:00+99:99", "Europe/Berlin", "\ud800", "2026-01-01T00:00:00[Europe/Berlin]", "-1",
    "-0001-01-01",
)  # fmt: skip
ENDS: Final = (
    "0001-01-01", "9999-12-31", "0001-01-01T00:00+14:00", "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00-14:00", "1969-12-31", "2999-01-01",
)  # fmt: skip
"""Dates that are some, of which nothing is recorded."""
NAMES: Final = (
    "",
    "x" * 900,
    "a\0b",
    "\ud800",
    "\u202e",
    "\x1b[2J",
    "../../etc/passwd",
    "' OR 1=1 --",
    "%s",
    "(" * 500,
)

SHARDS: Final = (*NAMES, *(f"{n}/2" for n in WHOLE), *(f"1/{n}" for n in WHOLE), "0/1", "2/1")
ADDRESSES: Final = (
    "", "x", "a\0b", "\ud800", "file:///etc/passwd", "http://[::1", "http://127.0.0.1:99999/", "http://", "ftp://x",
)  # fmt: skip

COMMANDS: Final[list[tuple[str, list[str], str, tuple[str, ...]]]] = [
    ("api_token", ["chief", "--days={}"], "--days", (*WHOLE, "0", "4000")),
    ("api_token", ["--revoke={}"], "--revoke", WHOLE),
    ("api_token", ["{}"], "user", NAMES[1:]),
    ("api_token", ["chief", "--name={}"], "--name", NAMES[:6]),
    ("api_token", ["chief", "--scope={}"], "--scope", NAMES),
    ("export", ["quotes", "--from={}"], "--from", TIMES),
    ("export", ["quotes", "--to={}"], "--to", TIMES),
    ("export", ["quotes", "--from={}"], "", ENDS),
    ("export", ["quotes", "--to={}"], "", ENDS),
    ("replay", ["--from={}"], "", ENDS),
    ("replay", ["--to={}"], "", ENDS),
    ("export", ["{}"], "table", NAMES),
    ("export", ["quotes", "--symbol={}"], "--symbol", NAMES[1:]),
    ("export", ["quotes", "--exchange={}"], "--exchange", NAMES[1:]),
    ("export", ["quotes", "--format={}"], "--format", NAMES),
    ("export", ["quotes", "-o{}"], "-o", ("a\0b", "\ud800", "x" * 900, "/nowhere/x", "/")),
    ("replay", ["--from={}"], "--from", TIMES),
    ("replay", ["--to={}"], "--to", TIMES),
    ("replay", ["--speed={}"], "--speed", (*NUMBERS, "0")),
    ("replay", ["--assume-size={}"], "--assume-size", (*NUMBERS, "0")),
    ("replay", ["--symbols={}"], "--symbols", NAMES[1:]),
    ("replay", ["--store={}"], "", ("a\0b", "\ud800", "x://y", "s3://", "/nowhere/x" * 600)),
    ("replay", ["-o{}"], "-o", ("a\0b", "\ud800", "/nowhere/x", "/")),
    ("replay", ["--to-simulator", "--port={}"], "", (*WHOLE, "70000")),
    ("replay", ["--to-simulator", "--replay-after={}"], "", WHOLE),
    ("simulate", ["--symbols={}"], "--symbols", WHOLE),
    ("simulate", ["--rate={}"], "--rate", NUMBERS),
    ("simulate", ["--port={}"], "--port", (*WHOLE, "70000")),
    ("simulate", ["--speed={}", "--replay=."], "--speed", (*NUMBERS, "0")),
    ("simulate", ["--time-scale={}"], "--time-scale", (*NUMBERS, "0")),
    ("simulate", ["--replay-after={}"], "--replay-after", WHOLE),
    ("simulate", ["--host={}"], "--host", ("a\0b", "\ud800", "x" * 900, "256.1.1.1", "é" * 100)),
    ("simulate", ["--exchanges={}"], "--exchanges", NAMES[1:]),
    ("simulate", ["--faults={}"], "fault", NAMES[1:]),
    ("simulate", ["--replay={}"], "--replay", NAMES[1:]),
    ("collect", ["--shard={}"], "--shard", SHARDS),
    ("collect", ["--exchanges={}"], "--exchanges", NAMES[1:]),
    ("ingest_orderbook", ["--shard={}"], "--shard", NAMES),
    ("ingest_orderbook", ["--exchanges={}"], "--exchanges", NAMES[1:]),
    ("decode", ["{}"], "exchange", NAMES),
    ("decode", ["okx", "{}"], "", ("a\0b", "\ud800", "x" * 900, "/nowhere", "/")),
    ("decode", ["okx", "--market={}"], "market", NAMES),
    ("import_lake", ["{}"], "", ("a\0b", "\ud800", "x" * 900, "/nowhere", "/dev/null")),
    ("compact_lake", ["--table={}"], "--table", NAMES),
    ("retain_lake", ["--table={}"], "--table", NAMES),
    ("healthcheck", ["{}"], "part", NAMES),
    ("healthcheck", ["collector", "--shard={}"], "shard", NAMES[1:]),
    ("healthcheck", ["web", "--url={}"], "", ADDRESSES),
    ("seed", ["--simulator={}"], "--simulator", ADDRESSES[1:]),
    ("sync_markets", ["--exchange={}"], "--exchange", NAMES),
    ("sync_wallets", ["--exchange={}"], "--exchange", NAMES),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "arguments", "named", "values"),
    COMMANDS,
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_wrong_argument_is_named(
    command: str,
    arguments: list[str],
    named: str,
    values: tuple[str, ...],
    empty_redis: Redis,
    operator: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    settings: Any,
) -> None:
    settings.LAKE_URL = str(tmp_path / "lake")
    operator.username = "chief"
    operator.save()
    call_command("seed", verbosity=0)
    capsys.readouterr()
    for value in values:
        argv = ["manage.py", command, *(each.format(value) for each in arguments)]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as ended:
            manage.main()
        said = capsys.readouterr().err
        said = said if isinstance(ended.value.code, int) else f"{said}{ended.value.code}"
        assert ended.value.code not in (0, None), (argv, said)
        assert "Traceback" not in said
        lines = [line for line in said.splitlines() if line.strip() and not line.startswith(("usage:", " "))]
        assert len(lines) == 1, (argv, said[:600])
        assert named.lstrip("-").split("-")[0].lower() in lines[0].lower(), (argv, lines[0][:300])
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", said), (argv, said)


def test_what_is_right_still_runs(empty_redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    execute_from_command_line(["manage.py", "seed"])
    assert "added 8 exchanges" in capsys.readouterr().out
