"""The Celery application: `celery -A arbsite worker` and `celery -A arbsite beat`."""

import os
import socket
from typing import Any

from celery import Celery, signals
from django.conf import settings

from arbsite.log_context import TASK_ID
from markets.heartbeat import Role
from markets.vitals import Vitals, process_vitals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arbsite.settings")

app = Celery("arbsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.worker_ready.connect
def _worker_lives(**_about: Any) -> None:
    """Its children do the work, so they are weighed with it."""
    _begin("worker", f"worker {socket.gethostname()}", with_children=True)


@signals.beat_init.connect
def _beat_lives(**_about: Any) -> None:
    _begin("beat", "beat")


@signals.task_prerun.connect
def _task_begins(task_id: str, **_about: Any) -> None:
    TASK_ID.set(task_id)


@signals.task_postrun.connect
def _task_ended(**_about: Any) -> None:
    TASK_ID.set("")


@signals.worker_shutdown.connect
def _worker_ends(**_about: Any) -> None:
    if (vitals := process_vitals()) is not None:
        vitals.stop()


def _begin(role: Role, name: str, *, with_children: bool = False) -> None:
    if process_vitals() is None:  # a worker is ready anew whenever its broker comes back
        limit = settings.MEMORY_LIMIT_BYTES
        Vitals(role, name, settings.REDIS_URL, memory_limit_bytes=limit, with_children=with_children).start()
