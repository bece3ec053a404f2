"""The catalogue sync: what exchanges list becomes `Symbol` and `Instrument` rows, always the same ones."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import datetime

from django.db import transaction
from django.utils import timezone
from msgspec import Struct, structs

from markets.catalogue import CatalogueError, ListedMarket, fetch
from markets.config import InvalidConfig, MarketConfig
from markets.models import CatalogueSync, Exchange, Instrument, Kind, Symbol
from markets.revision import bump_revision, lock_revision
from markets.selectors import load_config

logger = logging.getLogger(__name__)

BATCH = 1000  # rows per statement
PLAUSIBLE_SHARE = 0.5  # a reply with less than this of the known active instruments is not believed
NAME_LENGTH = 64
SYNCED_FIELDS = (
    "symbol", "active", "status", "tick_size", "lot_size", "min_notional", "quote_volume_24h", "synced_at",
    "delisted_at",
)  # fmt: skip


class SyncReport(Struct):
    """What one exchange's sync did: native ids of what came and went, or the error."""

    exchange: str
    listed: int = 0
    added: list[str] = []
    delisted: list[str] = []
    relisted: list[str] = []
    halted: list[str] = []
    resumed: list[str] = []
    skipped: int = 0
    revision: int | None = None
    volumes_moved: bool = False
    seconds: float = 0.0
    error: str = ""

    def news(self) -> dict[str, list[str]]:
        """What an operator must hear of, by word: charts come and go with it. Empty lists are left out."""
        words = {
            "delisted": self.delisted,
            "relisted": self.relisted,
            "no longer trading": self.halted,
            "trading again": self.resumed,
        }
        return {word: names for word, names in words.items() if names}


def sync_all(exchanges: Sequence[Exchange], *, allow_shrink: bool = False) -> Iterator[SyncReport]:
    """Sync exchanges side by side; yields each one's report as it is done. None stops another.

    Collectors take over the volumes of all of them at once, when the last is done.
    """
    if not exchanges:
        return
    started = time.monotonic()
    volumes_moved = False
    with ThreadPoolExecutor(len(exchanges), thread_name_prefix="catalogue") as threads:
        asked = {threads.submit(fetch, row.key, row.rest_url): row for row in exchanges}
        for answer in as_completed(asked):
            report = _store_answer(asked[answer], answer, allow_shrink)
            report.seconds = time.monotonic() - started
            volumes_moved |= report.volumes_moved
            yield report
    if volumes_moved:
        bump_revision()


def store(exchange: Exchange, markets: Sequence[ListedMarket], *, allow_shrink: bool = False) -> SyncReport:
    """Make an exchange's rows equal to what it lists, in one transaction; a second time changes nothing.

    What is no longer listed becomes inactive with the date. The revision moves only when collectors
    have something to do; volumes that moved and decide nothing are no such thing, and the report says
    so. Raises CatalogueError when the list is empty or implausibly short, unless
    `allow_shrink`: a venue's bad hour must not delist everything.
    """
    fitting = {market.native_id: market for market in markets if _fits(market)}
    now = timezone.now()
    with transaction.atomic():
        lock_revision()
        before = _config()
        known = {row.native_id: row for row in _known(exchange)}
        _check_plausible(known, fitting, allow_shrink)
        report = _compare(exchange, known, fitting)
        report.skipped = len(markets) - len(fitting)
        _retire(known, fitting, now)
        _upsert(exchange, fitting, now)
        _remember(exchange, now, listed=report.listed)
        after = _config()
        if _without_volumes(after) != _without_volumes(before):
            report.revision = bump_revision()
        report.volumes_moved = after != before and report.revision is None
    return report


def _store_answer(exchange: Exchange, answer: "Future[list[ListedMarket]]", allow_shrink: bool) -> SyncReport:
    try:
        report = store(exchange, answer.result(), allow_shrink=allow_shrink)
    except Exception as error:  # whatever one exchange's answer breaks must not stop the others
        expected = isinstance(error, CatalogueError)
        words = str(error) if expected else f"unexpected {type(error).__name__}: {error}"
        logger.warning("catalogue of %s not synced: %s", exchange.key, words, exc_info=not expected)
        report = SyncReport(exchange.key, error=words.strip())
        _remember(exchange, timezone.now(), error=report.error)
    else:
        _log(report)
    return report


def _config() -> MarketConfig | None:
    """The configuration collectors would get; None where the rows make none."""
    try:
        return load_config()
    except InvalidConfig:
        return None


def _without_volumes(config: MarketConfig | None) -> MarketConfig | None:
    """The configuration but for the numbers that move all day: what they decide is in it."""
    if config is None:
        return None
    bare = tuple(structs.replace(listing, volume=None) for listing in config.listings)
    return structs.replace(config, listings=bare)


