"""Pages that operators edit. Each change is logged with its user and moves the revision collectors follow."""

from decimal import Decimal
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from core.names.symbols import hints, searcher
from core.proxies import HIDDEN, shown
from markets.admin.configuration import SwitchAdmin, WithMarkets
from markets.admin.gates import FeeScheduleInline
from markets.fees.schedules import fee_terms, todays_fees
from markets.models import (
    CatalogueSync,
    Exchange,
    ExchangePair,
    Instrument,
    Kind,
    OpportunityFilter,
    Symbol,
)
from markets.selection import FilterRow
from markets.selectors import (
    count_selected,
    filter_counts,
    max_opportunities,
    strangers,
)

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
class ExchangeAdmin(SwitchAdmin):
    """Exchanges, their fees and addresses, and how their last catalogue sync went."""

    empty_text = _(
        "Nothing is collected without exchanges. `manage.py seed --missing` adds the default ones."
    )

    list_display = (
        "name",
        "key",
        "enabled",
        "fees_today",
        "wallets",
        "last_sync",
        "sync_error",
        "address",
    )
    list_filter = ("enabled",)
    list_select_related = ("wallet_sync",)
    search_fields = ("key", "name")
    readonly_fields = ("fees_today", "wallets", "last_sync", "sync_error")
    fieldsets = (
        (None, {"fields": ("key", "name", "enabled")}),
        (_("Fees"), {"fields": ("taker_fee_bps", "maker_fee_bps", "account_tier", "fees_today")}),
        (_("24 h volume"), {"fields": ("min_volume", "max_volume")}),
        (_("Address"), {"fields": ("rest_url", "ws_url", "proxy")}),
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
            row.fee_terms = fee_terms(row, fees)
        return page

    @admin.display(description=_("fees today, taker / maker"))
    def fees_today(self, row: Exchange) -> Any:
        """Fees of today, and their source."""
        if row._state.adding:
            return "–"
        terms = getattr(row, "fee_terms", None) or fee_terms(row, todays_fees())
        sign = _("● known") if terms.known else _("○ unknown")
        rates = f"{terms.taker_bps:g} / {terms.maker_bps:g}"
        return format_html("{} bps<br>{}: {}", rates, sign, terms.source)

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
    list_display = (
        "native_id", "exchange", "symbol", "alias", "enabled", "active", "state", "tick", "lot", "notional",
        "volume", "own_fee", "synced_at", "delisted_at",
    )  # fmt: skip
    list_filter = (
        "exchange", "enabled", "active", ("counts_as", admin.EmptyFieldListFilter),
        ("set_aside", admin.EmptyFieldListFilter), ("own_taker_fee", admin.EmptyFieldListFilter),
        ("delisted_at", admin.EmptyFieldListFilter), "symbol__enabled", "kind",
    )  # fmt: skip
    list_select_related = ("exchange", "symbol", "counts_as")
    autocomplete_fields = ("counts_as",)
    search_fields = ("native_id", "symbol__name")
    fields = (
        "exchange", "symbol", "kind", "native_id", "enabled", "counts_as", "multiplier", "active", "state",
        "tick", "lot", "notional", "volume", "own_fee", "synced_at", "delisted_at",
    )  # fmt: skip
    readonly_fields = tuple(name for name in fields if name not in ("enabled", "counts_as", "multiplier"))

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
        """The exchange's own word, and why it is not what is compared under its name."""
        return "; ".join(filter(None, (row.status, row.set_aside)))

    @admin.display(description=_("own fee"), ordering="own_taker_fee")
    def own_fee(self, row: Instrument) -> str:
        """Fee the exchange states for this market, where that is not its usual one, and since when."""
        if row.own_taker_fee is None or row.own_maker_fee is None:
            return "–"
        rates = f"{row.own_taker_fee.normalize():f} / {row.own_maker_fee.normalize():f}"
        text = gettext("%(rates)s × yours") if row.own_fee_times else gettext("%(rates)s bps")
        since = f", {row.own_fee_since:%Y-%m-%d}" if row.own_fee_since else ""
        return text % {"rates": rates} + since


@admin.register(ExchangePair)
class ExchangePairAdmin(WithMarkets, SwitchAdmin):
    """Pairs of exchanges that are compared."""

    empty_text = _(
        "Nothing is compared without pairs: add those of the exchanges you watch, or all with `manage.py "
        "seed --missing`."
    )

    list_display = ("__str__", "tolerance_ms", "max_age_ms", "enabled")
    list_filter = ("enabled", "exchange1", "exchange2")
    list_select_related = ("exchange1", "exchange2")
    search_fields = ("exchange1__key", "exchange1__name", "exchange2__key", "exchange2__name")


PAIRS_GONE = _("Selects nothing: every pair of exchanges that it named was deleted. Choose others.")


class OpportunityFilterForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """Counts what the filter as entered would select, and refuses more charts than allowed."""

    selected: int | None = None  # None while a field that decides is wrong
    pairs_gone = False  # as entered it still names pairs that were deleted, and no other

    every_pair = forms.BooleanField(
        required=False,
        label=_("every enabled pair"),
        help_text=_(
            "All its pairs were deleted, so it selects nothing: choose others below, or this option."
        ),
    )

    def in_words(self) -> str:
        """Selection of the filter and names that most likely are not meant, or why it is not known yet."""
        is_too_much = self.selected is not None and self.selected > max_opportunities()
        if self.has_error("symbols") and not is_too_much:
            return " ".join(map(str, self.errors["symbols"]))
        if self.selected is None:
            return gettext("Correct the fields below to see the count.")
        if self.pairs_gone:
            return str(PAIRS_GONE)
        selects = _selects_in_words(self.selected, bool(self.cleaned_data.get("charted")))
        return " ".join((selects, *hints(self.instance.symbols), *strangers(self.instance.symbols)))

    def clean(self) -> dict[str, Any] | None:
        """Count, and hold an enabled filter against the limit."""
        data = super().clean()
        if self.cleaned_data.get("every_pair") and self.cleaned_data.get("pairs"):
            self.add_error("every_pair", _("Choose pairs, or every enabled one: not both."))
        if not self.cleaned_data.keys() >= {"symbols", "quote", "pairs", "min_volume", "max_volume"}:
            return data
        row, limit = self._row(), max_opportunities()
        self.selected, self.pairs_gone = count_selected(row), row.pairs_gone
        asked = self.cleaned_data
        if asked.get("enabled") and asked.get("charted") and self.selected > limit:
            text = _(
                "This selects %(count)d opportunities and the limit is %(limit)d: name fewer symbols or "
                "pairs, raise the min 24 h volume, or show no charts."
            )
            self.add_error("symbols", text % {"count": self.selected, "limit": limit})
        return data

    def _row(self) -> FilterRow:
        data = self.cleaned_data
        return FilterRow(
            id=self.instance.pk or 0,
            symbols=data["symbols"],
            quote=data["quote"].strip(),
            pairs=frozenset(pair.pk for pair in data["pairs"]),
            min_volume=data["min_volume"],
            max_volume=data["max_volume"],
            pairs_gone=self.instance.pairs_gone and not data["pairs"] and not data.get("every_pair"),
        )


@admin.register(OpportunityFilter)
class OpportunityFilterAdmin(SwitchAdmin):
    """Filters that choose the charts, and the opportunities that are searched for."""

    empty_text = _("Without a filter there are no charts and no opportunities: add one.")

    class Media:
        js = (Script("markets/filter_count.js", type="module"),)

    form = OpportunityFilterForm
    list_display = (
        "name",
        "enabled",
        "selects",
        "charted",
        "min_edge_bps",
        "close_edge_bps",
        "min_duration_ms",
        "quote",
        "min_volume",
        "max_volume",
        "min_spread_pct",
    )
    list_filter = ("enabled", "charted", "quote")
    search_fields = ("name", "symbols")
    filter_horizontal = ("pairs",)
    readonly_fields = ("selects_now",)
    fieldsets = (
        (None, {"fields": ("name", "enabled", "selects_now")}),
        (_("Which symbols and pairs"), {"fields": ("symbols", "quote", "pairs", "min_volume", "max_volume")}),
        (
            _("When an opportunity opens and closes"),
            {
                "fields": (
                    "min_edge_bps", "close_edge_bps", "min_duration_ms", "min_size", "max_age_ms",
                    "max_unproven_edge_bps", "wallets_open",
                ),
                "description": _(
                    "An opportunity opens when the edge in one direction, after both taker fees, has been "
                    "at least the min edge for the min duration, with that size and every gate check "
                    "passed. It closes when the edge falls below “close below” or a gate check no longer "
                    "passes. Without a min edge this filter only shows charts."
                ),
            },
        ),
        (_("Its charts"), {"fields": ("charted", "min_spread_pct")}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[OpportunityFilter]:
        """Fetch the chosen pairs too, which counting needs."""
        return super().get_queryset(request).prefetch_related("pairs")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Add a way to say that every pair is meant, where none of those it named is left."""
        first, (name, which), *rest = super().get_fieldsets(request, obj)
        if obj is not None and obj.pairs_gone:
            which = {**which, "fields": ("symbols", "quote", "every_pair", *which["fields"][2:])}
        return [first, (name, which), *rest]

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Count what all listed filters select in one go."""
        page = super().get_changelist_instance(request)
        counts = filter_counts(page.result_list)
        for row in page.result_list:
            row.selected_count = counts[row.pk]
        return page

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A pair's name needs both exchanges: read them with it."""
        kwargs["queryset"] = ExchangePair.objects.select_related("exchange1", "exchange2")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save, then say how many opportunities the filter selects now."""
        super().save_related(request, form, formsets, change)
        if form.cleaned_data.get("every_pair"):
            form.instance.pairs.clear()
        level = messages.INFO if form.selected else messages.WARNING
        self.message_user(request, form.in_words(), level)

    @admin.display(description=_("selects"))
    def selects(self, row: OpportunityFilter) -> Any:
        """Number of opportunities, in the list."""
        return _("0: its pairs were deleted") if row.pairs_gone else row.selected_count

    @admin.display(description=_("selects now"))
    def selects_now(self, row: OpportunityFilter) -> Any:
        """Number of opportunities, in words, on the form; the page's script keeps it current."""
        count = filter_counts([row])[row.pk] if row.pk else None
        text: Any = (
            _("Enter symbols to see the count.") if count is None else _selects_in_words(count, row.charted)
        )
        if row.pk and row.pairs_gone:
            text = PAIRS_GONE
        address = reverse("admin:markets_opportunityfilter_count")
        return format_html('<output id="selects-now" data-count-url="{}">{}</output>', address, text)

    def get_urls(self) -> list[Any]:
        """Add the address that the form's script asks while somebody types."""
        count = path("count/", self.admin_site.admin_view(self.count), name="markets_opportunityfilter_count")
        return [count, *super().get_urls()]

    @method_decorator(require_POST)
    def count(self, request: HttpRequest) -> HttpResponse:
        """Answer with what the posted form would select, as one line of text; nothing is stored."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = cast(OpportunityFilterForm, self.get_form(request)(request.POST))
        form.is_valid()
        return HttpResponse(form.in_words(), content_type="text/plain")


def _amount(value: Decimal) -> str:
    """Whole units with separators; of less than a hundred the digits that say something."""
    return f"{value:,.0f}" if value >= 100 or not value else f"{Decimal(f'{float(value):.3g}'):f}"


def _plain(number: Decimal | None) -> str:
    return "–" if number is None else f"{number.normalize():f}"


def _selects_in_words(count: int, charted: bool) -> str:
    if not count:
        return gettext(
            "Selects no opportunity now: no enabled symbol it names trades on both exchanges of an "
            "enabled pair within the volume limits."
        )
    if charted:
        text = ngettext("Selects %(count)s opportunity now.", "Selects %(count)s opportunities now.", count)
    else:
        text = ngettext("Watches %(count)s pair now.", "Watches %(count)s pairs now.", count)
    return text % {"count": f"{count:,}"}
