"""The Celery application: `celery -A arbsite worker` and `celery -A arbsite beat`."""

import os
import socket
import time
from typing import Any, Final

from billiard import current_process
from celery import Celery, signals
from celery.schedules import crontab
from django.conf import settings

from arbsite.desk.safety import in_words
from arbsite.log_context import TASK_ID
from core.process.heartbeat import Role
from core.process.vitals import Vitals, process_vitals
from monitoring.metrics import tasks as task_book

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arbsite.settings")

_OUTCOMES: Final[dict[str, task_book.Outcome]] = {"SUCCESS": "succeeded", "RETRY": "retried"}
_began: dict[str, float] = {}

app = Celery("arbsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
with in_words():
    _times: dict[str, dict[str, Any]] = settings.BEAT_SCHEDULE
app.conf.beat_schedule = {
    name: entry | {"schedule": crontab(**entry["schedule"])} for name, entry in _times.items()
}


@signals.worker_ready.connect
def _worker_lives(**_about: Any) -> None:
    """Measure a worker together with its children, which do the work."""
    _begin("worker", f"worker {socket.gethostname()}", with_children=True)


@signals.beat_init.connect
def _beat_lives(**_about: Any) -> None:
    _begin("beat", "beat")


@signals.worker_init.connect
def _worker_begins(sender: Any, **_about: Any) -> None:
    """Before the first child is forked: all of them write the same book."""
    tasks = (name for name in app.tasks if not name.startswith("celery."))
    task_book.open_book(tasks, sender.concurrency or settings.CELERY_WORKER_CONCURRENCY)


@signals.task_prerun.connect
def _task_begins(task_id: str, **_about: Any) -> None:
    TASK_ID.set(task_id)
    _began[task_id] = time.monotonic()


@signals.task_postrun.connect
def _task_ended(task_id: str, task: Any, state: str | None = None, **_about: Any) -> None:
    TASK_ID.set("")
    began = _began.pop(task_id, None)
    book = task_book.book()
    if book is not None and began is not None:
        outcome = _OUTCOMES.get(str(state), "failed")
        book.ran(_place(), task.name, outcome, time.monotonic() - began)


@signals.task_failure.connect
def _task_failed(sender: Any, **_about: Any) -> None:
    """Count a task whose child is gone; other failures are counted when the task ends."""
    book = task_book.book()
    if book is not None and _place() < 0:
        book.lost(sender.name)


def _place() -> int:
    """Number of this child of the worker; -1: the worker itself."""
    return int(getattr(current_process(), "index", -1))


@signals.before_task_publish.connect
def _task_queued(sender: str, **_about: Any) -> None:
    task_book.queued[sender] += 1


@signals.worker_shutdown.connect
def _worker_ends(**_about: Any) -> None:
    if (vitals := process_vitals()) is not None:
        vitals.stop()


def _begin(role: Role, name: str, *, with_children: bool = False) -> None:
    if process_vitals() is None:  # a worker is ready again whenever its broker comes back
        limit = settings.MEMORY_LIMIT_BYTES
        Vitals(role, name, settings.REDIS_URL, memory_limit_bytes=limit, with_children=with_children).start()
