"""The catalogue sync: what exchanges list becomes `Symbol` and `Instrument` rows, always the same ones."""

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from msgspec import Struct, structs

from core.errors import InvalidConfig
from core.names.market_keys import coin_symbol, market_key, market_of_symbol
from core.names.plain_names import unfit_character
from core.names.symbols import base_of
from markets.config import MarketConfig
from markets.follow.revision import bump_revision, lock_revision
from markets.models import CatalogueSync, Exchange, IdentityCase, Instrument, Kind, Symbol
from markets.secret_use import proxies_used
from markets.selectors import load_config
from markets.sync.catalogue import Catalogue, CatalogueError, ListedMarket, MarketFees, fetch
from markets.sync.choice import fee_problems, named_twice, own_fees, size_problems
from markets.sync.swap_rows import SWAP_FIELDS, alias_fields, new_aliases, on_record, swap_terms

logger = logging.getLogger(__name__)

BATCH = 1000  # rows per statement
PLAUSIBLE_SHARE = 0.5  # a reply with less than this of the known active instruments is not believed
NAME_LENGTH, COIN_LENGTH = 64, 32
VOLUME_KEPT = timedelta(hours=24)  # a volume that is no longer said is known for as long as it spans
NEVER = datetime.min.replace(tzinfo=UTC)
QUARANTINED = IdentityCase.Verdict.QUARANTINED
OWN_FEE_FIELDS = ("own_taker_fee", "own_maker_fee", "own_fee_times", "own_fee_since")
SYNCED_FIELDS = (
    "symbol", "active", "status", "set_aside", "tick_size", "lot_size", "min_notional", "min_amount",
    "max_amount", "quote_volume_24h", "volume_at", "last_price", "price_at", *OWN_FEE_FIELDS, *SWAP_FIELDS,
    "listed_at", "synced_at", "delisted_at",
)  # fmt: skip


class SyncReport(Struct):
    """Result of one market's sync, `exchange` its key: native ids of what came and went, or the error.

    `problems` are the parts of its answers that could not be read: the rest is stored. `twice` are names that
    more than one market has, in words; `taken_over` and `put_aside` are markets that got such a name, or lost
    it though they trade. `resized` are swaps with another contract size than before, with both.
    """

    exchange: str
    listed: int = 0
    added: list[str] = []
    delisted: list[str] = []
    relisted: list[str] = []
    halted: list[str] = []
    resumed: list[str] = []
    taken_over: list[str] = []
    put_aside: list[str] = []
    resized: list[str] = []
    skipped: int = 0
    revision: int | None = None
    volumes_moved: bool = False
    seconds: float = 0.0
    error: str = ""
    problems: list[str] = []
    twice: list[str] = []

    def news(self) -> dict[str, list[str]]:
        """Changes an operator must know, by word: charts come and go with them. Empty lists are left out."""
        words = {
            "delisted": self.delisted,
            "relisted": self.relisted,
            "no longer trading": self.halted,
            "trading again": self.resumed,
            "compared from now on": self.taken_over,
            "set aside": self.put_aside,
            "another contract size": self.resized,
        }
        return {word: names for word, names in words.items() if names}


def sync_all(
    exchanges: Sequence[Exchange], *, allow_shrink: bool = False, keys: Collection[str] | None = None
) -> Iterator[SyncReport]:
    """Sync the markets of exchanges side by side, or those of them with these `keys`; yields each one's
    report as it is done. None stops another.

    Collectors take over the volumes of all of them at once, when the last is done.
    """
    markets = [(row, market) for row in exchanges for market in row.markets]
    if keys is not None:
        markets = [(row, market) for row, market in markets if market_key(row.key, market) in keys]
    if not markets:
        return
    proxies_used(exchanges)
    started = time.monotonic()
    volumes_moved = False
    with ThreadPoolExecutor(len(markets), thread_name_prefix="catalogue") as threads:
        asked = {
            threads.submit(fetch, row.key, row.urls_of(market)[0], row.proxy, market): (row, market)
            for row, market in markets
        }
        for answer in as_completed(asked):
            report = _store_answer(*asked[answer], answer, allow_shrink)
            report.seconds = time.monotonic() - started
            volumes_moved |= report.volumes_moved
            yield report
    if volumes_moved:
        bump_revision()


