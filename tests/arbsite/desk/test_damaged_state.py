"""Files of an installation that are cut off, garbage or something else than files stop nothing."""

import os
import pickle
import shelve
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from arbsite import beat, environment
from arbsite.celery import app
from arbsite.desk import embedded, home
from arbsite.desk.aside import PREFIX
from arbsite.desk.embedded import EmbeddedServerError
from tests.arbsite.desk.test_up import Desk, desk

__all__ = ["desk"]

NAME = "celerybeat-schedule"
GARBAGE = bytes(range(256)) * 4


def begin(folder: Path) -> tuple[beat.Scheduler, list[str]]:
    """Beat's schedule as it starts, with everything that is due once queued."""

    class Quiet(beat.Scheduler):
        def apply_entry(self, entry: Any, producer: Any = None) -> None:
            ran.append(entry.name)

    ran: list[str] = []
    made = Quiet(app=app, schedule_filename=str(folder / NAME), lazy=True)
    made.setup_schedule()
    while made.tick() == 0:
        pass
    return made, ran


def files(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.name.startswith(NAME)]


def truncate(folder: Path) -> None:
    for file in files(folder):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(folder: Path) -> None:
    for file in files(folder):
        file.write_bytes(b"")


def fill_with_garbage(folder: Path) -> None:
    for file in files(folder):
        file.write_bytes(GARBAGE)


def one_plain_file_of_garbage(folder: Path) -> None:
    for file in files(folder):
        file.unlink()
    (folder / NAME).write_bytes(GARBAGE)


def one_plain_pickle(folder: Path) -> None:
    for file in files(folder):
        file.unlink()
    (folder / NAME).write_bytes(pickle.dumps({"entries": {}}))


def directories(folder: Path) -> None:
    for file in files(folder):
        file.unlink()
        file.mkdir()
        (file / "something").touch()


def pipes(folder: Path) -> None:
    for file in files(folder):
        file.unlink()
        os.mkfifo(file)


def dead_links(folder: Path) -> None:
    for file in files(folder):
        file.unlink()
        file.symlink_to(file)


def _stored(key: str, value: object) -> Callable[[Path], None]:
    def store(folder: Path) -> None:
        with shelve.open(str(folder / NAME)) as there:
            there[key] = value

    return store


def entries_of_another_time(folder: Path) -> None:
    with shelve.open(str(folder / NAME), writeback=True) as there:
        for entry in there["entries"].values():
            entry.last_run_at = "yesterday"


def bytes_that_unpickle_to_nothing(folder: Path) -> None:
    with shelve.open(str(folder / NAME)) as there:
        there.dict[b"entries"] = b"csomewhere\nNothing\n."  # type: ignore[attr-defined]


DAMAGE: dict[str, Callable[[Path], None]] = {
    "truncated": truncate,
    "empty": empty,
    "garbage": fill_with_garbage,
    "a plain file of garbage": one_plain_file_of_garbage,
    "a plain pickle": one_plain_pickle,
    "directories": directories,
    "pipes": pipes,
    "dead links": dead_links,
    "entries that are none": _stored("entries", 3),
    "an entry that is none": _stored("entries", {"sync-markets": "soon"}),
    "entries in a list": _stored("entries", ["sync-markets"]),
    "a number for a zone": _stored("tz", object),
    "a time that is none": entries_of_another_time,
    "a time without a zone": _stored("entries", {"sync-markets": datetime(2020, 1, 1)}),  # noqa: DTZ001
    "a class that is gone": bytes_that_unpickle_to_nothing,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("damage", DAMAGE)
def test_beat_starts_with_every_kind_of_damage_and_runs_what_is_due(tmp_path: Path, damage: str) -> None:
    before, _ran = begin(tmp_path)
    before.close()
    assert files(tmp_path)
    DAMAGE[damage](tmp_path)
    schedule, _ran = begin(tmp_path)
    assert schedule.schedule.keys() >= app.conf.beat_schedule.keys()
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    for entry in schedule.schedule.values():
        entry.last_run_at = max(long_ago, app.now().replace(hour=0, minute=0))
    schedule.close()
    again, _ran = begin(tmp_path)  # and what it keeps now is sound
    assert not [file for file in files(tmp_path) if not file.is_file()]
    again.close()


def test_what_cannot_be_used_is_set_aside_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / NAME).write_bytes(GARBAGE)
    begin(tmp_path)[0].close()
    assert (tmp_path / f"{PREFIX}{NAME}").read_bytes() == GARBAGE
    assert f"{PREFIX}{NAME} could not be used and is set aside" in caplog.text
    (tmp_path / NAME).mkdir()
    begin(tmp_path)[0].close()
    assert (tmp_path / f"{PREFIX}{NAME}").is_dir(), "one of each is kept"


def test_a_sound_schedule_is_kept(tmp_path: Path) -> None:
    schedule, ran = begin(tmp_path)
    schedule.close()
    again, ran = begin(tmp_path)
    assert ran == []
    again.close()
    assert not list(tmp_path.glob(f"{PREFIX}*"))


