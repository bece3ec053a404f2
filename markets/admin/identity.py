"""The queue of coins in question: are they the same, another, or the same in another unit?"""

from decimal import Decimal
from http import HTTPStatus
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Case, QuerySet, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from audit.recording import gathered
from audit.seen import seal
from core.names.formats import signed
from core.names.market_keys import coin_symbol
from markets.admin.configuration import ConfigAdmin, WithMarkets
from markets.identity.evidence import (
    Verdict,
    alias,
    decide,
    listings_of,
    ratio_with,
    suggested_multiplier,
)
from markets.identity.groups import Group, group_of, groups
from markets.models import IdentityCase, Instrument, Kind, Symbol
from markets.selectors import gate_terms

SIGNS = {Verdict.QUARANTINED: "▲", Verdict.CONFIRMED: "●", Verdict.DIFFERENT: "■"}


class ListingChoice(forms.ModelChoiceField):  # type: ignore[type-arg]  # no generic at run time
    """Names each listing with its exchange and the multiplier that fits."""

    case: IdentityCase

    def label_from_instance(self, row: Any) -> str:
        """Like “KuCoin PEPE-USDT: × 1000 brings the prices together”."""
        multiplier = fitting_multiplier(self.case, row)
        if multiplier is None:
            text = gettext("%(exchange)s %(listing)s: no power of ten brings the prices together")
            return text % {"exchange": row.exchange.called(row.kind), "listing": row}
        text = gettext("%(exchange)s %(listing)s: × %(multiplier)s brings the prices together")
        exchange = row.exchange.called(row.kind)
        return text % {"exchange": exchange, "listing": row, "multiplier": f"{multiplier.normalize():f}"}


class AliasForm(forms.Form):
    """Form that makes a listing count as a symbol, so many coins of it to one."""

    listing = ListingChoice(Instrument.objects.none(), widget=forms.RadioSelect, label=_("Listing"))
    symbol = forms.ModelChoiceField(
        Symbol.objects.all(),
        label=_("Counts as"),
        help_text=_("The symbol it is compared under: this one if it is the same coin in another unit, "
                    "another one if it is another coin."),
    )  # fmt: skip
    multiplier = forms.DecimalField(
        label=_("Multiplier"), max_digits=18, decimal_places=8,
        help_text=_("How many coins of that symbol one unit of this is: 1000 for 1000PEPE, 1 for the same "
                    "unit."),
    )  # fmt: skip

    def __init__(self, case: IdentityCase, data: Any = None) -> None:
        rows = listings_of(case)
        super().__init__(data, initial=_suggestion(case, rows))
        self.case = case
        listing, symbol = cast(ListingChoice, self.fields["listing"]), cast(Any, self.fields["symbol"])
        listing.case = case
        listing.queryset = Instrument.objects.filter(pk__in=[row.pk for row in rows]).select_related(
            "exchange"
        )
        named = Instrument._meta.get_field("counts_as")
        symbol.widget = AutocompleteSelect(named, admin.site, choices=symbol.choices)

    def clean(self) -> dict[str, Any] | None:
        """Check the alias as the instrument's own page does, and that it brings the prices together."""
        data = super().clean() or {}
        if not data.keys() >= {"listing", "symbol", "multiplier"}:
            return data
        listing, symbol, multiplier = data["listing"], data["symbol"], data["multiplier"]
        symbol = data["symbol"] = self._of_its_market(listing, symbol)
        apart = ratio_with(self.case, listing, multiplier) if multiplier > 0 else None
        if (
            coin_symbol(symbol.name) == self.case.symbol.name
            and apart
            and apart > gate_terms().identity_max_ratio
        ):
            text = _(
                "Prices would still be %(times)s times apart: choose another multiplier, or another symbol."
            )
            self.add_error("multiplier", text % {"times": f"{apart:,.2f}"})
        candidate = Instrument.objects.get(pk=listing.pk)
        candidate.counts_as, candidate.multiplier = symbol, multiplier
        try:
            candidate.clean()
        except ValidationError as error:
            for name, problems in error.message_dict.items():
                self.add_error("symbol" if name == "counts_as" else name, problems)
        return data

    def _of_its_market(self, listing: Instrument, symbol: Symbol) -> Symbol:
        """The symbol as the listing's market writes it: a swap counts as a swap of the coin."""
        if listing.kind == symbol.kind or listing.kind != Kind.SWAP:
            return symbol
        name = f"{symbol.name}:{listing.settle or symbol.quote}"
        found = Symbol.objects.filter(name=name).first()
        if found is None:
            text = _("%(exchange)s lists a swap: add the symbol %(symbol)s first.")
            names = {"exchange": listing.exchange.called(listing.kind), "symbol": name}
            self.add_error("symbol", text % names)
        return found or symbol


