"""How the syncs went last, and which filters select nothing any more."""

from collections.abc import Iterator
from typing import Final

from core.health.findings import Lack
from core.health.upkeep import LastRun, asked_in, lacks, runs, us_of
from core.names.market_keys import market_key
from core.names.plain_names import isolated
from markets.models import CatalogueSync, ExchangePair, OpportunityFilter, WalletSync

MARKETS_EVERY_S: Final = 3600.0
WALLETS_EVERY_S: Final = 900.0
"""As CELERY_BEAT_SCHEDULE has them."""


@asked_in(runs)
def sync_runs() -> Iterator[LastRun]:
    """The syncs of every market of enabled exchanges, and of their wallets."""
    for markets in CatalogueSync.objects.select_related("exchange").filter(exchange__enabled=True):
        if markets.market in markets.exchange.markets:  # swaps may be followed no longer
            key = market_key(markets.exchange.key, markets.market)
            yield _last_run(f"market sync {key}", markets, MARKETS_EVERY_S)
    for wallets in WalletSync.objects.select_related("exchange").filter(exchange__enabled=True):
        yield _last_run(f"wallet sync {wallets.exchange.key}", wallets, WALLETS_EVERY_S)


def _last_run(job: str, sync: CatalogueSync | WalletSync, every_s: float) -> LastRun:
    return LastRun(
        job=job,
        state="partial" if sync.in_part else "failed" if sync.error else "done",
        tried_us=us_of(sync.tried_at) if sync.tried_at else 0,
        done_us=us_of(sync.synced_at) if sync.synced_at else None,
        due_every_s=every_s,
        error=sync.error,
    )


@asked_in(lacks)
def filters_without_pairs() -> Iterator[tuple[str, Lack]]:
    """Enabled filters all of whose pairs were deleted."""
    if not ExchangePair.objects.exists():
        return  # that is what is lacking then
    blind = OpportunityFilter.objects.filter(enabled=True, names_pairs=True, pairs=None)
    for name in blind.values_list("name", flat=True):
        yield (
            f"pairs of filter {name}",
            Lack(
                f"The opportunity filter “{isolated(name)}” selects nothing: every pair of exchanges that it "
                "named was deleted.",
                "Choose others for it in the admin (Markets, Opportunity filters), or disable it.",
            ),
        )