def _known(exchange: Exchange) -> Iterator[Instrument]:
    rows = Instrument.catalogue.filter(exchange=exchange, kind=Kind.SPOT).select_related("symbol")
    return rows.order_by("pk").iterator(BATCH)


def _fits(market: ListedMarket) -> bool:
    """Whether the names fit our columns and name two coins; test listings sometimes do not."""
    names = (market.native_id, market.symbol, market.base, market.quote)
    return all(0 < len(name or "") <= NAME_LENGTH for name in names) and market.base != market.quote


def _check_plausible(
    known: Mapping[str, Instrument], listed: Mapping[str, ListedMarket], allow_shrink: bool
) -> None:
    """Seeded instruments do not count as known: no exchange has confirmed them yet."""
    if not listed:
        raise CatalogueError("it lists no spot market at all; nothing was changed")
    expected = sum(row.active for row in known.values() if row.synced_at)
    trading = sum(market.active for market in listed.values())
    if trading < PLAUSIBLE_SHARE * expected and not allow_shrink:
        raise CatalogueError(
            f"it says {trading} spot markets are trading where {expected} were; nothing was changed. If that "
            f"is true, run: manage.py sync_markets --allow-shrink"
        )


def _compare(
    exchange: Exchange, known: Mapping[str, Instrument], listed: Mapping[str, ListedMarket]
) -> SyncReport:
    both = listed.keys() & known.keys()
    return SyncReport(
        exchange.key,
        listed=len(listed),
        added=sorted(listed.keys() - known.keys()),
        delisted=sorted(key for key, row in known.items() if key not in listed and not row.delisted_at),
        relisted=sorted(key for key in both if known[key].delisted_at),
        halted=sorted(key for key in both if known[key].active and not listed[key].active),
        resumed=sorted(key for key in both if listed[key].active and _is_halted(known[key])),
    )


def _is_halted(row: Instrument) -> bool:
    return not row.active and row.delisted_at is None


def _retire(known: Mapping[str, Instrument], listed: Mapping[str, ListedMarket], now: datetime) -> None:
    """Switch off what is gone, and what now carries another symbol, so that its old symbol is free."""
    gone = [row.pk for key, row in known.items() if key not in listed and not row.delisted_at]
    Instrument.catalogue.filter(pk__in=gone).update(active=False, status="delisted", delisted_at=now)
    renamed = [
        row.pk for key, row in known.items() if key in listed and listed[key].symbol != row.symbol.name
    ]
    Instrument.catalogue.filter(pk__in=renamed).update(active=False)


def _upsert(exchange: Exchange, listed: Mapping[str, ListedMarket], now: datetime) -> None:
    """Write every listed row; what is not in SYNCED_FIELDS, the operator's switch above all, stays."""
    symbols = _symbol_ids(listed)
    Instrument.catalogue.bulk_create(
        [_instrument(exchange, symbols[market.symbol], market, now) for market in listed.values()],
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["exchange", "kind", "native_id"],
        update_fields=SYNCED_FIELDS,
    )


def _symbol_ids(listed: Mapping[str, ListedMarket]) -> dict[str, int]:
    """Primary keys of the symbols by name; new ones are made, disabled."""
    markets = {market.symbol: market for market in listed.values()}
    new = markets.keys() - set(Symbol.catalogue.filter(name__in=list(markets)).values_list("name", flat=True))
    Symbol.catalogue.bulk_create(
        [Symbol(name=name, base=markets[name].base, quote=markets[name].quote) for name in sorted(new)],
        batch_size=BATCH,
        ignore_conflicts=True,
    )
    return dict(Symbol.catalogue.filter(name__in=list(markets)).values_list("name", "pk"))


def _instrument(exchange: Exchange, symbol_id: int, market: ListedMarket, now: datetime) -> Instrument:
    return Instrument(
        exchange=exchange,
        symbol_id=symbol_id,
        native_id=market.native_id,
        active=market.active,
        status=market.status,
        tick_size=market.tick_size,
        lot_size=market.lot_size,
        min_notional=market.min_notional,
        quote_volume_24h=market.quote_volume_24h,
        synced_at=now,
    )


def _remember(exchange: Exchange, now: datetime, *, listed: int | None = None, error: str = "") -> None:
    outcome = {"error": error} if error else {"error": "", "synced_at": now, "listed": listed}
    CatalogueSync.objects.update_or_create(exchange=exchange, defaults={"tried_at": now, **outcome})


def _log(report: SyncReport) -> None:
    logger.info(
        "catalogue of %s: %d listed, %d added, %d delisted, %d relisted, %d skipped",
        report.exchange, report.listed, len(report.added), len(report.delisted), len(report.relisted),
        report.skipped,
    )  # fmt: skip
    for word, names in report.news().items():
        logger.warning("%s %s: %s", report.exchange, word, in_words(names))


def in_words(names: Sequence[str], limit: int = 20) -> str:
    """Names in one line, the first `limit` and how many more."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
