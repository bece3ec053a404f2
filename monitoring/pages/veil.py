"""Part of the desk's health that is not for every user: on which hosts which processes run."""

from typing import Any, Final

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError
from django.http import HttpRequest
from msgspec import structs

from core.connections import release
from core.health.findings import Finding
from monitoring.health.observe import observe
from monitoring.health.observed import Observed

SEE_PROCESSES: Final = "realtime.see_processes"
WORDS: Final = "A process of the desk is unhealthy. Users who may see processes see which, and why."


async def asked_by(request: HttpRequest, now: Observed) -> tuple[Any, Observed]:
    """User who asks about the desk's health, and an observation of it; nobody where PostgreSQL does not
    answer.

    With the database known to be gone it is not asked; where that shows only now, another observation is
    made.
    """
    if not now.database.well:
        return AnonymousUser(), now
    try:
        user: Any = await request.auser()
    except DatabaseError:
        return AnonymousUser(), await observe()
    return user, now


async def may_see_processes(user: Any) -> bool:
    """Whether a signed-in user may see hosts and processes."""

    def ask() -> bool:
        try:
            return bool(user.has_perm(SEE_PROCESSES))
        finally:
            release()

    return await sync_to_async(ask)()


def without_processes(now: Observed) -> Observed:
    """The same observation, as if no process had said where it runs."""
    return structs.replace(now, heartbeats=type(now.heartbeats)())


def veiled(now: Observed, findings: list[Finding]) -> list[Finding]:
    """Findings that name no host: of a process, only that there is something."""
    hosts = {beat.host for beat in now.heartbeats}
    names = {beat.name for beat in now.heartbeats} | {restart.name for restart in now.restarts}
    return [_veiled(n, each) if _reveals(each, hosts, names) else each for n, each in enumerate(findings)]


def _reveals(finding: Finding, hosts: set[str], names: set[str]) -> bool:
    said = f"{finding.subject} {finding.words} {finding.remedy}"
    is_of_one = any(finding.subject == name or finding.subject.startswith(f"{name} ") for name in names)
    return is_of_one or any(host and host in said for host in hosts)


def _veiled(number: int, finding: Finding) -> Finding:
    return structs.replace(finding, subject=f"process {number + 1}", words=WORDS, remedy="")
