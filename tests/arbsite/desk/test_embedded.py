"""The embedded servers: start, stop, start again with the data still there."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from arbsite.desk import embedded


@pytest.fixture
def home() -> Iterator[Path]:
    """A home PostgreSQL's own user can reach."""
    path = Path(tempfile.mkdtemp(prefix="arbdesk-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def _select(url: str, statement: str) -> list[tuple[object, ...]]:
    socket_dir = url.removeprefix("postgres://postgres@/").removesuffix("/postgres").replace("%20", " ")
    with psycopg.connect(host=socket_dir, user="postgres", dbname="postgres", autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_postgres_keeps_its_data_over_a_restart(home: Path) -> None:
    with embedded.running(embedded.postgres(home), home / "log") as url:
        _select(url, "CREATE TABLE kept (n int)")
        _select(url, "INSERT INTO kept VALUES (7)")
    with embedded.running(embedded.postgres(home), home / "log") as url:
        assert _select(url, "SELECT n FROM kept") == [(7,)]


def test_postgres_starts_after_it_was_killed(home: Path) -> None:
    server = embedded.postgres(home)
    with embedded.running(server, home / "log"):
        postmaster = psutil.Process(int((server.data / "postmaster.pid").read_text().splitlines()[0]))
        children = postmaster.children()
        postmaster.kill()
        psutil.wait_procs(children, 10)  # they notice by themselves, and must be gone first
    with embedded.running(embedded.postgres(home), home / "log") as url:
        assert _select(url, "SELECT 1") == [(1,)]


def test_postgres_listens_on_no_network_address_and_its_socket_is_private(home: Path) -> None:
    server = embedded.postgres(home, durable=False)
    with embedded.running(server, home / "log") as url:
        assert _select(url, "SHOW listen_addresses") == [("",)]
    assert server.data.stat().st_mode & 0o077 == 0
    assert (embedded.run_dir(home) / "postgres").stat().st_mode & 0o077 == 0


def test_a_path_too_long_or_with_blanks_for_a_socket_still_works(home: Path) -> None:
    deep = home / "with blanks" / ("x" * 100)
    deep.mkdir(parents=True, mode=0o711)
    with embedded.running(embedded.postgres(deep, durable=False), home / "log") as url:
        assert _select(url, "SELECT 1") == [(1,)]
    with embedded.running(embedded.redis(deep), home / "log") as url:
        assert redis.Redis.from_url(url).ping()


def test_data_of_another_major_version_is_refused_with_the_remedy(home: Path) -> None:
    data = home / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("12\n")
    with pytest.raises(embedded.EmbeddedServerError, match=r"written by PostgreSQL 12.*move it away"):
        embedded.postgres(home)


def test_redis_forgets_everything_over_a_restart_and_takes_no_network_connections(home: Path) -> None:
    with embedded.running(embedded.redis(home), home / "log") as url, redis.Redis.from_url(url) as client:
        client.set("point", "1")
        assert client.config_get("port") == {"port": "0"}
    with embedded.running(embedded.redis(home), home / "log") as url, redis.Redis.from_url(url) as client:
        assert client.get("point") is None


def test_a_server_that_cannot_start_says_so(home: Path) -> None:
    server = embedded.redis(home)
    broken = embedded.Server(**(vars(server) | {"command": ("false",)}))
    with (
        pytest.raises(embedded.EmbeddedServerError, match="Redis did not start"),
        embedded.running(broken, home / "log"),
    ):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends PostgreSQL another user")
def test_as_root_a_home_that_postgres_cannot_reach_stays_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    home = private / "home"
    home.mkdir(parents=True)
    private.chmod(0o700)
    reachable = Path(tempfile.mkdtemp(prefix="arbdesk-test-"))
    reachable.chmod(0o755)
    monkeypatch.setattr(embedded, "REACHABLE_PLACE", reachable)
    # The virtualenv lies where that user can go, or not; here PostgreSQL must come out of the copy.
    can_run = embedded.can_run
    monkeypatch.setattr(
        embedded, "can_run", lambda command, user: "--version" not in command and can_run(command, user)
    )
    try:
        server = embedded.postgres(home, durable=False)
        assert server.data.is_relative_to(reachable)
        assert Path(server.command[0]).is_relative_to(reachable)
        with embedded.running(server, tmp_path / "log") as url:
            assert _select(url, "SELECT 1") == [(1,)]
        assert private.stat().st_mode & 0o077 == 0
    finally:
        shutil.rmtree(reachable)