def _group(row: IdentityCase) -> Group:
    """Group that a row of the queue stands for, as its page has read it."""
    return getattr(row, "group", None) or group_of(row)


def _digits(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:,.6g}"


def _signed(correlation: float | None) -> Any:
    return _("unknown") if correlation is None else signed(correlation, 2)


def _suggestion(case: IdentityCase, rows: list[Instrument]) -> dict[str, Any]:
    """The dearer listing, counted as so many of the other's coins; nothing where that does not fit."""
    if not rows:
        return {"symbol": case.symbol}
    dearer = rows[-1] if (case.price_ratio or 1) < 1 else rows[0]
    multiplier = fitting_multiplier(case, dearer)
    if multiplier is None:
        return {"multiplier": f"{dearer.multiplier.normalize():f}"}
    return {"symbol": case.symbol, "listing": dearer, "multiplier": f"{multiplier.normalize():f}"}


def fitting_multiplier(case: IdentityCase, listing: Instrument) -> Decimal | None:
    """The suggested one, where it brings the prices inside the band in which coins may be the same."""
    multiplier = suggested_multiplier(case, listing)
    apart = ratio_with(case, listing, multiplier)
    return None if apart is None or apart > gate_terms().identity_max_ratio else multiplier


NEW_CASE = ("symbol", "exchange1", "market1", "exchange2", "market2", "note")


