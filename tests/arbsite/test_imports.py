"""Imports of each process: the heavy libraries only where they are used."""

import subprocess
import sys

import pytest

from arbsite.environment import BASE_DIR

OF_THE_LAKE = {"polars", "pyarrow", "deltalake", "obstore"}
ELSEWHERE = {"ccxt", "celery", "kombu", "cryptography.hazmat", "OpenSSL.SSL"}
LOADED = (
    f"print(*({OF_THE_LAKE | ELSEWHERE | {'daphne'}} & {{name for name, it in sys.modules.items() if it}}))"
)
SET_UP = "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'arbsite.settings'; django.setup()"


def loaded(*statements: str) -> set[str]:
    """The heavy libraries that a process of its own has loaded after these statements."""
    program = "; ".join((SET_UP, *statements, LOADED))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=BASE_DIR, capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def test_a_web_process_begins_without_what_only_some_pages_and_other_processes_need() -> None:
    urls = "from django.urls import get_resolver; get_resolver().url_patterns"
    lean = "from arbsite.web import leave_out; leave_out()"
    assert loaded(lean, "import arbsite.asgi", urls) == {"daphne"}


@pytest.mark.parametrize("module", ["arbsite.celery", "history.tasks", "markets.tasks"])
def test_what_only_queues_tasks_does_not_load_what_they_need(module: str) -> None:
    assert loaded(f"import {module}") == {"celery", "kombu"}


def test_a_collector_loads_what_it_writes_with_and_nothing_that_reads() -> None:
    collector = "import collectors.management.commands.collect, realtime.sink, history.write.sink"
    assert loaded(collector) == {"pyarrow", "obstore"}