def store(
    exchange: Exchange,
    markets: Sequence[ListedMarket],
    *,
    market: str = Kind.SPOT,
    allow_shrink: bool = False,
) -> SyncReport:
    """Make the rows of one of an exchange's markets equal to what it lists, in one transaction; a second
    time changes nothing.

    What is no longer listed becomes inactive with the date, unless its row may be one that could not be
    read. The revision moves only when collectors have something to do; volumes that moved and decide
    nothing are no such thing, and the report says so. Raises CatalogueError when the list is empty or
    implausibly short, unless `allow_shrink`: an exchange's bad hour must not delist everything.
    """
    answer = markets if isinstance(markets, Catalogue) else Catalogue(markets)
    fitting = {listed.native_id: listed for listed in answer if _fits(listed)}
    trading = {name for name, listed in fitting.items() if listed.active}
    now = timezone.now()
    with transaction.atomic():
        lock_revision()
        before = _config()
        known = {row.native_id: row for row in _known(exchange, market)}
        unread = _perhaps_listed(answer, known) - fitting.keys()
        aside = named_twice(fitting, known, unread)
        for name in aside:
            fitting[name] = structs.replace(fitting[name], active=False)
        _check_plausible(known, fitting, market, allow_shrink)
        report = _compare(market_key(exchange.key, market), known, fitting, unread, trading)
        report.skipped = len(answer) - len(fitting)
        report.problems = [
            *answer.problems, *fee_problems(fitting.values()), *size_problems(fitting.values()),
        ]  # fmt: skip
        report.twice = [f"{fitting[name].symbol}: {name} is set aside, {why}" for name, why in aside.items()]
        _retire(known, fitting, unread, now)
        _upsert(exchange, fitting, known, aside, now, kind=market)
        report.resized = on_record(known, fitting)
        _question_identities(exchange, market, known, fitting.keys() - aside.keys(), fitting)
        _remember(exchange, market, now, report)
        after = _config()
        if _without_volumes(after) != _without_volumes(before):
            report.revision = bump_revision()
        report.volumes_moved = after != before and report.revision is None
    return report


def _store_answer(
    exchange: Exchange, market: str, answer: "Future[Catalogue]", allow_shrink: bool
) -> SyncReport:
    key = market_key(exchange.key, market)
    try:
        report = store(exchange, answer.result(), market=market, allow_shrink=allow_shrink)
    except Exception as error:  # whatever one exchange's answer breaks must not stop the others
        expected = isinstance(error, CatalogueError)
        words = str(error) if expected else f"unexpected {type(error).__name__}: {error}"
        logger.warning("catalogue of %s not synced: %s", key, words, exc_info=not expected)
        report = SyncReport(key, error=words.strip())
        _remember(exchange, market, timezone.now(), report)
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
    return structs.replace(config, listings=bare, worths={})


def _known(exchange: Exchange, market: str) -> Iterator[Instrument]:
    rows = Instrument.catalogue.filter(exchange=exchange, kind=market).select_related("symbol")
    return rows.order_by("pk").iterator(BATCH)


def _fits(market: ListedMarket) -> bool:
    """Whether the names fit our columns and name two coins; test listings sometimes do not."""
    names = (market.native_id, market.symbol, market.base, market.quote)
    if not all(0 < len(name or "") <= NAME_LENGTH and not unfit_character(name) for name in names):
        return False
    coins = (market.base, market.quote)
    return market.base != market.quote and all(len(coin) <= COIN_LENGTH for coin in coins)


def _perhaps_listed(answer: Catalogue, known: Mapping[str, Instrument]) -> set[str]:
    """Native ids whose rows could not be read; all of them when such a row does not say its name."""
    names = {row.name for row in answer.skipped}
    names |= {market.native_id or "" for market in answer if not _fits(market)}
    return set(known) if "" in names else names & known.keys()


def _check_plausible(
    known: Mapping[str, Instrument], listed: Mapping[str, ListedMarket], kind: str, allow_shrink: bool
) -> None:
    """Seeded instruments do not count as known: no exchange has confirmed them yet."""
    if not listed:
        raise CatalogueError(f"it lists no {kind} market at all; nothing was changed")
    expected = sum(row.active for row in known.values() if row.synced_at)
    trading = sum(market.active for market in listed.values())
    if trading < PLAUSIBLE_SHARE * expected and not allow_shrink:
        raise CatalogueError(
            f"it says {trading} {kind} markets are trading where {expected} were; nothing was changed. If "
            f"that is true, run: manage.py sync_markets --allow-shrink"
        )


