"""Pages that operators edit. Each change is logged with its user and moves the revision collectors follow."""

from decimal import Decimal
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from core.names.market_keys import coin_symbol
from core.names.symbols import searcher
from core.proxies import HIDDEN, shown
from markets.admin.configuration import SwitchAdmin
from markets.admin.gates import FeeScheduleInline
from markets.admin.pairs import AddPairsActions
from markets.fees.schedules import fee_terms, todays_fees
from markets.models import (
    CatalogueSync,
    Exchange,
    Instrument,
    Kind,
    Symbol,
)
from markets.services import set_depth_pinned

OPERATORS = ("enabled", "depth_pinned", "counts_as", "multiplier")
"""Fields of an instrument that operators write."""

LINE_BREAK = mark_safe("<br>")  # nosec B308 # a constant


def _of_symbols(search_term: str) -> Q:
    """Symbols that a search finds, by `core.names.symbols` as everywhere."""
    finds = searcher(search_term)
    named = Symbol.objects.order_by().values_list("pk", "name")
    return Q(pk__in=[pk for pk, name in named if finds(name)])


class ExchangeForm(forms.ModelForm):  # type: ignore[type-arg]
    """An exchange; the credentials of its proxy are taken, and never shown again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.proxy:
            self.initial["proxy"] = shown(self.instance.proxy)

    def clean_proxy(self) -> str:
        """The stored address where what is shown was left as it is."""
        text: str = self.cleaned_data["proxy"]
        if self.instance.proxy and text == shown(self.instance.proxy):
            return str(self.instance.proxy)
        if HIDDEN in text:
            raise forms.ValidationError(_("Enter the proxy's credentials again: they are not shown."))
        return text


@admin.register(Exchange)
class ExchangeAdmin(AddPairsActions, SwitchAdmin):
    """Exchanges, their fees and addresses, and how their last catalogue sync went."""

    empty_text = _(
        "Nothing is collected without exchanges. `manage.py seed --missing` adds the default ones."
    )

    actions = (*SwitchAdmin.actions, *AddPairsActions.actions)
    list_display = (
        "name",
        "key",
        "enabled",
        "fees_today",
        "swap_fees_today",
        "wallets",
        "last_sync",
        "sync_error",
        "address",
    )
    list_filter = ("enabled",)
    list_select_related = ("wallet_sync",)
    search_fields = ("key", "name")
    readonly_fields = ("fees_today", "swap_fees_today", "wallets", "last_sync", "sync_error")
    fieldsets = (
        (None, {"fields": ("key", "name", "enabled")}),
        (_("Fees"), {"fields": ("taker_fee_bps", "maker_fee_bps", "account_tier", "fees_today")}),
        (_("Fees of swaps"), {"fields": ("swap_taker_fee_bps", "swap_maker_fee_bps", "swap_fees_today")}),
        (_("24 h volume"), {"fields": ("min_volume", "max_volume")}),
        (_("Address"), {"fields": ("rest_url", "ws_url", "swap_rest_url", "swap_ws_url", "proxy")}),
        (_("Catalogue and wallets"), {"fields": ("last_sync", "sync_error", "wallets")}),
    )
    form = ExchangeForm
    inlines = (FeeScheduleInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Exchange | None = None) -> tuple[str, ...]:
        """The key is chosen once: recordings and charts are named by it."""
        return (*self.readonly_fields, "key") if obj else self.readonly_fields

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Read the schedules of all listed exchanges in one go."""
        page = super().get_changelist_instance(request)
        fees = todays_fees()
        for row in page.result_list:
            row.fee_terms = {market: fee_terms(row, fees, market) for market in Kind.values}
        return page

    def exchanges_of(self, queryset: QuerySet[Exchange]) -> set[int]:
        """The selected exchanges."""
        return set(queryset.values_list("pk", flat=True))

    @admin.display(description=_("fees today, taker / maker"))
    def fees_today(self, row: Exchange) -> Any:
        """Fees of today, and their source."""
        return _fees_in_words(row, Kind.SPOT)

    @admin.display(description=_("fees of swaps today"))
    def swap_fees_today(self, row: Exchange) -> Any:
        """Fees of its swaps today, and their source."""
        return _fees_in_words(row, Kind.SWAP)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Exchange]:
        """Read the syncs of both markets too."""
        rows: QuerySet[Exchange] = super().get_queryset(request)
        return rows.prefetch_related("catalogue_syncs")

    @admin.display(description=_("wallets"))
    def wallets(self, row: Exchange) -> Any:
        """Knowledge of its wallets, and its age."""
        sync = getattr(row, "wallet_sync", None)
        if sync is None:
            return _("○ unknown: never synced")
        if sync.in_part:
            return _("▲ partial: %(error)s") % {"error": sync.error}
        if sync.error:
            return _("■ failed: %(error)s") % {"error": sync.error}
        if not sync.networks:
            return _("○ unknown without a key")
        count = ngettext("● %(count)d network", "● %(count)d networks", sync.networks)
        return _("%(networks)s, %(age)s ago") % {
            "networks": count % {"count": sync.networks}, "age": timesince(sync.synced_at),
        }  # fmt: skip

    @admin.display(description=_("address"))
    def address(self, row: Exchange) -> Any:
        """Address it is reached at, and its own proxy."""
        where = row.ws_url or row.rest_url or _("the exchange's own")
        if not row.proxy:
            return where
        return _("%(where)s, proxy %(proxy)s") % {"where": where, "proxy": shown(row.proxy)}

    @admin.display(description=_("last sync"))
    def last_sync(self, row: Exchange) -> Any:
        """Time the catalogue of each of its markets was last read."""
        lines = [
            (f"{sync.synced_at:%Y-%m-%d %H:%M} UTC" if sync.synced_at else _("never"), _of_market(sync))
            for sync in row.catalogue_syncs.all()
        ]
        return format_html_join(LINE_BREAK, "{}{}", lines) if lines else _("never")

    @admin.display(description=_("sync error"))
    def sync_error(self, row: Exchange) -> Any:
        """Why the last try failed, what of the answer could not be read, which markets share a name."""
        found = []
        for sync in row.catalogue_syncs.all():
            error = gettext("partial: %(error)s") % {"error": sync.error} if sync.in_part else sync.error
            if words := "; ".join(filter(None, (error, sync.remarks))):
                found.append((words, _of_market(sync)))
        return format_html_join(LINE_BREAK, "{}{}", found)


