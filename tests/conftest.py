"""Fixtures that many tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, override_settings
from hypothesis import settings as hypothesis_settings
from redis import Redis

from tests.support import quick_flush
from tests.support.trials import TRIALS, is_all_trial, may_hold_trials

# How long one example takes says nothing on a busy machine; pytest-timeout catches what hangs.
hypothesis_settings.register_profile("suite", deadline=None)
hypothesis_settings.load_profile("suite")
quick_flush.install()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two a core: half of a test's time is waiting (for a page, a deadline, a server). For `-n auto`."""
    return 2 * (os.cpu_count() or 1)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file of which nothing is left to run: that is half of what a worker costs to start."""
    if not collection_path.name.startswith("test_"):
        return None
    name = collection_path.relative_to(config.rootpath).as_posix()
    unwanted = {"trial": not may_hold_trials(name), "not trial": is_all_trial(name)}
    return unwanted.get(config.option.markexpr) or None  # None: as others decide


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the trials."""
    for item in items:
        if item.nodeid.startswith(TRIALS):
            item.add_marker(pytest.mark.trial)


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> Iterator[None]:
    """Half a second for every password is for attackers; the real hashers still verify what they made."""
    quick = "django.contrib.auth.hashers.MD5PasswordHasher"
    with override_settings(PASSWORD_HASHERS=[quick, *settings.PASSWORD_HASHERS]):
        yield


@pytest.fixture
def operator(db: None) -> User:
    """Somebody who may do everything."""
    return User.objects.create_superuser("operator", password="correct horse battery staple")


@pytest.fixture
def operator_client(operator: User) -> Client:
    """A browser in which the operator is signed in."""
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def empty_redis() -> Iterator[Redis]:
    """The suite's Redis with nothing in it."""
    redis = Redis.from_url(settings.REDIS_URL)
    redis.flushdb()
    yield redis
    redis.flushdb()
    redis.close()


@pytest.fixture
def operator_cookie(operator_client: Client) -> str:
    """The Cookie header of a browser in which the operator is signed in."""
    return "; ".join(f"{name}={morsel.value}" for name, morsel in operator_client.cookies.items())
