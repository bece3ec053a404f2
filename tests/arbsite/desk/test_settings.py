"""Settings: what an operator gets wrong is named with its remedy, and production is safe by default."""

import os
import random
import re
import secrets
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbsite.desk import safety
from arbsite.desk.home import Home
from arbsite.desk.stack import Stack
from arbsite.environment import BASE_DIR, read

PRODUCTION = {
    "SECRET_KEY": "not-a-real-key-but-as-long-and-as-varied-as-one-0123456789",
    "DATABASE_URL": "postgres://desk:x@db.example/desk",
    "REDIS_URL": "redis://cache.example/0",
    "ALLOWED_HOSTS": "desk.example",
    "BEHIND_PROXY": "true",
    "HSTS_SECONDS": "31536000",
    "HSTS_INCLUDE_SUBDOMAINS": "true",
    "HSTS_PRELOAD": "true",
}


def _manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`manage.py` in a process of its own, with nothing of ours in its environment but this."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=BASE_DIR,
        env={**kept, "ENV_FILE": os.devnull, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_deployment_check_is_clean_with_a_production_environment() -> None:
    done = _manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize(
    ("command", "server"),
    [(["sync_markets"], "PostgreSQL (DATABASE_URL)"), (["healthcheck", "collector"], "Redis (REDIS_URL)")],
)
def test_a_server_that_is_gone_is_named_without_a_traceback(command: list[str], server: str) -> None:
    gone = {"DATABASE_URL": "postgres://127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
    done = _manage(*command, **{**PRODUCTION, **gone})
    assert done.returncode == 1
    assert done.stderr.startswith(f"{server} does not answer")
    assert "Traceback" not in done.stderr


def test_without_a_secret_key_what_signs_says_how_to_get_one() -> None:
    reads_it = "from django.conf import settings; bool(settings.SECRET_KEY)"
    done = _manage("shell", "-c", reads_it, ARB_HOME="/nowhere", SECRET_KEY="")
    assert done.returncode != 0
    assert "SECRET_KEY is not set" in done.stderr
    assert "secrets.token_urlsafe" in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("HSTS_SECONDS", "a year", "HSTS_SECONDS is 'a year'; set it to a number."),
        ("HTTPS", "ture", "HTTPS is 'ture'; set it to true or false."),
        ("MFA", "yes", "MFA is 'yes'; set it to required or optional."),
        ("SESSION_IDLE_MINUTES", "0", "SESSION_IDLE_MINUTES is 0; set it to at least 1."),
        ("SESSION_HOURS", "-1", "SESSION_HOURS is -1; set it to at least 1."),
        ("CONFIRM_MINUTES", "soon", "CONFIRM_MINUTES is 'soon'; set it to a number."),
    ],
)
def test_a_wrong_value_is_named_with_the_remedy_and_no_traceback(name: str, value: str, message: str) -> None:
    done = _manage("check", **(PRODUCTION | {name: value}))
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_named_in_the_environment_is_read_instead_of_the_ones_that_lie_here(tmp_path: Path) -> None:
    chosen = tmp_path / "desk.env"
    chosen.write_text("HTTPS=ture\n")
    done = _manage("check", **(PRODUCTION | {"ENV_FILE": str(chosen)}))
    assert "HTTPS is 'ture'" in done.stderr


def test_commands_that_sign_nothing_need_no_secret_key() -> None:
    assert _manage("help").returncode == 0


def test_a_secret_never_reaches_an_error_message() -> None:
    done = _manage("migrate", **(PRODUCTION | {"DATABASE_URL": "postgres://desk:hunter2@127.0.0.1:1/desk"}))
    assert done.returncode != 0
    assert "hunter2" not in done.stdout + done.stderr


RANDOM = secrets.token_urlsafe(50)
UNSAFE = {
    "DEBUG": ({"DEBUG": "true"}, "DEBUG is true"),
    "short": ({"SECRET_KEY": RANDOM[:40]}, "SECRET_KEY has 40 characters, of at least 50"),
    "known": ({"SECRET_KEY": "django-insecure-" + RANDOM}, "SECRET_KEY is one from an example"),
    "words": ({"SECRET_KEY": "ChangeMe" * 8}, "SECRET_KEY is one from an example"),
    "one character": ({"SECRET_KEY": "x" * 60}, "SECRET_KEY repeats itself"),
    "repeated": ({"SECRET_KEY": RANDOM[:12] * 5}, "SECRET_KEY repeats itself"),
    "counted up": (
        {"SECRET_KEY": string.ascii_letters + string.digits},
        "SECRET_KEY repeats itself or counts up",
    ),
    "keyboard": ({"SECRET_KEY": "qwertyuiopasdfghjklzxcvbnm" * 2}, "SECRET_KEY repeats itself"),
}
STARTS = {
    "web": ["-m", "arbsite.web", "-p", "1", "arbsite.asgi:application"],
    "daphne": ["-m", "daphne", "-p", "1", "arbsite.asgi:application"],
    "worker": ["-m", "celery", "-A", "arbsite", "worker"],
    "beat": ["-m", "celery", "-A", "arbsite", "beat", "--pidfile="],
    "collector": ["manage.py", "collect"],
    "monitor": ["manage.py", "monitor"],
    "a command": ["manage.py", "migrate"],
}