def _compare(
    key: str,
    known: Mapping[str, Instrument],
    listed: Mapping[str, ListedMarket],
    unread: set[str],
    trading: set[str],
) -> SyncReport:
    """Compare with what is stored; `trading` also names those that are set aside though they trade."""
    gone = known.keys() - listed.keys() - unread
    both = listed.keys() & known.keys()
    return SyncReport(
        key,
        listed=len(listed),
        added=sorted(listed.keys() - known.keys()),
        delisted=sorted(name for name in gone if not known[name].delisted_at),
        relisted=sorted(key for key in both if known[key].delisted_at),
        halted=sorted(key for key in both - trading if known[key].active),
        resumed=sorted(
            key for key in both if listed[key].active and _is_halted(known[key]) and not known[key].set_aside
        ),
        taken_over=sorted(key for key in both if listed[key].active and known[key].set_aside),
        put_aside=sorted(key for key in both & trading if known[key].active and not listed[key].active),
    )


def _is_halted(row: Instrument) -> bool:
    return not row.active and row.delisted_at is None


def _retire(
    known: Mapping[str, Instrument], listed: Mapping[str, ListedMarket], unread: set[str], now: datetime
) -> None:
    """Switch off what is gone, and what leaves its symbol, so that another one may have it."""
    there = listed.keys() | unread
    gone = [row.pk for key, row in known.items() if key not in there and not row.delisted_at]
    Instrument.catalogue.filter(pk__in=gone).update(
        active=False, status="delisted", set_aside="", delisted_at=now
    )
    leaving = [
        row.pk
        for key, row in known.items()
        if row.active and key in listed and (listed[key].symbol != row.symbol.name or not listed[key].active)
    ]
    Instrument.catalogue.filter(pk__in=leaving).update(active=False)


def _upsert(
    exchange: Exchange,
    listed: Mapping[str, ListedMarket],
    known: Mapping[str, Instrument],
    aside: Mapping[str, str],
    now: datetime,
    *,
    kind: str,
) -> None:
    """Write every listed row; what is not in SYNCED_FIELDS, the operator's switch above all, stays."""
    aliases = new_aliases(exchange, listed, known)
    symbols = _symbol_ids(listed, aliases)
    entered = exchange.fees_of(kind)
    fees = own_fees(listed.values(), exchange.taker_fee_bps if entered is None else entered[0])
    Instrument.catalogue.bulk_create(
        [
            Instrument(
                exchange=exchange,
                kind=kind,
                symbol_id=symbols[market.symbol],
                native_id=name,
                active=market.active,
                status=market.status.replace("\0", ""),
                set_aside=aside.get(name, ""),
                tick_size=market.tick_size,
                lot_size=market.lot_size,
                min_notional=market.min_notional,
                min_amount=market.min_amount,
                max_amount=market.max_amount,
                listed_at=market.listed_at,
                synced_at=now,
                **_volume(market, known.get(name), now),
                **_price(market, known.get(name)),
                **_own_fees(market, fees.get(name), known.get(name), now),
                **swap_terms(market.swap, known.get(name), now),
                **alias_fields(aliases.get(name), symbols),
            )
            for name, market in listed.items()
        ],
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["exchange", "kind", "native_id"],
        update_fields=SYNCED_FIELDS,
    )


def _question_identities(
    exchange: Exchange,
    kind: str,
    known: Mapping[str, Instrument],
    compared: Set[str],
    listed: Mapping[str, ListedMarket],
) -> None:
    """Open what was decided of a name's coin again where another market of the exchange has the name now."""
    in_time = sorted(known.items(), key=lambda item: (item[1].active, item[1].synced_at or NEVER))
    had_it = {row.symbol.name: key for key, row in in_time if not row.set_aside}
    for name in compared:
        symbol = listed[name].symbol
        if had_it.get(symbol, name) != name:
            note = f"{exchange} compares {name} under this name now, no longer {had_it[symbol]}."
            logger.warning("what was decided about a coin is open again: %s", note)
            leg1 = Q(exchange1=exchange, market1=kind)
            cases = IdentityCase.findings.filter(leg1 | Q(exchange2=exchange, market2=kind))
            cases.filter(symbol__name=coin_symbol(symbol)).exclude(verdict=QUARANTINED).update(
                verdict=QUARANTINED, follows="", decided_by=None, decided_at=None, note=note
            )


