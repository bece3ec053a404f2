"""Whether running collectors have taken over the saved configuration, in words for the admin's pages."""

from collections.abc import Sequence
from typing import Any, Literal

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from msgspec import Struct
from redis import RedisError

from markets.config import Shard
from markets.follow.runtime import CollectorStatus, collector_statuses
from markets.selectors import current_revision


class Following(Struct, frozen=True):
    """State of the collectors' following; `details` name each one that does not, and why."""

    state: Literal["following", "behind", "absent", "unknown"]
    text: str
    details: tuple[str, ...] = ()

    @property
    def sign(self) -> str:
        """A shape beside the words, so that state is never colour alone."""
        return {"following": "●", "behind": "▲", "absent": "■", "unknown": "○"}[self.state]


def following() -> Following:
    """Say how the collectors that report now follow the saved revision; "unknown" while Redis is down."""
    saved = current_revision()
    try:
        return describe(saved, collector_statuses())
    except RedisError:
        return Following(
            "unknown",
            _("Saved revision %(saved)d; whether collectors run it is unknown: Redis does not respond.")
            % {"saved": saved},
        )


def describe(saved: int, statuses: Sequence[CollectorStatus]) -> Following:
    """Put the saved revision beside what each collector reports."""
    if not statuses:
        return Following("absent", _("Saved revision %(saved)d; no collector is running.") % {"saved": saved})
    behind = [status for status in statuses if status.revision < saved or status.error]
    missing = [
        _("Shard %(shard)s: no collector is running it.") % {"shard": shard}
        for shard in missing_shards(statuses)
    ]
    details = (*map(_lagging, behind), *missing)
    if not behind:
        text = ngettext(
            "The collector runs revision %(saved)d.",
            "All %(count)d collectors run revision %(saved)d.",
            len(statuses),
        ) % {"saved": saved, "count": len(statuses)}
        return Following("behind" if details else "following", text, details)
    running = ", ".join(
        _("%(revision)d on shard %(shard)s") % {"revision": status.revision, "shard": status.shard}
        for status in behind
    )
    text = _("Saved revision %(saved)d, running %(running)s.") % {"saved": saved, "running": running}
    return Following("behind", text, details)


def _lagging(status: CollectorStatus) -> str:
    why = status.error or _("it has not applied it yet; reload this page in a moment")
    return _("Shard %(shard)s on %(host)s: %(why)s") % {**_where(status), "why": why}


def _where(status: CollectorStatus) -> dict[str, Any]:
    return {"shard": status.shard, "host": status.host or _("an unnamed host")}


def missing_shards(statuses: Sequence[CollectorStatus]) -> list[Shard]:
    """Shards of the split that the reporting collectors belong to, which none of them runs."""
    shards = {Shard.parse(status.shard) for status in statuses}
    count = max((shard.count for shard in shards), default=0)
    split = [Shard(index, count) for index in range(1, count + 1)]
    return [shard for shard in split if shard not in shards]
