"""The wallet sync: what exchanges say of their networks becomes `WalletStatus` rows."""

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from msgspec import Struct

from markets.follow.revision import bump_revision, lock_revision
from markets.models import Exchange, Instrument, Symbol, WalletStatus, WalletSync
from markets.secret_use import keys_used, proxies_used
from markets.selectors import wallets
from markets.sync.catalogue import CatalogueError
from markets.sync.wallet_answers import ListedNetwork, WalletAnswer, fetch
from markets.sync.wallet_choice import unmistaken

logger = logging.getLogger(__name__)

BATCH = 1000  # rows per statement
BELIEVED = timedelta(hours=1)  # what an exchange that no longer answers said longer ago is not known now
PLAUSIBLE_SHARE, TELLING = 0.5, 10  # so many known networks do not go to less than this share at once


class WalletReport(Struct):
    """Result of one exchange's wallet sync: how many networks it reported, and what changed, in words."""

    exchange: str
    networks: int = 0
    coins: int = 0
    closed: int = 0  # networks that are not open both ways
    changed: list[str] = []
    revision: int | None = None
    seconds: float = 0.0
    error: str = ""
    problem: str = ""  # what of the answer could not be read; the rest is stored
    remarks: list[str] = []  # coins and networks that share a name


def sync_all(exchanges: Sequence[Exchange]) -> Iterator[WalletReport]:
    """Ask exchanges side by side; yields each one's report as it is done. None stops another."""
    if not exchanges:
        return
    proxies_used(exchanges)
    keys_used(exchanges)
    started = time.monotonic()
    with ThreadPoolExecutor(len(exchanges), thread_name_prefix="wallets") as threads:
        asked = {
            threads.submit(fetch, row.key, row.rest_url, *filter(None, [row.proxy])): row for row in exchanges
        }
        for answer in as_completed(asked):
            report = _store_answer(asked[answer], answer)
            report.seconds = time.monotonic() - started
            yield report


@transaction.atomic
def store(exchange: Exchange, answered: Sequence[ListedNetwork]) -> WalletReport:
    """Make an exchange's rows equal to what it reported, of the coins that anybody lists.

    What it no longer reports goes: unknown. The revision moves only when a wallet of a coin that is
    compared opened, closed, or became known or unknown. Raises CatalogueError, and changes nothing, when
    most of what was known is gone at once: an exchange's bad hour, after which it is not known.
    """
    lock_revision()
    before = wallets()
    coins = set(Symbol.objects.values_list("base", flat=True))
    rows, remarks = unmistaken((row for row in answered if row.coin in coins), _traded(exchange))
    listed = {(row.coin, row.network): row for row in rows}
    known = WalletStatus.objects.filter(exchange=exchange).count()
    if known >= TELLING and len(listed) < PLAUSIBLE_SHARE * known:
        raise CatalogueError(
            f"it reports {len(listed)} networks where {known} were known; nothing was changed"
        )
    answer = answered if isinstance(answered, WalletAnswer) else WalletAnswer(answered)
    report = WalletReport(
        exchange.key, len(listed), len({coin for coin, _network in listed}),
        sum(not (row.deposit and row.withdraw) for row in listed.values()), _write(exchange, listed),
        problem=answer.problem, remarks=remarks,
    )  # fmt: skip
    now = timezone.now()
    WalletSync.objects.update_or_create(
        exchange=exchange,
        defaults={
            "tried_at": now, "synced_at": now, "networks": report.networks, "error": report.problem,
            "remarks": "; ".join(remarks),
        },
    )  # fmt: skip
    if wallets() != before:
        report.revision = bump_revision()
    return report


def _traded(exchange: Exchange) -> dict[str, set[str]]:
    """Native ids of the coins that the exchange trades."""
    rows = Instrument.objects.filter(exchange=exchange, active=True).values_list("symbol__base", "native_id")
    found: dict[str, set[str]] = {}
    for coin, native_id in rows:
        found.setdefault(coin, set()).add(native_id)
    return found


def _write(exchange: Exchange, listed: dict[tuple[str, str], ListedNetwork]) -> list[str]:
    """Write what differs and date the rest; returns what opened, closed, came and went, in words."""
    rows = WalletStatus.objects.filter(exchange=exchange)
    known = {(row.coin, row.network): row for row in rows.iterator(BATCH)}
    now = timezone.now()
    differs = [row for key, row in listed.items() if key not in known or _terms(known[key]) != _terms(row)]
    gone = [row for key, row in known.items() if key not in listed]
    changed = [_change(known.get((row.coin, row.network)), row) for row in differs]
    changed += [f"{row.coin} {row.network} is no longer reported" for row in gone]
    rows.filter(pk__in=[row.pk for row in gone]).delete()
    WalletStatus.objects.bulk_create(
        [
            WalletStatus(
                exchange=exchange, coin=row.coin, network=row.network, deposit=row.deposit,
                withdraw=row.withdraw, fee=row.fee, synced_at=now,
            )
            for row in differs
        ],
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["exchange", "coin", "network"],
        update_fields=["deposit", "withdraw", "fee", "synced_at"],
    )  # fmt: skip
    rows.update(synced_at=now)
    return sorted(filter(None, changed))


def _terms(row: WalletStatus | ListedNetwork) -> tuple[object, ...]:
    return row.deposit, row.withdraw, row.fee


def _change(old: WalletStatus | None, new: ListedNetwork) -> str:
    """Change of one network, in words; empty when nobody needs to know it."""
    if old is None:
        return ""
    words = {True: "open", False: "closed", None: "unknown"}
    parts = [
        f"{what} {words[now]}"
        for what, was, now in (
            ("deposits", old.deposit, new.deposit), ("withdrawals", old.withdraw, new.withdraw),
        )
        if was != now
    ]  # fmt: skip
    return f"{new.coin} {new.network} {', '.join(parts)}" if parts else ""


def _store_answer(exchange: Exchange, answer: "Future[WalletAnswer]") -> WalletReport:
    try:
        report = store(exchange, answer.result())
    except Exception as error:  # whatever one exchange's answer breaks must not stop the others
        # No traceback: what ccxt says of its request may carry a signature.
        expected = isinstance(error, CatalogueError)
        words = str(error) if expected else f"unexpected {type(error).__name__}"
        logger.warning("wallets of %s not synced: %s", exchange.key, words)
        return WalletReport(exchange.key, error=words, revision=_fail(exchange, words))
    if report.problem:
        logger.warning("wallets of %s in part: %s", exchange.key, report.problem)
    logger.info("wallets of %s: %d networks, %d changed", exchange.key, report.networks, len(report.changed))
    return report


@transaction.atomic
def _fail(exchange: Exchange, words: str) -> int | None:
    """Keep the error, and forget what was reported too long ago; returns the revision when that moved it."""
    lock_revision()
    now = timezone.now()
    WalletSync.objects.update_or_create(exchange=exchange, defaults={"tried_at": now, "error": words})
    believed = now - BELIEVED, now + BELIEVED
    stale = WalletStatus.objects.filter(exchange=exchange).exclude(synced_at__range=believed)
    return bump_revision() if stale.delete()[0] else None