def _volume(market: ListedMarket, known: Instrument | None, now: datetime) -> dict[str, Any]:
    """Volume traded in 24 h, and when that was said if not now: the last word counts for a day."""
    if market.quote_volume_24h is not None:
        return {"quote_volume_24h": market.quote_volume_24h, "volume_at": None}
    said_at = None if known is None else known.volume_at or known.synced_at
    if known is None or said_at is None or known.quote_volume_24h is None or abs(now - said_at) > VOLUME_KEPT:
        return {"quote_volume_24h": None, "volume_at": None}
    return {"quote_volume_24h": known.quote_volume_24h, "volume_at": said_at}


def _price(market: ListedMarket, known: Instrument | None) -> dict[str, Any]:
    """The last price, and when it was said if not now; `markets.worth.worths` decides how long it holds."""
    if market.last_price is not None:
        return {"last_price": market.last_price, "price_at": None}
    if known is None or known.last_price is None:
        return {"last_price": None, "price_at": None}
    return {"last_price": known.last_price, "price_at": known.price_at or known.synced_at}


def _own_fees(
    market: ListedMarket, fees: MarketFees | None, known: Instrument | None, now: datetime
) -> dict[str, Any]:
    """Fees that differ from the exchange's usual ones, and since when it says so.

    What makes no sense is no word: the fees said before hold.
    """
    if market.fee_refused and known is not None:
        return {name: getattr(known, name) for name in OWN_FEE_FIELDS}
    if fees is None:
        return dict.fromkeys(OWN_FEE_FIELDS) | {"own_fee_times": False}
    said = {"own_taker_fee": fees.taker, "own_maker_fee": fees.maker, "own_fee_times": fees.times}
    same = known is not None and all(getattr(known, name) == value for name, value in said.items())
    return said | {"own_fee_since": known.own_fee_since if known is not None and same else now}


def _symbol_ids(listed: Mapping[str, ListedMarket], aliases: Mapping[str, tuple[str, int]]) -> dict[str, int]:
    """Primary keys of the symbols by name; new ones are made, disabled.

    Of a swap that is followed the coin's symbol, too: pins, filters and identities go by that.
    """
    wanted: dict[str, Symbol] = {}
    for name, market in listed.items():
        coin = aliases[name][0] if name in aliases else market.symbol
        names = {market.symbol: market.base, coin: base_of(coin)}
        if market.swap is not None and not market.swap.not_followed:
            names |= {coin_symbol(each): base for each, base in names.items()}
        for each, base in names.items():
            kind = market_of_symbol(each)
            wanted.setdefault(each, Symbol(name=each, base=base, quote=market.quote, kind=kind))
    there = Symbol.catalogue.filter(name__in=list(wanted)).values_list("name", flat=True)
    new = wanted.keys() - set(there)
    Symbol.catalogue.bulk_create(
        [wanted[name] for name in sorted(new)], batch_size=BATCH, ignore_conflicts=True
    )
    return dict(Symbol.catalogue.filter(name__in=list(wanted)).values_list("name", "pk"))


def _remember(exchange: Exchange, market: str, now: datetime, report: SyncReport) -> None:
    """How it went; what of an answer could not be had stands as the error beside the time of success."""
    outcome: dict[str, Any] = {"error": report.error}
    if not report.error:
        outcome = {"error": "; ".join(report.problems), "synced_at": now, "listed": report.listed}
        outcome["remarks"] = "; ".join(report.twice)
    outcome["tried_at"] = now
    CatalogueSync.objects.update_or_create(exchange=exchange, market=market, defaults=outcome)


def _log(report: SyncReport) -> None:
    logger.info(
        "catalogue of %s: %d listed, %d added, %d delisted, %d relisted, %d skipped",
        report.exchange, report.listed, len(report.added), len(report.delisted), len(report.relisted),
        report.skipped,
    )  # fmt: skip
    for problem in report.problems:
        logger.warning("catalogue of %s in part: %s", report.exchange, problem)
    for word, names in report.news().items():
        logger.warning("%s %s: %s", report.exchange, word, in_words(names))


def in_words(names: Sequence[str], limit: int = 20) -> str:
    """Names in one line, the first `limit` and how many more."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
