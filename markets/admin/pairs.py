"""The page of pairs, and the one that adds every pair of a kind at once, with the number of them first."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from markets.admin.configuration import SwitchAdmin, WithMarkets
from markets.models import Exchange, ExchangePair, Kind, PairKind
from markets.pairing import PairPlan, carry_out, plan


def of_kind(kind: str) -> Q:
    """Pairs of a kind, as `markets.config.pair_kind` has them."""
    basis = Q(exchange1=F("exchange2"))
    mixed = ~Q(market1=F("market2"))
    return {
        PairKind.BASIS: basis,
        PairKind.MIXED: ~basis & mixed,
        PairKind.SPOT: Q(market1=Kind.SPOT, market2=Kind.SPOT),
        PairKind.SWAP: Q(market1=Kind.SWAP, market2=Kind.SWAP),
    }[PairKind(kind)]


class KindFilter(admin.SimpleListFilter):
    """Choice of a kind of pairs beside the list."""

    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """All kinds."""
        return [(kind.value, str(kind.label)) for kind in PairKind]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ExchangePair]) -> QuerySet[ExchangePair]:
        """Pairs of the kind that is chosen."""
        return queryset.filter(of_kind(kind)) if (kind := self.value()) in PairKind.values else queryset


class BulkForm(forms.Form):
    """Kind of pairs, and the exchanges among which all of them are wanted."""

    kind = forms.ChoiceField(choices=PairKind.choices, label=_("Kind"), widget=forms.RadioSelect)
    exchanges = forms.ModelMultipleChoiceField(
        Exchange.objects.all(), label=_("Exchanges"), widget=forms.CheckboxSelectMultiple
    )


class AddPairsActions(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """Actions that lead from selected rows to the page that adds every pair of a kind."""

    actions: Any = ("all_swaps", "basis", "spot_against_swap")

    def exchanges_of(self, queryset: QuerySet[Any]) -> set[int]:
        """Primary keys of the exchanges that rows are about."""
        raise NotImplementedError

    @admin.action(description=_("Enable all swaps against all swaps…"), permissions=["view"])
    def all_swaps(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Swap against swap."""
        return self._to_page(queryset, PairKind.SWAP)

    @admin.action(description=_("Enable the basis of every exchange…"), permissions=["view"])
    def basis(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Spot against swap of the same exchange."""
        return self._to_page(queryset, PairKind.BASIS)

    @admin.action(description=_("Enable spot against swap…"), permissions=["view"])
    def spot_against_swap(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Spot against the swaps of the other exchanges."""
        return self._to_page(queryset, PairKind.MIXED)

    def _to_page(self, queryset: QuerySet[Any], kind: PairKind) -> HttpResponse:
        asked: dict[str, Any] = {"kind": kind.value, "exchanges": sorted(self.exchanges_of(queryset))}
        address = reverse("admin:markets_exchangepair_bulk")
        return HttpResponseRedirect(f"{address}?{urlencode(asked, doseq=True)}")


@admin.register(ExchangePair)
class ExchangePairAdmin(WithMarkets, AddPairsActions, SwitchAdmin):
    """Pairs of markets that are compared."""

    empty_text = _(
        "Nothing is compared without pairs: add those of the exchanges you watch, or all with `manage.py "
        "seed --missing`."
    )

    actions = (*SwitchAdmin.actions, *AddPairsActions.actions)
    list_display = ("__str__", "kind_shown", "tolerance_ms", "max_age_ms", "enabled")
    list_filter = ("enabled", KindFilter, "exchange1", "exchange2")
    list_select_related = ("exchange1", "exchange2")
    search_fields = ("exchange1__key", "exchange1__name", "exchange2__key", "exchange2__name")
    fields = ("exchange1", "market1", "exchange2", "market2", "tolerance_ms", "max_age_ms", "enabled")

    @admin.display(description=_("kind"))
    def kind_shown(self, row: ExchangePair) -> Any:
        """Kind of the pair in words."""
        return row.kind.label

    def exchanges_of(self, queryset: QuerySet[ExchangePair]) -> set[int]:
        """Both exchanges of each pair."""
        return {key for legs in queryset.values_list("exchange1", "exchange2") for key in legs}

    def get_urls(self) -> list[Any]:
        """Add the page that adds every pair of a kind."""
        page = path("bulk/", self.admin_site.admin_view(self.bulk), name="markets_exchangepair_bulk")
        return [page, *super().get_urls()]

    def bulk(self, request: HttpRequest) -> HttpResponse:
        """Say how many pairs it would be; posted with that number, add and enable them."""
        if not (self.has_add_permission(request) and self.has_change_permission(request)):
            raise PermissionDenied
        # Nothing was asked yet where the address says nothing: no field is complained about then.
        form = BulkForm(request.POST if request.method == "POST" else request.GET or None)
        with transaction.atomic():
            if request.method == "POST":
                self.lock_first()
            found = (
                plan(form.cleaned_data["kind"], form.cleaned_data["exchanges"]) if form.is_valid() else None
            )
            if request.method == "POST" and found and request.POST.get("confirmed") == found.seal:
                carry_out(found, cast(User, request.user))
                return self._done(request, found)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Enable every pair of a kind"),
            "opts": self.opts,
            "form": form,
            "plan": found,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/markets/exchangepair/bulk.html", context)

    def _done(self, request: HttpRequest, found: PairPlan) -> HttpResponse:
        count = len(found.new) + len(found.disabled)
        text = ngettext("%(count)d pair is compared now.", "%(count)d more pairs are compared now.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS)
        self._warn_if_unusable(request)
        address = reverse("admin:markets_exchangepair_changelist")
        return HttpResponseRedirect(f"{address}?{urlencode({'kind': found.kind})}")