@admin.register(IdentityCase)
class IdentityCaseAdmin(WithMarkets, ConfigAdmin):
    """Coins in question, those in quarantine first; one row per listing, however many pairs it spoils."""

    empty_text = _(
        "No coin is in question. Collectors add a case when the same ticker has a different price, or moves "
        "differently, on two exchanges; until an operator decides, it is never an opportunity. Add a case "
        "yourself to confirm or split a pair whose identity is unknown."
    )
    never = ("delete",)  # a deleted case would come back: it is decided instead
    list_display = ("symbol", "state", "exchanges", "ratio", "correlated", "since", "seen", "decided")
    ordering = (Case(When(verdict=Verdict.QUARANTINED, then=0), default=1), "-found_at", "pk")
    list_filter = ("verdict",)
    list_select_related = ("symbol", "exchange1", "exchange2", "decided_by")
    search_fields = ("symbol__name", "exchange1__name", "exchange2__name")
    actions = ("confirm", "split", "alias_selected", "reopen")
    autocomplete_fields = ("symbol",)
    show_full_result_count = False  # of pairs, and the rows are listings
    fields = (
        "symbol", "exchanges", "pairs", "ratio", "correlated", "found_at", "seen_at", "state", "decided",
        "note",
    )  # fmt: skip
    readonly_fields = tuple(name for name in fields if name != "note")
    change_form_template = "admin/markets/identitycase/change_form.html"

    # --- columns ---------------------------------------------------------------------------------

    @admin.display(description=_("listing"), ordering="exchange1__key")
    def exchanges(self, row: IdentityCase) -> Any:
        """Exchange of the listing and those it disagrees with; or the two exchanges, where either may be
        wrong.

        The ratio is the first's price over the others'.
        """
        group = _group(row)
        if not group.exchange:
            return f"{row.leg1} – {row.leg2}"
        text = ngettext("%(one)s – %(count)d other: %(others)s", "%(one)s – %(count)d others: %(others)s",
                        len(group.cases))  # fmt: skip
        return text % {
            "one": group.listed_on, "count": len(group.cases), "others": ", ".join(group.others),
        }  # fmt: skip

    @admin.display(description=_("its pairs"))
    def pairs(self, row: IdentityCase) -> Any:
        """Every pair a decision is about, with its own evidence."""
        return format_html_join(
            mark_safe("<br>"),  # nosec B308 # a constant
            "{} – {}: × {}, {}",
            (
                (case.leg1, case.leg2, _digits(case.price_ratio), _signed(case.correlation))
                for case in _group(row).cases
            ),
        )

    @admin.display(description=_("since"), ordering="found_at")
    def since(self, row: IdentityCase) -> str:
        """Time for which it is in question."""
        return timesince(row.found_at, depth=1)

    @admin.display(description=_("last seen"), ordering="seen_at")
    def seen(self, row: IdentityCase) -> Any:
        """Time since the evidence was last renewed."""
        newest = max(case.seen_at for case in _group(row).cases)
        return _("%(age)s ago") % {"age": timesince(newest, depth=1)}

    @admin.display(description=_("price ratio"), ordering="price_ratio")
    def ratio(self, row: IdentityCase) -> str:
        """Ratio with six digits, which distinguish a thousand from a thousand and one."""
        return _digits(_group(row).price_ratio)

    @admin.display(description=_("correlation"), ordering="correlation")
    def correlated(self, row: IdentityCase) -> Any:
        """Correlation of the two prices' returns."""
        return _signed(_group(row).correlation)

    @admin.display(description=_("verdict"), ordering="verdict")
    def state(self, row: IdentityCase) -> str:
        """A shape beside the word, so that state is never colour alone."""
        return f"{SIGNS[Verdict(row.verdict)]} {row.get_verdict_display()}"

    @admin.display(description=_("decided"), ordering="decided_at")
    def decided(self, row: IdentityCase) -> Any:
        """Author and time of the decision."""
        if row.decided_at is None:
            return "–"
        return _("%(user)s, %(age)s ago") % {
            "user": row.decided_by or "–", "age": timesince(row.decided_at, depth=1),
        }  # fmt: skip

    # --- actions ---------------------------------------------------------------------------------

    @admin.action(description=_("Confirm: the same coin"), permissions=["change"])
    def confirm(self, request: HttpRequest, queryset: QuerySet[IdentityCase]) -> None:
        """Compare them, whatever the evidence."""
        self._decide(request, queryset, Verdict.CONFIRMED)

    @admin.action(description=_("Split: different coins"), permissions=["change"])
    def split(self, request: HttpRequest, queryset: QuerySet[IdentityCase]) -> None:
        """Keep them apart: they are never an opportunity."""
        self._decide(request, queryset, Verdict.DIFFERENT)

    @admin.action(description=_("Reopen: undecided"), permissions=["change"])
    def reopen(self, request: HttpRequest, queryset: QuerySet[IdentityCase]) -> None:
        """Back into quarantine."""
        self._decide(request, queryset, Verdict.QUARANTINED)

    @admin.action(description=_("Alias…: another unit or another symbol"), permissions=["change"])
    def alias_selected(self, request: HttpRequest, queryset: QuerySet[IdentityCase]) -> HttpResponse | None:
        """Go to the page that asks which listing counts as what."""
        if queryset.count() != 1:
            self.message_user(
                request,
                _("Select one case only: an alias is entered for one case at a time."),
                messages.WARNING,
            )
            return None
        return HttpResponseRedirect(reverse("admin:markets_identitycase_alias", args=[queryset.get().pk]))

    def _decide(self, request: HttpRequest, queryset: QuerySet[IdentityCase], verdict: Verdict) -> None:
        selected = set(queryset.values_list("pk", flat=True))
        chosen = [group for group in groups() if group.first.pk in selected]
        pairs = [case.pk for group in chosen for case in group.cases]
        decided = decide(IdentityCase.objects.filter(pk__in=pairs), verdict, cast(User, request.user))
        count = min(decided, len(chosen))
        text = ngettext("%(count)d case: %(verdict)s.", "%(count)d cases: %(verdict)s.", count)
        words = text % {"count": count, "verdict": verdict.label}
        if decided > count:
            words += " " + ngettext("It is %(pairs)d pair.", "That is %(pairs)d pairs.", decided) % {
                "pairs": decided
            }
        self.message_user(request, words, messages.SUCCESS)
        self._warn_if_unusable(request)

    # --- one row per listing ---------------------------------------------------------------------

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[IdentityCase], search_term: str
    ) -> tuple[QuerySet[IdentityCase], bool]:
        """Search; each result is the case that stands for its listing."""
        found, twice = super().get_search_results(request, queryset, search_term)
        pks = set(found.values_list("pk", flat=True))
        firsts = [group.first.pk for group in groups() if pks & {case.pk for case in group.cases}]
        return queryset.filter(pk__in=firsts), twice

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Read what each row stands for in one go."""
        page = super().get_changelist_instance(request)
        by_first = {group.first.pk: group for group in groups()}
        for row in page.result_list:
            row.group = by_first.get(row.pk)
        return page

    # --- the alias page --------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        """Add the page of one case's alias."""
        page = path(
            "<int:pk>/alias/", self.admin_site.admin_view(self.alias_page), name="markets_identitycase_alias"
        )
        return [page, *super().get_urls()]

    def alias_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask which listing counts as what; posted, write it and close the case."""
        case = get_object_or_404(
            IdentityCase.objects.select_related("symbol", "exchange1", "exchange2"), pk=pk
        )
        if not self.has_change_permission(request, case):
            raise PermissionDenied
        with transaction.atomic(), gathered():
            return self._alias_page(request, case)

    def _alias_page(self, request: HttpRequest, case: IdentityCase) -> HttpResponse:
        if request.method == "POST":
            self.hold([case.pk])
            case.refresh_from_db(fields=["verdict", "note", "decided_by", "decided_at"])
        shown = [case, *listings_of(case)]
        conflict = self.conflict(request, shown) if request.method == "POST" else None
        form = AliasForm(case, request.POST or None)
        if request.method == "POST" and form.is_valid() and not conflict:
            answer = form.cleaned_data
            alias(case, answer["listing"], answer["symbol"], answer["multiplier"], cast(User, request.user))
            self.message_user(request, _("The alias is saved and the case closed."), messages.SUCCESS)
            self._warn_if_unusable(request)
            return HttpResponseRedirect(reverse("admin:markets_identitycase_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Alias of %(case)s") % {"case": case},
            "opts": self.opts,
            "case": case,
            "ratio": _digits(case.price_ratio),
            "correlation": _signed(case.correlation),
            "form": form,
            "media": self.media + form.media,
            "conflict": conflict,
            "seen": seal(shown),
        }
        status = HTTPStatus.CONFLICT if conflict else HTTPStatus.OK
        return TemplateResponse(request, "admin/markets/identitycase/alias.html", context, status=status)

    # --- a person's own case ---------------------------------------------------------------------

    def get_fields(self, request: HttpRequest, obj: IdentityCase | None = None) -> Any:
        """Fields of a new case: what it is about; the prices' evidence comes from collectors."""
        return super().get_fields(request, obj) if obj else NEW_CASE

    def get_readonly_fields(self, request: HttpRequest, obj: IdentityCase | None = None) -> Any:
        """A new case is written by hand: collectors make none of a pair whose prices are only apart."""
        return super().get_readonly_fields(request, obj) if obj else ()

    def save_model(self, request: HttpRequest, obj: IdentityCase, form: Any, change: bool) -> None:
        """Begin in quarantine: the list decides it."""
        if not change:
            obj.found_at = obj.seen_at = timezone.now()
        super().save_model(request, obj, form, change)