def _start(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=BASE_DIR, env={"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("unsafe", UNSAFE)
def test_what_is_unsafe_refuses_to_start_in_words_and_without_the_key(unsafe: str) -> None:
    environment, words = UNSAFE[unsafe]
    done = _start(STARTS["collector"], **(PRODUCTION | environment))
    assert done.returncode != 0
    assert words in done.stderr
    assert environment.get("SECRET_KEY", "Traceback") not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("part", STARTS)
@pytest.mark.parametrize("unsafe", ["DEBUG", "short"])
def test_every_part_refuses_to_start_with_what_is_unsafe(part: str, unsafe: str) -> None:
    environment, words = UNSAFE[unsafe]
    done = _start(STARTS[part], **(PRODUCTION | environment))
    assert done.returncode != 0
    assert f"Wrong configuration: {words}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_web_process_does_not_start_without_a_key() -> None:
    done = _start(STARTS["web"], **{**PRODUCTION, "SECRET_KEY": ""})
    assert done.returncode != 0
    assert "Wrong configuration: SECRET_KEY is not set" in done.stderr


@given(
    st.sampled_from([string.digits, "0123456789abcdef", string.ascii_lowercase, string.printable[:94]]),
    st.randoms(),
)
def test_no_random_key_of_fifty_characters_is_called_weak(letters: str, chance: random.Random) -> None:
    """Whatever makes it: digits alone, hexadecimal, letters, everything that can be typed."""
    key = "".join(random.SystemRandom().choice(letters) for _ in range(50 + chance.randrange(30)))
    assert safety.problem(key, debug=False) == ""


def test_make_run_takes_debug_and_everybody_else_has_it_off(tmp_path: Path) -> None:
    reads_it = "from django.conf import settings; print(settings.DEBUG)"
    assert _manage("shell", "-v", "0", "-c", reads_it, **PRODUCTION).stdout.strip() == "False"
    within = {**PRODUCTION, "DEBUG": "true", "ARB_STACK": str(tmp_path)}
    assert _manage("shell", "-v", "0", "-c", reads_it, **within).stdout.strip() == "True"
    done = _start(["manage.py", "up"], DEBUG="true", FEED="none", ARB_HOME=str(tmp_path))
    assert "FEED is 'none'" in done.stderr  # it got as far as that


def test_the_environment_wins_over_files_and_an_empty_value_counts_as_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("ARB_A=first\nARB_B='first'\nARB_C=\n")
    second.write_text("ARB_A=second\nARB_B=second\nARB_C=second\n")
    monkeypatch.setenv("ARB_A", "process")
    values = read(first, second, tmp_path / "missing")
    assert (values["ARB_A"], values["ARB_B"], values["ARB_C"]) == ("process", "first", "second")
    assert "ARB_B" not in os.environ


def _variables_read() -> set[str]:
    """The names of all variables that the composition root asks the environment for."""
    sources = "\n".join(path.read_text() for path in (BASE_DIR / "arbsite").rglob("*.py"))
    asked = re.findall(r'\benv\.\w+\(\s*"([A-Z_]+)"', sources)
    return {*asked, *re.findall(r'environment\.get\("([A-Z_]+)"', sources)}


def test_every_variable_that_is_read_is_documented() -> None:
    documented = set(re.findall(r"^([A-Z_]+)=", (BASE_DIR / ".env.example").read_text(), re.MULTILINE))
    assert "DATABASE_URL" in _variables_read()  # else the pattern above has rotted
    assert _variables_read() - documented == set()
    elsewhere = {
        "POSTGRES_PASSWORD", "DATABASE_PASSWORD", "REDIS_PASSWORD", "GRAFANA_PASSWORD",  # Compose
        "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT",
        "CHROME_BIN", "REQUIRE_BROWSER",  # browser tests
    }  # fmt: skip
    prefixes = ("AWS_", "EXCHANGE_KEYS_")
    by_prefix = {name for name in documented if name.startswith(prefixes)}
    assert documented - _variables_read() == elsewhere | by_prefix


def test_the_example_file_itself_is_a_valid_environment(tmp_path: Path) -> None:
    values = read(BASE_DIR / ".env.example")
    example = {name: value for name, value in values.items() if name not in os.environ}
    assert _manage("check", **example).returncode == 0


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "required"),
        ({"HTTPS": "false"}, "optional"),
        ({"HTTPS": "false", "MFA": "required"}, "required"),
        ({"MFA": "Optional"}, "optional"),
    ],
)
def test_a_second_factor_is_required_unless_the_desk_is_for_one_machine(
    environment: dict[str, str], said: str
) -> None:
    done = _manage(
        "shell", "-c", "from django.conf import settings; print(settings.MFA)", **(PRODUCTION | environment)
    )
    assert done.stdout.split()[-1] == said, done.stderr


def test_to_do_without_it_where_others_reach_the_desk_is_warned_of() -> None:
    done = _manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION, MFA="optional")
    assert done.returncode == 1
    assert "MFA=optional" in done.stderr


@pytest.mark.parametrize(
    ("feed", "environment", "said"),
    [
        ("sim", {}, "optional"),
        ("sim", {"ADDRESS": "::1"}, "optional"),
        ("sim", {"MFA": "required"}, "required"),
        ("sim", {"ADDRESS": "0.0.0.0"}, "required"),
        ("sim", {"BEHIND_PROXY": "true"}, "required"),
        ("sim", {"HTTPS": "true"}, "required"),
        ("live", {}, "required"),
        ("live", {"MFA": "optional"}, "optional"),
    ],
)
def test_make_run_asks_for_none_only_where_prices_are_invented_and_nobody_else_comes(
    tmp_path: Path, feed: str, environment: dict[str, str], said: str
) -> None:
    stack = Stack(Home(tmp_path), feed, environment, print)
    stack._complete_environment([])
    assert stack.environment["MFA"] == said
    assert ("not asked for" in stack._block([])) is (said == "optional")
