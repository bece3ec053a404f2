"""The page of filters: what each selects is counted while it is edited."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from core.names.symbols import hints
from markets.admin.configuration import SwitchAdmin
from markets.config import SPOT_ONLY, PairKind
from markets.models import ExchangePair, OpportunityFilter
from markets.models import PairKind as Kinds
from markets.selection import FilterRow
from markets.selectors import count_selected, filter_counts, max_opportunities, strangers

PAIRS_GONE = _("Selects nothing: every pair of exchanges that it named was deleted. Choose others.")


_DECIDES = {"symbols", "quote", "pair_kinds", "pairs", "min_volume", "max_volume"}


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

    pair_kinds = forms.MultipleChoiceField(
        choices=Kinds.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label=_("Kinds of pairs"),
        help_text=_("Of the pairs chosen below, or of all. None: spot against spot."),
    )

    def clean_pair_kinds(self) -> list[str]:
        """Spot alone where nothing is said, as before there were swaps."""
        return self.cleaned_data["pair_kinds"] or list(SPOT_ONLY)

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
        self._hold_pairs_against_kinds()
        if not self.cleaned_data.keys() >= _DECIDES:
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

    def _hold_pairs_against_kinds(self) -> None:
        kinds = self.cleaned_data.get("pair_kinds", ())
        others = [pair for pair in self.cleaned_data.get("pairs", ()) if pair.kind not in kinds]
        if others and kinds:
            text = _("“%(pair)s” is of another kind: tick “%(kind)s”, too, or take the pair out.")
            self.add_error("pair_kinds", text % {"pair": others[0], "kind": others[0].kind.label})

    def _row(self) -> FilterRow:
        data = self.cleaned_data
        return FilterRow(
            id=self.instance.pk or 0,
            symbols=data["symbols"],
            quote=data["quote"].strip(),
            pairs=frozenset(pair.pk for pair in data["pairs"]),
            min_volume=data["min_volume"],
            max_volume=data["max_volume"],
            pair_kinds=tuple(cast(PairKind, kind) for kind in data["pair_kinds"]),
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
        "kinds",
        "charted",
        "follow_depth",
        "min_edge_bps",
        "close_edge_bps",
        "min_duration_ms",
        "quote",
        "min_volume",
        "max_volume",
        "min_spread_pct",
    )
    list_filter = ("enabled", "charted", "follow_depth", "quote")
    search_fields = ("name", "symbols")
    filter_horizontal = ("pairs",)
    readonly_fields = ("selects_now",)
    fieldsets = (
        (None, {"fields": ("name", "enabled", "selects_now")}),
        (
            _("Which symbols and pairs"),
            {"fields": ("symbols", "quote", "pair_kinds", "pairs", "min_volume", "max_volume")},
        ),
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
        (
            _("A position held for a time"),
            {
                "fields": ("holding_hours", "min_net_edge_bps", "exit_assumption", "settlement_wanted"),
                "description": _(
                    "Of pairs with a swap, funding is charged while the position is held. The net edge is "
                    "the edge of the entry, the funding of both legs within the holding time, and the fees "
                    "and the spread of the exit."
                ),
            },
        ),
        (
            _("Depth at my size"),
            {
                "fields": ("my_size", "min_edge_at_size_bps", "min_profit"),
                "description": _(
                    "The best prices say that an edge exists, the order books for how much. With a size, "
                    "both books are walked: an opportunity opens only while they are known and leave the "
                    "edge and the profit at that size. It closes when they have not for a second."
                ),
            },
        ),
        (_("Its charts"), {"fields": ("charted", "min_spread_pct")}),
        (_("Its order books"), {"fields": ("follow_depth",)}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[OpportunityFilter]:
        """Fetch the chosen pairs too, which counting needs."""
        return super().get_queryset(request).prefetch_related("pairs")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Add a way to say that every pair is meant, where none of those it named is left."""
        first, (name, which), *rest = super().get_fieldsets(request, obj)
        if obj is not None and obj.pairs_gone:
            which = {
                **which,
                "fields": ("symbols", "quote", "pair_kinds", "every_pair", *which["fields"][3:]),
            }
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

    @admin.display(description=_("kinds of pairs"))
    def kinds(self, row: OpportunityFilter) -> str:
        """Kinds of pairs, as the list of pairs writes them."""
        return ", ".join(row.pair_kinds)

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