def _fees_in_words(row: Exchange, market: str) -> Any:
    if row._state.adding:
        return "–"
    terms = getattr(row, "fee_terms", {}).get(market) or fee_terms(row, todays_fees(), market)
    if row.fees_of(market) is None and not terms.known:
        return _("○ unknown")
    sign = _("● known") if terms.known else _("○ unknown")
    rates = f"{terms.taker_bps:g} / {terms.maker_bps:g}"
    return format_html("{} bps<br>{}: {}", rates, sign, terms.source)


def _of_market(sync: CatalogueSync) -> str:
    """The market behind the outcome of its sync; nothing for spot, which goes without saying."""
    return "" if sync.market == Kind.SPOT else f" ({sync.get_market_display()})"


@admin.register(Symbol)
class SymbolAdmin(SwitchAdmin):
    """Symbols that can be collected, with a switch for each."""

    empty_text = _(
        "Nothing is collected without symbols. `manage.py sync_markets` reads what exchanges list, "
        "`manage.py seed --missing` adds the default ones."
    )

    actions = (*SwitchAdmin.actions, "enable_swaps")
    list_display = ("name", "base", "quote", "kind", "enabled", "exchanges")
    list_filter = ("enabled", "kind", "instruments__exchange")
    search_fields = ("name",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Symbol], search_term: str
    ) -> tuple[QuerySet[Symbol], bool]:
        """Search like every search of names."""
        return (queryset.filter(_of_symbols(search_term)) if search_term.strip() else queryset), False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Symbol]:
        """Add the number of exchanges that trade it."""
        trading = Count("instruments", filter=Q(instruments__active=True), distinct=True)
        symbols: QuerySet[Symbol] = super().get_queryset(request)
        return symbols.annotate(exchange_count=trading)

    def get_readonly_fields(self, request: HttpRequest, obj: Symbol | None = None) -> tuple[str, ...]:
        """Names are chosen once: instruments and recordings refer to them."""
        return ("name", "base", "quote", "kind") if obj else ()

    @admin.action(description=_("Enable the swaps of selected symbols"), permissions=["change"])
    def enable_swaps(self, request: HttpRequest, queryset: QuerySet[Symbol]) -> None:
        """Switch on the perpetual swaps of the selected coins, in whatever they are settled."""
        coins = {coin_symbol(name) for name in queryset.values_list("name", flat=True)}
        swaps = Symbol.objects.filter(kind=Kind.SWAP)
        chosen = [pk for pk, name in swaps.values_list("pk", "name") if coin_symbol(name) in coins]
        self._switch(request, swaps.filter(pk__in=chosen), True)

    @admin.display(description=_("exchanges"), ordering="exchange_count")
    def exchanges(self, row: Symbol) -> int:
        """Number of exchanges it trades on now."""
        return int(row.exchange_count)  # type: ignore[attr-defined]