def test_where_no_file_can_be_written_the_schedule_is_kept_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    schedule, _ran = begin(tmp_path / "file" / "below")
    assert schedule.schedule.keys() >= app.conf.beat_schedule.keys()
    assert "the schedule is kept in memory" in caplog.text
    schedule.close()


def test_a_home_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    schedule, _ran = begin(tmp_path / "not" / "there")
    schedule.close()
    assert files(tmp_path / "not" / "there")


def test_a_disk_that_fills_up_meanwhile_does_not_stop_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    schedule, _ran = begin(tmp_path)

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(schedule._store, "sync", full)
    for _ in range(3):
        schedule.sync()
    assert caplog.text.count("No space left on device") == 1
    monkeypatch.undo()
    schedule.sync()
    assert "is written again" not in caplog.text or "after" in caplog.text
    schedule.close()


# --- the home of `make run` ------------------------------------------------------------------------


def as_garbage(file: Path) -> None:
    file.write_bytes(GARBAGE)


def as_nothing(file: Path) -> None:
    file.write_bytes(b"")


def as_half(file: Path) -> None:
    file.write_text(file.read_text()[:20] if file.exists() else "abc")


def as_a_directory(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.mkdir()


def as_a_pipe(file: Path) -> None:
    file.unlink(missing_ok=True)
    os.mkfifo(file)


KINDS = [as_garbage, as_nothing, as_half, as_a_directory, as_a_pipe]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_secret_key_is_set_aside_and_a_new_one_made(
    tmp_path: Path, kind: Callable[[Path], None]
) -> None:
    place = home.Home(tmp_path)
    first = place.secret_key()
    assert place.secret_key() == first
    kind(tmp_path / "secret-key")
    second = place.secret_key()
    assert len(second) > 60
    assert second != first
    assert place.secret_key() == second
    assert (tmp_path / f"{PREFIX}secret-key").exists()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", KINDS)
def test_the_lock_and_the_password_may_be_damaged(tmp_path: Path, kind: Callable[[Path], None]) -> None:
    kind(tmp_path / "up.lock")
    kind(tmp_path / "operator-password")
    place = home.Home(tmp_path)
    with place.locked():
        assert home.read_private(place.password_file) in ("", "abc")
        home.write_private(place.password_file, "new")
    assert home.read_private(place.password_file) == "new"


@pytest.mark.parametrize("name", ["logs", "run", "redis"])
def test_a_file_in_the_place_of_a_folder_is_set_aside(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(GARBAGE)
    home.Home(tmp_path)
    assert (tmp_path / f"{PREFIX}{name}").is_file()


def test_what_a_run_left_among_its_sockets_is_cleared(tmp_path: Path) -> None:
    place = home.Home(tmp_path)
    (place.run / "redis.sock").mkdir()
    (place.run / "supervisor.sock").write_bytes(GARBAGE)
    (place.run / "postgres").mkdir(exist_ok=True)
    (place.run / "postgres" / ".s.PGSQL.5432.lock").write_bytes(GARBAGE)
    place.clear_run()
    assert list(place.run.iterdir()) == []


def test_the_environment_of_a_run_that_was_cut_off_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stack.env").write_bytes(GARBAGE)
    (tmp_path / ".env").write_bytes(b"\xff\xfe\xff")
    monkeypatch.setattr(environment, "STACK_ENV", tmp_path / "stack.env")
    environment.read(tmp_path / "stack.env")
    with pytest.raises(ImproperlyConfigured, match=r"\.env cannot be read"):
        environment.read(tmp_path / ".env")


def test_data_of_postgresql_is_never_set_aside_but_named(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    with pytest.raises(EmbeddedServerError, match="is no data of PostgreSQL, or damaged"):
        embedded._check_version(Path("/nonexistent"), tmp_path / "postgres")
    assert (tmp_path / "postgres").is_dir()


@pytest.mark.timeout(300)
def test_make_run_starts_with_all_of_it_damaged(desk: Desk) -> None:
    desk.start()
    desk.stop(signal.SIGTERM)
    place = embedded.postgres_place(desk.home, embedded.postgres_user())
    run = home.Home(desk.home).run
    for file in files(desk.home):
        as_garbage(file)
    as_garbage(desk.home / "redis" / "dump.rdb")
    as_garbage(place / "postgres" / "postmaster.pid")
    as_garbage(desk.home / "operator-password")
    as_a_directory(desk.home / "metrics-targets.json")
    as_a_directory(desk.home / "supervisord.conf")
    as_nothing(desk.home / "secret-key")
    as_a_directory(desk.home / "up.lock")
    (run / "redis.sock").mkdir()
    desk.start()
    said = desk.text()
    assert "operator" in said
    assert "could not be used and is set aside" in said
    desk.stop(signal.SIGTERM)
