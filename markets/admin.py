"""What operators edit. Every change is logged with who and what, and moves the revision collectors follow."""

from decimal import Decimal
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, Q, QuerySet
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from markets.config import InvalidConfig
from markets.following import following
from markets.models import Exchange, ExchangePair, Instrument, OpportunityFilter, Symbol
from markets.selection import FilterRow
from markets.selectors import count_selected, filter_counts, load_config, max_opportunities
from markets.services import set_enabled


class ConfigAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """A page of the configuration: says whether collectors follow, and warns when they cannot."""

    actions = ("enable", "disable")

    class Media:
        css = {"all": ("markets/admin.css",)}

    @admin.action(description=_("Enable selected %(verbose_name_plural)s"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        """Switch the selected rows on."""
        self._switch(request, queryset, True)

    @admin.action(description=_("Disable selected %(verbose_name_plural)s"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        """Switch the selected rows off."""
        self._switch(request, queryset, False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Model], enabled: bool) -> None:
        count = set_enabled(queryset, enabled, cast(User, request.user))
        if enabled:
            text = ngettext("%(count)d enabled.", "%(count)d enabled.", count)
        else:
            text = ngettext("%(count)d disabled.", "%(count)d disabled.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS)
        self._warn_if_unusable(request)

    def _warn_if_unusable(self, request: HttpRequest) -> None:
        try:
            load_config()
        except InvalidConfig as error:
            text = _("Saved, but collectors keep the last good configuration: %(error)s") % {"error": error}
            self.message_user(request, text, messages.WARNING)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save, then say when the whole has become unusable."""
        super().save_related(request, form, formsets, change)
        self._warn_if_unusable(request)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, with how collectors follow."""
        return super().changelist_view(request, {**(extra_context or {}), "following": following()})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The form, with how collectors follow."""
        return super().render_change_form(request, {**context, "following": following()}, *args, **kwargs)


@admin.register(Exchange)
class ExchangeAdmin(ConfigAdmin):
    """Venues, their fees and addresses, and how their last catalogue sync went."""

    list_display = (
        "name",
        "key",
        "enabled",
        "taker_fee_bps",
        "maker_fee_bps",
        "address",
        "last_sync",
        "sync_error",
    )
    list_filter = ("enabled",)
    list_select_related = ("catalogue_sync",)
    search_fields = ("key", "name")
    readonly_fields = ("last_sync", "sync_error")
    fieldsets = (
        (None, {"fields": ("key", "name", "enabled")}),
        (_("Fees"), {"fields": ("taker_fee_bps", "maker_fee_bps")}),
        (_("24 h volume"), {"fields": ("min_volume", "max_volume")}),
        (_("Address"), {"fields": ("rest_url", "ws_url")}),
        (_("Catalogue"), {"fields": ("last_sync", "sync_error")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Exchange | None = None) -> tuple[str, ...]:
        """The key is chosen once: recordings and charts are named by it."""
        return (*self.readonly_fields, "key") if obj else self.readonly_fields

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Its instruments go with it, although nobody deletes them one by one."""
        objects, counts, needed, protected = super().get_deleted_objects(objs, request)
        return objects, counts, needed - {Instrument._meta.verbose_name}, protected

    @admin.display(description=_("address"))
    def address(self, row: Exchange) -> Any:
        """Where it is reached."""
        return row.ws_url or row.rest_url or _("its own")

    @admin.display(description=_("last sync"), ordering="catalogue_sync__synced_at")
    def last_sync(self, row: Exchange) -> Any:
        """When its catalogue was last read."""
        sync = getattr(row, "catalogue_sync", None)
        return (sync and sync.synced_at) or _("never")

    @admin.display(description=_("sync error"))
    def sync_error(self, row: Exchange) -> Any:
        """Why the last try failed; empty when it did not."""
        sync = getattr(row, "catalogue_sync", None)
        return sync.error if sync else ""


@admin.register(Symbol)
class SymbolAdmin(ConfigAdmin):
    """What can be collected; switch on what should be."""

    list_display = ("name", "base", "quote", "kind", "enabled", "exchanges")
    list_filter = ("enabled", "kind", "instruments__exchange")
    search_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Symbol]:
        """With the number of exchanges that trade it."""
        trading = Count("instruments", filter=Q(instruments__active=True), distinct=True)
        symbols: QuerySet[Symbol] = super().get_queryset(request)
        return symbols.annotate(exchange_count=trading)

    def get_readonly_fields(self, request: HttpRequest, obj: Symbol | None = None) -> tuple[str, ...]:
        """Names are chosen once: instruments and recordings refer to them."""
        return ("name", "base", "quote", "kind") if obj else ()

    @admin.display(description=_("exchanges"), ordering="exchange_count")
    def exchanges(self, row: Symbol) -> int:
        """On how many exchanges it trades now."""
        return int(row.exchange_count)  # type: ignore[attr-defined]


@admin.register(Instrument)
class InstrumentAdmin(ConfigAdmin):
    """What exchanges list; the catalogue sync writes all of it but the operator's switch."""

    list_display = (
        "native_id", "exchange", "symbol", "enabled", "active", "status", "tick", "lot", "notional",
        "volume", "synced_at", "delisted_at",
    )  # fmt: skip
    list_filter = (
        "exchange", "enabled", "active", ("delisted_at", admin.EmptyFieldListFilter), "symbol__enabled",
        "kind",
    )  # fmt: skip
    list_select_related = ("exchange", "symbol")
    search_fields = ("native_id", "symbol__name")
    fields = (
        "exchange", "symbol", "kind", "native_id", "enabled", "active", "status", "tick", "lot", "notional",
        "volume", "synced_at", "delisted_at",
    )  # fmt: skip
    readonly_fields = tuple(name for name in fields if name != "enabled")

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
        """In whole quote currency, with separators."""
        return "–" if row.quote_volume_24h is None else f"{row.quote_volume_24h:,.0f} {row.symbol.quote}"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only exchanges list instruments."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Instrument | None = None) -> bool:
        """A deleted row would come back with the next sync: disable it instead."""
        return False


@admin.register(ExchangePair)
class ExchangePairAdmin(ConfigAdmin):
    """Which exchanges are compared."""

    list_display = ("__str__", "tolerance_ms", "enabled")
    list_filter = ("enabled", "exchange1", "exchange2")
    list_select_related = ("exchange1", "exchange2")
    search_fields = ("exchange1__key", "exchange1__name", "exchange2__key", "exchange2__name")


class OpportunityFilterForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """Counts what the filter as entered would select, and refuses more charts than allowed."""

    selected: int | None = None  # None while a field that decides is wrong

    def clean(self) -> dict[str, Any] | None:
        """Count, and hold an enabled filter against the limit."""
        data = super().clean()
        if not self.cleaned_data.keys() >= {"symbols", "quote", "pairs", "min_volume", "max_volume"}:
            return data
        self.selected, limit = count_selected(self._row()), max_opportunities()
        if self.cleaned_data.get("enabled") and self.selected > limit:
            text = _(
                "This selects %(count)d opportunities and the limit is %(limit)d: name fewer symbols or "
                "pairs, or raise the min 24 h volume."
            )
            self.add_error("symbols", text % {"count": self.selected, "limit": limit})
        return data

    def _row(self) -> FilterRow:
        data = self.cleaned_data
        return FilterRow(
            id=self.instance.pk or 0,
            symbols=data["symbols"],
            quote=data["quote"].strip().upper(),
            pairs=frozenset(pair.pk for pair in data["pairs"]),
            min_volume=data["min_volume"],
            max_volume=data["max_volume"],
        )


@admin.register(OpportunityFilter)
class OpportunityFilterAdmin(ConfigAdmin):
    """Which charts there are."""

    class Media:
        js = (Script("markets/filter_count.js", type="module"),)

    form = OpportunityFilterForm
    list_display = (
        "name",
        "enabled",
        "selects",
        "quote",
        "min_volume",
        "max_volume",
        "min_spread_pct",
        "min_edge_bps",
    )
    list_filter = ("enabled", "quote")
    search_fields = ("name", "symbols")
    filter_horizontal = ("pairs",)
    readonly_fields = ("selects_now",)
    fieldsets = (
        (None, {"fields": ("name", "enabled", "selects_now")}),
        (_("Which opportunities"), {"fields": ("symbols", "quote", "pairs", "min_volume", "max_volume")}),
        (_("Which of their charts are shown"), {"fields": ("min_spread_pct", "min_edge_bps")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[OpportunityFilter]:
        """With the chosen pairs, which counting needs."""
        return super().get_queryset(request).prefetch_related("pairs")

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
        self.message_user(request, _selects_in_words(form.selected), messages.INFO)

    @admin.display(description=_("selects"))
    def selects(self, row: OpportunityFilter) -> int:
        """How many opportunities, in the list."""
        return row.selected_count

    @admin.display(description=_("selects now"))
    def selects_now(self, row: OpportunityFilter) -> Any:
        """How many opportunities, in words, on the form; the page's script keeps it current."""
        text = _selects_in_words(filter_counts([row])[row.pk]) if row.pk else _("Name symbols to see.")
        address = reverse("admin:markets_opportunityfilter_count")
        return format_html('<output id="selects-now" data-count-url="{}">{}</output>', address, text)

    def get_urls(self) -> list[Any]:
        """With the address the form's script asks while somebody types."""
        count = path("count/", self.admin_site.admin_view(self.count), name="markets_opportunityfilter_count")
        return [count, *super().get_urls()]

    @method_decorator(require_POST)
    def count(self, request: HttpRequest) -> HttpResponse:
        """What the posted form, saved or not, would select, as one line of text; nothing is stored."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = cast(OpportunityFilterForm, self.get_form(request)(request.POST))
        form.is_valid()
        if form.selected is None:
            return HttpResponse(_("Correct the fields below to see."), content_type="text/plain")
        return HttpResponse(_selects_in_words(form.selected), content_type="text/plain")


def _plain(number: Decimal | None) -> str:
    return "–" if number is None else f"{number.normalize():f}"


def _selects_in_words(count: int) -> str:
    if not count:
        return gettext(
            "Selects no opportunity now: no enabled symbol it names trades on both exchanges of an "
            "enabled pair within the volume limits."
        )
    text = ngettext("Selects %(count)d opportunity now.", "Selects %(count)d opportunities now.", count)
    return text % {"count": count}