@admin.register(Instrument)
class InstrumentAdmin(SwitchAdmin):
    """Instruments that exchanges list; the catalogue sync writes all but the operator's switch and alias."""

    empty_text = _(
        "No exchange has been synced yet. A worker syncs every hour; `manage.py sync_markets` does it now."
    )

    never = ("add", "delete")  # only exchanges list; a deleted row would come back: it is disabled instead
    actions = (*SwitchAdmin.actions, "follow_books", "leave_books")
    list_display = (
        "native_id", "exchange", "symbol", "alias", "enabled", "depth_pinned", "active", "state", "contract",
        "tick", "lot", "notional", "volume", "own_fee", "synced_at", "delisted_at",
    )  # fmt: skip
    list_filter = (
        "exchange", "enabled", "depth_pinned", "active", ("counts_as", admin.EmptyFieldListFilter),
        ("set_aside", admin.EmptyFieldListFilter), ("not_followed", admin.EmptyFieldListFilter),
        ("own_taker_fee", admin.EmptyFieldListFilter),
        ("delisted_at", admin.EmptyFieldListFilter), "symbol__enabled", "kind",
    )  # fmt: skip
    list_select_related = ("exchange", "symbol", "counts_as")
    autocomplete_fields = ("counts_as",)
    search_fields = ("native_id", "symbol__name")
    fields = (
        "exchange", "symbol", "kind", "native_id", "enabled", "depth_pinned", "counts_as", "multiplier",
        "active", "state", "settle", "contract", "tick", "lot", "amounts", "notional", "leverage",
        "risk_tiers", "volume", "own_fee", "listed_at", "expires_at", "synced_at", "delisted_at",
    )  # fmt: skip
    readonly_fields = tuple(name for name in fields if name not in OPERATORS)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Instrument], search_term: str
    ) -> tuple[QuerySet[Instrument], bool]:
        """Search by the symbol's name, or by a part of the exchange's own name."""
        if not search_term.strip():
            return queryset, False
        symbols = Symbol.objects.filter(_of_symbols(search_term))
        anyhow = "" if '"' in search_term else "i"
        own_name = Q(**{f"native_id__{anyhow}contains": search_term.strip().strip('"')})
        return queryset.filter(Q(symbol__in=symbols) | own_name), False

    @admin.action(description=_("Follow the order books of selected instruments"), permissions=["change"])
    def follow_books(self, request: HttpRequest, queryset: QuerySet[Instrument]) -> None:
        """Pin the selected instruments' books."""
        self._pin(request, queryset, True)

    @admin.action(description=_("Unpin the order books of selected instruments"), permissions=["change"])
    def leave_books(self, request: HttpRequest, queryset: QuerySet[Instrument]) -> None:
        """Unpin the selected instruments' books: those that a filter chooses are followed on."""
        self._pin(request, queryset, False)

    def _pin(self, request: HttpRequest, queryset: QuerySet[Instrument], pinned: bool) -> None:
        count = set_depth_pinned(queryset, pinned, cast(User, request.user))
        if pinned:
            text = ngettext("%(count)d order book pinned.", "%(count)d order books pinned.", count)
        else:
            text = ngettext("%(count)d order book unpinned.", "%(count)d order books unpinned.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS)

    @admin.display(description=_("counts as"), ordering="counts_as__name")
    def alias(self, row: Instrument) -> str:
        """The symbol and how many of its coins one is; empty for its own."""
        return f"{row.counts_as} × {row.multiplier.normalize():f}" if row.counts_as else ""

    @admin.display(description=_("tick size"), ordering="tick_size")
    def tick(self, row: Instrument) -> str:
        """The price step without trailing zeros."""
        return _plain(row.tick_size)

    @admin.display(description=_("lot size"), ordering="lot_size")
    def lot(self, row: Instrument) -> str:
        """The size step without trailing zeros."""
        return _plain(row.lot_size)

    @admin.display(description=_("contract size"), ordering="contract_size")
    def contract(self, row: Instrument) -> str:
        """Coins in one contract, and what it was before the exchange last changed it."""
        if row.kind == Kind.SPOT:
            return "–"
        text = gettext("unknown") if row.contract_size is None else _plain(row.contract_size)
        if row.contract_size_before is None or row.contract_size_since is None:
            return text
        before, since = _plain(row.contract_size_before), f"{row.contract_size_since:%Y-%m-%d %H:%M} UTC"
        changed = gettext("%(size)s, %(before)s until %(since)s")
        return changed % {"size": text, "before": before, "since": since}

    @admin.display(description=_("min / max amount"))
    def amounts(self, row: Instrument) -> str:
        """Smallest and largest order, in coins."""
        return f"{_plain(row.min_amount)} / {_plain(row.max_amount)}"

    @admin.display(description=_("max leverage"))
    def leverage(self, row: Instrument) -> str:
        """Leverage at most, without trailing zeros."""
        return _plain(row.max_leverage)

    @admin.display(description=_("min notional"), ordering="min_notional")
    def notional(self, row: Instrument) -> str:
        """The smallest order without trailing zeros."""
        return _plain(row.min_notional)

    @admin.display(description=_("24 h volume"), ordering="quote_volume_24h")
    def volume(self, row: Instrument) -> str:
        """Volume in whole quote currency, with separators, and its age when the last sync did not say it."""
        if row.quote_volume_24h is None:
            return "–"
        text = f"{_amount(row.quote_volume_24h)} {row.symbol.quote}"
        if row.volume_at is None:
            return text
        return gettext("%(volume)s, %(age)s old") % {"volume": text, "age": timesince(row.volume_at, depth=1)}

    @admin.display(description=_("status"), ordering="status")
    def state(self, row: Instrument) -> str:
        """The exchange's own word, and why it is not what is compared under its name, or not followed."""
        return "; ".join(filter(None, (row.status, row.set_aside, row.not_followed)))

    @admin.display(description=_("own fee"), ordering="own_taker_fee")
    def own_fee(self, row: Instrument) -> str:
        """Fee the exchange states for this market, where that is not its usual one, and since when."""
        if row.own_taker_fee is None or row.own_maker_fee is None:
            return "–"
        rates = f"{row.own_taker_fee.normalize():f} / {row.own_maker_fee.normalize():f}"
        text = gettext("%(rates)s × yours") if row.own_fee_times else gettext("%(rates)s bps")
        since = f", {row.own_fee_since:%Y-%m-%d}" if row.own_fee_since else ""
        return text % {"rates": rates} + since


def _amount(value: Decimal) -> str:
    """Whole units with separators; of less than a hundred the digits that say something."""
    return f"{value:,.0f}" if value >= 100 or not value else f"{Decimal(f'{float(value):.3g}'):f}"


def _plain(number: Decimal | None) -> str:
    return "–" if number is None else f"{number.normalize():f}"
